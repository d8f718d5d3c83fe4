"""Asks a moorfs process on its control socket; `moorfs.settings` says what."""

import asyncio
from pathlib import Path

from moorage.errors import DeadlineExceeded, MoorageError, NotReady
from moorage_csi.mounter import wire

_MOST = 1 << 20  # bytes of an answer


async def ask(path: Path, deadline: float, method: str, **fields: object) -> wire.Fields:
    """The answer, within `deadline` seconds; raises NotReady when nobody listens there, or what moorfs says."""
    try:
        async with asyncio.timeout(deadline):
            return await wire.ask(path, {"method": method, **fields}, _MOST)
    except TimeoutError:
        raise DeadlineExceeded(f"moorfs did not end {method} in {deadline:g} s") from None
    except (OSError, asyncio.IncompleteReadError) as error:
        raise NotReady(f"moorfs does not listen at {path}: {error}") from None


async def tell(path: Path, deadline: float, method: str, **fields: object) -> wire.Fields:
    """The same, and nothing when it can not be had."""
    try:
        return await ask(path, deadline, method, **fields)
    except MoorageError:
        return {}
