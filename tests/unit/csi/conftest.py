"""What tests that mount have in common, and the parts of a node on a temporary kubelet directory."""

import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from moorage import mount as plans
from moorage.errors import DeadlineExceeded, NotFound
from moorage_csi import mounts
from moorage_csi.api import Object
from moorage_csi.hands import Hands
from moorage_csi.metrics import Metrics
from moorage_csi.mounts import Mount
from moorage_csi.node import Node, Tools
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.runner import Output, Processes, Runner
from moorage_csi.stuck import Kernel


@pytest.fixture(params=[Processes, Hands])
async def runner(request: pytest.FixtureRequest, private_mounts: None) -> AsyncIterator[Runner]:
    """Each verb as commands and by a helper at hand."""
    found: Processes | Hands = request.param()
    if isinstance(found, Hands):
        await found.warm()
    yield found
    if isinstance(found, Hands):
        await found.close()


@pytest.fixture
def volume(tmp_path: Path, private_mounts: None) -> Mount:
    """A mounted volume with a folder, a file and some traps."""
    staging = tmp_path / "stage"
    staging.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "volume", str(staging)], check=True)
    (staging / "sets" / "imagenet").mkdir(parents=True)
    (staging / "sets" / "imagenet" / "one").write_text("1")
    (staging / "file").write_text("f")
    (staging / "out").symlink_to("/etc")
    (staging / "up").symlink_to("../..")
    (staging / "inner").symlink_to("sets/imagenet")
    (staging / "nested").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "other", str(staging / "nested")], check=True)
    found = mounts.at(str(staging))
    assert found is not None
    return found


@dataclass
class NodeRunner:
    """Runs commands for real, but an NFS mount becomes a tmpfs: the test machine has no NFS server."""

    real: Hands = field(default_factory=Hands)
    mounted: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    refuse: str = ""  # what mount.nfs4 complains about
    hanging: set[str] = field(default_factory=set[str])
    abandoned: int = 0

    async def run(self, argv: Sequence[str], seconds: float, about: str = "") -> Output:
        if argv[0] == "getent":
            return Output(0, f"10.0.0.7      STREAM {argv[2]}\n", "")
        if tuple(argv[:3]) == ("mount", "-t", "nfs4"):
            *_, options, source, path = argv
            if self.refuse:
                return Output(32, "", self.refuse)
            self.mounted.append((source, options))
            argv = ("mount", "-t", "tmpfs", "-o", "size=1m", source, path)
        if argv[0] == "stat" and argv[-1] in self.hanging:
            raise DeadlineExceeded("`stat` took longer than 5 s and was killed")
        return await self.real.run(argv, seconds, about)


class NoMounter:
    """Stands where no bucket is mounted."""

    async def mount(
        self, volume_id: str, target: str, kind: str, parameters: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None:
        raise AssertionError("no bucket is mounted in this test")

    async def trouble(self, target: str) -> str:
        return ""

    async def unmount(self, target: str) -> None:
        assert mounts.at(target) is None, "no bucket is mounted in this test"

    async def rekey(self, target: str, secrets: Mapping[str, str]) -> None:
        raise AssertionError("no bucket is mounted in this test")


@dataclass
class ObjectsApi:
    """An API server that holds some objects by path."""

    objects: dict[str, Object] = field(default_factory=dict[str, Object])

    async def get(self, path: str) -> Object:
        if path not in self.objects:
            raise NotFound(path)
        return self.objects[path]

    async def apply(self, path: str, body: Object) -> Object:
        raise AssertionError("the node writes nothing")

    patch = apply

    async def delete(self, path: str, uid: str) -> None:
        raise AssertionError("the node deletes nothing")


@dataclass
class Bench:
    """A node service and what stands around it."""

    kubelet: Path
    runner: NodeRunner = field(default_factory=NodeRunner)
    api: ObjectsApi = field(default_factory=ObjectsApi)

    def node(self) -> Node:
        """A node plugin as it starts: a second one is the plugin after a restart."""
        tools = Tools(
            "node-1", self.kubelet / "plugin", self.runner, NoMounter(), lambda: self.api,
            max_volumes=100, mount_root=str(self.mnt), kernel=Kernel(nfs=self.nfs),
        )  # fmt: skip
        return Node(Metrics(), tools)

    @property
    def nfs(self) -> Path:
        """Where the kernel tells of NFS mounts."""
        return self.kubelet.parent / f"{self.kubelet.name}-nfs"

    @property
    def mnt(self) -> Path:
        """The node's /mnt."""
        path = self.kubelet.parent / f"{self.kubelet.name}-mnt"
        path.mkdir(exist_ok=True)
        return path

    def target(self, name: str) -> str:
        path = self.kubelet / "pods" / name / "mount"
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path)

    @property
    def staging(self) -> str:
        path = self.kubelet / "globalmount"
        path.mkdir(exist_ok=True)
        return str(path)


@pytest.fixture
async def bench(tmp_path: Path, private_mounts: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(plans.Nfs, "fstypes", ("tmpfs",))  # what NodeRunner mounts
    found = Bench(tmp_path)
    await found.runner.real.warm()
    yield found
    await found.runner.real.close()


SHARED = {
    "type": "shared", "mount": "nfs", "server": "moorage-nfs-0.moorage.svc.cluster.local", "path": "/vol/abc",
    "options": "vers=4.1,hard",
}  # fmt: skip


def capability(
    mode: str = "MULTI_NODE_MULTI_WRITER", flags: Sequence[str] = (), group: str = ""
) -> csi.VolumeCapability:
    return csi.VolumeCapability(
        mount=csi.VolumeCapability.MountVolume(mount_flags=flags, volume_mount_group=group),
        access_mode=csi.VolumeCapability.AccessMode(mode=csi.VolumeCapability.AccessMode.Mode.Value(mode)),
    )
