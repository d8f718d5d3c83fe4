"""A runner with helpers at hand: what a pod waits for is done by a process that is there already.

Starting a process costs milliseconds, and tens of them on a small node, more than the mount itself. So helpers
(`hand`) stay for a while and take one task after another. What hangs, hangs in a helper: when the time of a task is
over its helper is killed and abandoned like any other command. Every other command, and every task for which no helper
is free, runs as a process of its own, so nobody waits behind a task that hangs.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from moorage.errors import DeadlineExceeded, MoorageError
from moorage_csi import hand
from moorage_csi.runner import Output, Processes

log = logging.getLogger(__name__)

SCRIPT = (sys.executable, "-I", "-S", hand.__file__)  # as `mounts` calls it, one task at a time
IDLE_SECONDS = 300.0  # after that helpers go: a node where nothing happens has none
_MOST = 4  # helpers
_UMOUNT_FLAGS = {"-f": "1", "-l": "2"}


def task(argv: Sequence[str]) -> list[str] | None:
    """A command line as a helper's task; None for what helpers do not do."""
    match tuple(argv):
        case ("stat", "--file-system", _, path):
            return ["stat", path]
        case ("umount", "-c", "-i", *flags, path) if len(flags) <= 1 and all(flag in _UMOUNT_FLAGS for flag in flags):
            return ["umount", path, "".join(_UMOUNT_FLAGS[flag] for flag in flags) or "0"]
        case ("mount", "-c", "-n", "--bind", "-o", given, staging, target):
            return ["bind", staging, "/", target, given.partition(",")[0]]  # it keeps all flags of what it binds
        case (*script, "bind", staging, folder, target, mode) if tuple(script) == SCRIPT:
            return ["bind", staging, folder, target, mode]
        case (*script, "bind", staging, folder, target, mode, "new") if tuple(script) == SCRIPT:
            return ["bind", staging, folder, target, mode, "new"]
        case (*script, "grant", target, group) if tuple(script) == SCRIPT:
            return ["grant", target, group]
        case _:
            return None


class Hands:
    """A `Runner`."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._processes = Processes()
        self._idle_seconds = idle_seconds
        self._idle: list[asyncio.subprocess.Process] = []
        self._count = 0  # helpers, idle, busy or being started
        self._expiry: asyncio.TimerHandle | None = None
        self._starts: set[asyncio.Task[None]] = set()

    @property
    def abandoned(self) -> int:
        """Killed commands and helpers that have not died yet."""
        return self._processes.abandoned

    async def run(self, argv: Sequence[str], seconds: float, about: str = "") -> Output:
        wanted = task(argv)
        self._processes.check_stuck(argv[0], about)
        helper = self._free() if wanted else None
        if wanted is None or helper is None:
            if wanted and self._count < _MOST:
                self._begin()
            return await self._processes.run(argv, seconds, about)
        try:
            output = await self._give(helper, wanted, argv[0], seconds, about)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            log.warning("a helper went away: %s", error)
            return await self._processes.run(argv, seconds, about)
        self._keep(helper)
        if output.status == hand.UNKNOWN:  # mount(8) has older ways
            return await self._processes.run(argv, seconds, about)
        return output

    async def warm(self) -> None:
        """A helper is there."""
        if not self._idle:
            self._count += 1
            await self._start()

    async def close(self) -> None:
        """All helpers end."""
        for start in self._starts:
            start.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        for helper in self._expire():
            with suppress(ProcessLookupError):
                helper.kill()
            await helper.wait()

    def _free(self) -> asyncio.subprocess.Process | None:
        while self._idle:
            helper = self._idle.pop()
            if helper.returncode is None:
                return helper
            self._count -= 1
        return None

    def _keep(self, helper: asyncio.subprocess.Process) -> None:
        self._idle.append(helper)
        if self._expiry:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(self._idle_seconds, self._expire)

    def _expire(self) -> list[asyncio.subprocess.Process]:
        gone, self._idle = self._idle, []
        self._count -= len(gone)
        for helper in gone:
            if helper.stdin:
                helper.stdin.close()
        if self._expiry:
            self._expiry.cancel()
        return gone

    def _begin(self) -> None:
        """Start a helper for the next task; this one does not wait for it."""
        self._count += 1
        start = asyncio.ensure_future(self._start())
        self._starts.add(start)
        start.add_done_callback(self._starts.discard)

    async def _start(self) -> None:
        try:
            self._keep(await self._processes.start(SCRIPT, asyncio.subprocess.PIPE))
        except MoorageError as error:
            self._count -= 1
            log.warning("no helper could be started: %s", error)
        except BaseException:
            self._count -= 1
            raise

    async def _give(
        self, helper: asyncio.subprocess.Process, wanted: list[str], name: str, seconds: float, about: str
    ) -> Output:
        """What comes of the task; a helper that does not give an answer is killed and abandoned."""
        stdin, stdout = cast("asyncio.StreamWriter", helper.stdin), cast("asyncio.StreamReader", helper.stdout)
        answer = b""
        try:
            async with asyncio.timeout(seconds):
                stdin.write(json.dumps(wanted).encode() + b"\n")
                await stdin.drain()
                answer = await stdout.readuntil(b"\n")
            return Output(*json.loads(answer))
        except TimeoutError:
            raise DeadlineExceeded(f"`{name}` took longer than {seconds:g} s and was killed") from None
        finally:
            if not answer:
                self._count -= 1
                self._processes.abandon(helper, about)
