"""Status of a StorageVolume out: `status.share` and `status.usage`."""

import asyncio
from collections import defaultdict
from typing import Any, Protocol

from moorage import clone, names
from moorage.model import Share, ShareState, Usage
from moorage.share import Seen, Wanted
from moorage_operator.agent.api import Api, Object

_MESSAGE_MAX = 1024


class Site(Protocol):
    """Where shares are served."""

    @property
    def server(self) -> str:
        """What status.placement.server and status.servers call it."""
        ...

    @property
    def node(self) -> str:
        """The node that it runs on."""
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
    up = seen.mounted and not seen.down and (seen.exported is not None or not site.exports)
    if wanted.released:
        state = ShareState.Failed if message or up else ShareState.Released
        return share_state(site, wanted, state, reason, message)
    if not seen.record or not up:
        failed = message and reason != clone.NOT_YET
        return share_state(site, wanted, ShareState.Failed if failed else ShareState.Creating, reason, message)
    if seen.exported and not seen.exported.clients and not message:
        reason, message = "NoNodes", "no node matches the nodeSelector of its StorageBackend: nobody can mount it yet"
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

    @property
    def usage(self) -> Usage | None: ...


class VolumeReport:
    """Writes `share` and `usage` together: what an apply does not repeat, its manager gives up."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._said: dict[str, tuple[Share, Usage | None]] = {}  # by uid; the watch may show it later
        self._writing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def write(self, entry: Reported, share: Share) -> None:
        """One write per change, none when nothing changed."""
        said, _ = self._said.get(entry.wanted.uid, (entry.reported, None))
        if said == share == entry.reported:
            return
        async with self._writing[entry.wanted.uid]:
            _, usage = self._said.get(entry.wanted.uid, (share, entry.usage))
            await self._apply(entry.wanted, share, None if share.state is ShareState.Released else usage)

    async def write_usage(self, entry: Reported, usage: Usage) -> None:
        """Beside the share as it was told last; one that is not served (any more) has none."""
        async with self._writing[entry.wanted.uid]:
            share, _ = self._said.get(entry.wanted.uid, (entry.reported, None))
            if share and share.state is ShareState.Served:
                await self._apply(entry.wanted, share, usage)

    def forget(self, uid: str) -> None:
        self._said.pop(uid, None)
        self._writing.pop(uid, None)

    async def _apply(self, wanted: Owner, share: Share, usage: Usage | None) -> None:
        """The uid keeps it off a new volume of the same name."""
        path = f"/apis/{names.API_VERSION}/namespaces/{wanted.namespace}/storagevolumes/{wanted.name}"
        metadata = {"name": wanted.name, "namespace": wanted.namespace, "uid": wanted.uid}
        status = {"share": share.dump()} | ({"usage": usage.dump()} if usage else {})
        await self._api.apply_status(path, names.AGENT_MANAGER, status_body("StorageVolume", metadata, status))
        self._said[wanted.uid] = share, usage


def status_body(kind: str, metadata: dict[str, Any], status: dict[str, Any]) -> Object:
    """What server-side apply wants: the manager owns all that is in `status`, and nothing else."""
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "status": status}
