"""Reaping: as process 1 of its container the agent inherits every child whose parent died."""

import asyncio
import contextlib
import os
from pathlib import Path

_PERIOD = 5.0


async def reap() -> None:
    """Until cancelled. A zombie of our own starting is waited for within milliseconds; one that is still there at the
    next look is nobody's."""
    seen: set[int] = set()
    while True:
        await asyncio.sleep(_PERIOD)
        zombies = await asyncio.to_thread(_zombies)
        for pid in zombies & seen:
            _bury(pid)
        seen = zombies


def _bury(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _zombies() -> set[int]:
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            state, parent, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if state == "Z" and int(parent) == os.getpid():
                found.add(int(folder.name))
    return found
