"""Status out: `status.share` of a StorageVolume, and this server's entry in `status.servers` of its backend."""

from typing import Any, Protocol

from moorage import clone, names
from moorage.model import BackendServer, Kept, Share, ShareState, StorageBackend
from moorage.share import Seen, Wanted
from moorage_operator.agent.api import BACKENDS, Api, Object

_MESSAGE_MAX = 1024
_WORTH = 100  # a change of more than one part in so many is written


class Site(Protocol):
    """Where shares are served."""

    @property
    def server(self) -> str:
        """What status.placement.server and status.servers call it."""
        ...

    @property
    def address(self) -> str:
        """What nodes mount from; empty when nothing is exported."""
        ...

    @property
    def exports(self) -> bool:
        """Whether a share must be exported, and not only mounted, to be of use."""
        ...

    def path(self, volume_id: str) -> str:
        """Of the export, or of the mount on the node."""
        ...


def share_status(site: Site, wanted: Wanted, seen: Seen, reason: str, message: str) -> Share:
    """A share that is served stays Served when it cannot grow: the reason says what is wrong with it."""
    up = seen.mounted and (seen.exported is not None or not site.exports)
    if wanted.released:
        state = ShareState.Failed if message or up else ShareState.Released
        return share_state(site, wanted, state, reason, message)
    if not seen.record or not up:
        failed = message and reason != clone.NOT_YET
        return share_state(site, wanted, ShareState.Failed if failed else ShareState.Creating, reason, message)
    return Share(
        state=ShareState.Served,
        server=site.server,
        address=site.address,
        path=site.path(wanted.id),
        export_id=seen.record.export_id,
        size_bytes=seen.fs_bytes,
        reason=reason,
        message=message[:_MESSAGE_MAX],
    )


def share_state(site: Site, wanted: Wanted, state: ShareState, reason: str = "", message: str = "") -> Share:
    """A share that nobody can mount. The export id stays: it tells that there was data once."""
    return Share(
        state=state, server=site.server, export_id=wanted.export_id, reason=reason, message=message[:_MESSAGE_MAX]
    )


class Owner(Protocol):
    """The StorageVolume that a report is about."""

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def uid(self) -> str: ...


class Reported(Protocol):
    """A volume, and what its status says of the share so far."""

    @property
    def wanted(self) -> Owner: ...

    @property
    def reported(self) -> Share | None: ...


class VolumeReport:
    def __init__(self, api: Api) -> None:
        self._api = api

    async def write(self, entry: Reported, share: Share) -> None:
        """One write per change, none when nothing changed. The uid keeps it off a new volume of the same name."""
        if entry.reported == share:
            return
        wanted = entry.wanted
        path = f"/apis/{names.API_VERSION}/namespaces/{wanted.namespace}/storagevolumes/{wanted.name}"
        metadata = {"name": wanted.name, "namespace": wanted.namespace, "uid": wanted.uid}
        await self._api.apply_status(
            path, names.AGENT_MANAGER, _body("StorageVolume", metadata, {"share": share.dump()})
        )


class BackendReport:
    """Each server has a field manager of its own: one for all would take the others' entries away."""

    def __init__(self, api: Api, server: str) -> None:
        self._api = api
        self._server = server

    async def write(self, item: Object, total: int, free: int, kept: tuple[Kept, ...] | None) -> None:
        """`kept` None: not known yet, so what was said before stands."""
        backend = StorageBackend.model_validate(item)
        before = next((server for server in backend.status.servers if server.name == self._server), None)
        if kept is None:
            kept = before.kept if before else ()
        if before and not _differs(before, total, free) and before.kept == kept:
            return
        name = str(backend.metadata["name"])
        servers = [BackendServer(name=self._server, total_bytes=total, free_bytes=free, kept=kept).dump()]
        manager = f"{names.AGENT_MANAGER}-{self._server}"
        await self._api.apply_status(
            f"{BACKENDS}/{name}", manager, _body("StorageBackend", {"name": name}, {"servers": servers})
        )


def _differs(before: BackendServer, total: int, free: int) -> bool:
    return before.total_bytes != total or abs(before.free_bytes - free) * _WORTH > total


def _body(kind: str, metadata: dict[str, Any], status: dict[str, Any]) -> Object:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "status": status}
