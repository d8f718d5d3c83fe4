"""What the mounter keeps, kept a second time by the node plugin: recipes, keys and open FUSE connections.

A FUSE connection lives while any process holds it. So the mounter may die or be replaced: the node plugin gives its
successor everything back, and users of mounted buckets wait for some seconds instead of losing their mounts. The other
way round, a new node plugin gets it all from the mounter. Nothing of it is written to a disk.
"""

import asyncio
import logging
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from moorage_csi.mounter import wire
from moorage_csi.mounter.packets import Closed, Packets

log = logging.getLogger(__name__)

_AGAIN = 0.3  # seconds between two attempts to reach the mounter
PATIENCE = 300.0  # seconds without a mounter, after which those who wait for it get an error instead


@dataclass(slots=True)
class Held:
    """A mount: what to tell the next mounter, and its connection."""

    fields: wire.Fields = field(repr=False)  # the key is among them
    device: int | None

    def close(self) -> None:
        if self.device is not None:
            os.close(self.device)
            self.device = None


class Keeper:
    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        """`path`: the socket on which the mounter listens."""
        self._path = path
        self._patience = patience
        self._held: dict[str, Held] = {}

    @property
    def targets(self) -> frozenset[str]:
        return frozenset(self._held)

    async def keep(self) -> None:
        """Until cancelled."""
        lost = time.monotonic()
        try:
            while True:
                try:
                    await self._visit()
                    lost = time.monotonic()
                except (Closed, OSError):
                    await asyncio.sleep(_AGAIN)
                if time.monotonic() - lost > self._patience:
                    self._give_up()
        finally:
            for held in self._held.values():
                held.close()

    def forget(self, target: str) -> None:
        """It was unmounted while there was no mounter: the next one has nothing to do with it."""
        held = self._held.pop(target, None)
        if held:
            held.close()

    async def _visit(self) -> None:
        """Hand over what is kept, then take what is new, until the mounter goes."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            connection.connect(str(self._path))  # BlockingIOError, and another try, when its queue is full (unix(7))
        except BaseException:
            connection.close()
            raise
        packets = Packets(connection)
        try:
            for held in tuple(self._held.values()):
                await packets.send(held.fields, held.device)
            await packets.send({"end": True})
            while True:
                self._take(*await packets.receive())
        except Closed:
            log.info("the mounter has gone; %d mounts are kept for the next one", len(self._held))
        finally:
            packets.close()

    def _take(self, fields: wire.Fields, device: int | None) -> None:
        target = str(fields.get("target"))
        before = self._held.pop(target, None)
        if before:
            before.close()
        if not fields.get("gone"):
            self._held[target] = Held(fields, device)
        elif device is not None:
            os.close(device)

    def _give_up(self) -> None:
        for target, held in self._held.items():
            if held.device is not None:
                log.error("no mounter for %g s: whoever waits for %s gets an error", self._patience, target)
            held.close()
