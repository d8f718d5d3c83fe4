"""Asks an rclone on the unix socket of its remote control: a POST with JSON, answered by JSON.

Source: https://rclone.org/rc/#accessing-the-remote-control-via-http (calls vfs/stats, vfs/queue, vfs/queue-set-expiry).
"""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

from moorage.errors import DeadlineExceeded, MoorageError, NotReady
from moorage_csi.mounter import wire

_MOST = 32 << 20  # bytes of an answer: a queue of 100,000 files has some 20 MB


async def ask(path: Path, deadline: float, call: str, **fields: object) -> wire.Fields:
    """What rclone answers within `deadline` seconds; raises NotReady when it does not listen, or what it says."""
    try:
        async with asyncio.timeout(deadline):
            status, body = await _exchange(path, call, json.dumps(fields).encode())
    except TimeoutError:
        raise DeadlineExceeded(f"rclone did not end {call} in {deadline:g} s") from None
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise NotReady(f"rclone does not listen at {path}: {error}") from None
    answer = _read(call, body)
    if status != 200:
        raise MoorageError(f"rclone refused {call}: {answer.get('error', f'HTTP status {status}')}")
    return answer


def _read(call: str, body: bytes) -> dict[str, Any]:
    try:
        found: Any = json.loads(body)
    except ValueError:
        raise MoorageError(f"rclone's answer to {call} is not JSON") from None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


async def _exchange(path: Path, call: str, body: bytes) -> tuple[int, bytes]:
    """HTTP/1.0, so that the answer ends with the connection."""
    reader, writer = await asyncio.open_unix_connection(path, limit=_MOST)
    try:
        head = f"POST /{call} HTTP/1.0\r\nHost: rclone\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        first = await reader.readuntil(b"\r\n\r\n")
        return _status(first), await reader.read(-1)
    finally:
        writer.close()


def _status(head: bytes) -> int:
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise MoorageError("rclone's answer is not HTTP")
    return int(words[1])
