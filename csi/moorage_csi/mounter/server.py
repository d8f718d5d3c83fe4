"""The mounter's service on its socket (mounter.proto)."""

from collections.abc import Mapping
from typing import ClassVar

from moorage import names
from moorage.errors import InvalidInput, NotOffered
from moorage.mount import S3fs, s3fs_argv
from moorage_csi import mounts, rpc
from moorage_csi.metrics import Metrics
from moorage_csi.mounter.supervisor import Recipe, Supervisor
from moorage_csi.proto import mounter_pb2 as proto


class MounterService(rpc.Servicer):
    service = proto.DESCRIPTOR.services_by_name["Mounter"]
    operations: ClassVar[Mapping[str, rpc.Operation]] = {
        "Mount": rpc.Operation(lock="target", deadline=85),
        "Unmount": rpc.Operation(lock="target", deadline=85),
        "List": rpc.Operation(quiet=True),
    }

    def __init__(self, metrics: Metrics, supervisor: Supervisor, s3fs: str = "s3fs") -> None:
        """`s3fs` is the program's name or path."""
        super().__init__(metrics)
        self._supervisor = supervisor
        self._s3fs = s3fs

    async def Mount(
        self, volume_id: str, target: str, kind: str, parameters: Mapping[str, str], secrets: Mapping[str, str]
    ) -> proto.MountResponse:
        if kind != "s3fs":
            raise NotOffered(f"this mounter runs s3fs, not {kind!r}")
        await self._supervisor.mount(self._recipe(volume_id, mounts.absolute(target, "target"), parameters, secrets))
        return proto.MountResponse()

    async def Unmount(self, target: str) -> proto.UnmountResponse:
        await self._supervisor.unmount(mounts.absolute(target, "target"))
        return proto.UnmountResponse()

    async def List(self) -> proto.ListResponse:
        answer = proto.ListResponse()
        for kept in self._supervisor.mounts:
            process = kept.process
            answer.volumes.add(
                volume_id=kept.recipe.volume_id,
                target=kept.recipe.target,
                kind=kept.recipe.kind,
                pid=process.pid if process else 0,
                restarts=kept.restarts,
                running=bool(process and process.running),
            )
        return answer

    def _recipe(self, volume_id: str, target: str, parameters: Mapping[str, str], secrets: Mapping[str, str]) -> Recipe:
        key, secret = (secrets.get(name, "") for name in (names.SECRET_ACCESS_KEY_ID, names.SECRET_SECRET_ACCESS_KEY))
        if not key or not secret or any(c in key + secret for c in "\n\r\0") or ":" in key:
            raise InvalidInput(
                f"the bucket's Secret needs {names.SECRET_ACCESS_KEY_ID} and {names.SECRET_SECRET_ACCESS_KEY}"
            )
        s3fs_argv(self._s3fs, parameters, "/dev/null", target)  # refuse bad parameters before anything is written
        return Recipe(
            volume_id,
            target,
            "s3fs",
            S3fs.fstypes[0],
            dict(parameters),
            argv=lambda passwd: s3fs_argv(self._s3fs, parameters, passwd, target),
            credentials=f"{key}:{secret}\n",
            hidden=(secret,),
        )
