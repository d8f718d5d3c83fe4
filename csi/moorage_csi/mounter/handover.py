"""The mounter's side of `keeper`: tells the node plugin of every mount, and takes back what an earlier mounter had."""

import asyncio
import logging
import os
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from moorage.errors import MoorageError
from moorage_csi.mounter import wire
from moorage_csi.mounter.kept import Kept
from moorage_csi.mounter.packets import Closed, Packets
from moorage_csi.mounter.programs import Programs
from moorage_csi.mounter.supervisor import Supervisor

log = logging.getLogger(__name__)

_TAKE_SECONDS = 10.0  # for a node plugin to hand over what it keeps


class Handover:
    def __init__(self, supervisor: Supervisor, programs: Programs) -> None:
        self._supervisor = supervisor
        self._programs = programs
        self._peers: set[asyncio.Queue[str]] = set()  # of each, the targets that it has to be told of
        self._tasks: set[asyncio.Task[None]] = set()
        self.settled = asyncio.Event()  # a node plugin has said what it keeps

    def tell(self, target: str, kept: Kept | None) -> None:
        """Something about the mount at `target` is new, or it has gone."""
        for peer in self._peers:
            peer.put_nowait(target)

    def listen(self, path: Path) -> socket.socket:
        """Serve at `path`; whoever closes the socket ends it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(4)
        self._go(self._accept(listener))
        return listener

    async def close(self) -> None:
        """Nobody is told anything more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while listener.fileno() >= 0:
            connection, _ = await loop.sock_accept(listener)
            try:
                wire.check_peer(connection)
            except MoorageError as error:
                log.warning("%s", error)
                connection.close()
                continue
            self._go(self._serve(Packets(connection)))

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, packets: Packets) -> None:
        news = asyncio.Queue[str]()
        try:
            async with asyncio.timeout(_TAKE_SECONDS):
                await self._take_back(packets)
            self._peers.add(news)
            for kept in self._supervisor.mounts:
                news.put_nowait(kept.recipe.target)
            while True:
                await self._send(packets, await news.get())
        except Closed:
            log.info("the node plugin has gone")
        except TimeoutError:
            log.warning("the node plugin did not hand over in %g s what it keeps", _TAKE_SECONDS)
        finally:
            self._peers.discard(news)
            packets.close()

    async def _take_back(self, packets: Packets) -> None:
        """What the peer kept for an earlier mounter; what we have ourselves is newer."""
        while not (found := await packets.receive())[0].get("end"):
            fields, device = found
            target = str(fields.get("target"))
            if self._supervisor.is_ours(target):
                _close(device)
                if self._supervisor.at(target) is None:
                    await packets.send({"target": target, "gone": True})
            elif not await self._restore(fields, device):
                await packets.send({"target": target, "gone": True})
        self.settled.set()

    async def _restore(self, fields: wire.Fields, device: int | None) -> bool:
        try:
            given = [fields[key] for key in ("volume_id", "target", "kind", "parameters", "secrets")]
            await self._supervisor.restore(self._programs.recipe(*given), device, str(fields.get("filesystem", "")))
        except (KeyError, TypeError, MoorageError) as error:
            log.error("a mount of an earlier mounter cannot be kept: %s", error)
            _close(device)
            return False
        return True

    async def _send(self, packets: Packets, target: str) -> None:
        kept = self._supervisor.at(target)
        if kept is None:
            return await packets.send({"target": target, "gone": True})
        recipe = kept.recipe
        fields = {
            "volume_id": recipe.volume_id, "target": target, "kind": recipe.kind,
            "parameters": dict(recipe.parameters), "secrets": dict(recipe.secrets), "filesystem": kept.filesystem,
        }  # fmt: skip
        await packets.send(fields, kept.device)


def _close(device: int | None) -> None:
    if device is not None:
        os.close(device)
