"""Threads for work that may take minutes, so that what is short (the heartbeat's looks, too) never waits for one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

_THREADS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="long")  # more than there are workers of all queues


async def in_long_thread(work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work, *arguments)
