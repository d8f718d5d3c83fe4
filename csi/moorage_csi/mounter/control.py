"""Asks a moorfs process on its control socket; `moorfs.settings` says what."""

import asyncio
from pathlib import Path

from moorage.errors import DeadlineExceeded, MoorageError, NotReady
from moorage_csi import sockets
from moorage_csi.mounter import wire

_MOST = 1 << 20  # bytes of an answer


async def ask(path: Path, deadline: float, method: str, **fields: object) -> wire.Fields:
    """The answer, within `deadline` seconds; raises NotReady when nobody listens there, or what moorfs says."""
    try:
        async with asyncio.timeout(deadline):
            answer = await _exchange(path, {"method": method, **fields})
    except TimeoutError:
        raise DeadlineExceeded(f"moorfs did not end {method} in {deadline:g} s") from None
    except (OSError, asyncio.IncompleteReadError) as error:
        raise NotReady(f"moorfs does not listen at {path}: {error}") from None
    if answer.get("code") != "OK":
        raise sockets.error(str(answer.get("code")), str(answer.get("message", "")))
    return answer


async def tell(path: Path, deadline: float, method: str, **fields: object) -> wire.Fields:
    """The same, and nothing when it can not be had."""
    try:
        return await ask(path, deadline, method, **fields)
    except MoorageError:
        return {}


async def _exchange(path: Path, request: wire.Fields) -> wire.Fields:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        await wire.send(writer, request)
        return await wire.receive(reader, _MOST)
    finally:
        writer.close()
