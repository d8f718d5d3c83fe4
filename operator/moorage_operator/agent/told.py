"""Serving until the process is asked to end."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


async def until_told(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` until SIGTERM or SIGINT. Children end as the tasks that watch them are cancelled."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    task = asyncio.create_task(work)
    stop = asyncio.create_task(told.wait())
    await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if told.is_set():
        log.info("told to end")
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
