"""Outside commands, behind one small protocol. Whatever may hang (mount, umount, stat) runs here and nowhere else.

A command has its own session. When its time is over it is killed with its whole process group; one that cannot die (in
D state on a dead server) is abandoned and counted, and the driver goes on answering.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from moorage.errors import DeadlineExceeded, MoorageError

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Output:
    status: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """What the command said, on one line, for an error message."""
        words = " ".join((self.stderr or self.stdout).split())
        return words[:1000] or f"exit status {self.status}"


class Runner(Protocol):
    @property
    def abandoned(self) -> int:
        """Killed commands that have not died yet."""
        ...

    async def run(self, argv: Sequence[str], seconds: float, about: str = "") -> Output:
        """Run `argv` for at most `seconds`; raises DeadlineExceeded after that.

        `about` is the path looked at: while an earlier command about it hangs, no other is started.
        """
        ...


class Processes:
    """The real runner."""

    def __init__(self) -> None:
        self._stuck: dict[asyncio.Task[int], str] = {}

    @property
    def abandoned(self) -> int:
        """Killed commands that have not died yet."""
        return len(self._stuck)

    async def run(self, argv: Sequence[str], seconds: float, about: str = "") -> Output:
        self.check_stuck(argv[0], about)
        process = await self.start(argv)
        try:
            async with asyncio.timeout(seconds):
                stdout, stderr = await process.communicate()
        except TimeoutError:
            raise DeadlineExceeded(f"`{argv[0]}` took longer than {seconds:g} s and was killed") from None
        finally:
            if process.returncode is None:
                self.abandon(process, about)
        return Output(process.returncode or 0, stdout.decode(errors="replace"), stderr.decode(errors="replace"))

    def check_stuck(self, name: str, about: str) -> None:
        """Raises DeadlineExceeded while an earlier command about the path hangs."""
        if about and about in self._stuck.values():
            raise DeadlineExceeded(f"{about} does not answer: an earlier `{name}` on it still hangs")

    async def start(self, argv: Sequence[str], stdin: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        try:
            return await asyncio.create_subprocess_exec(
                *argv, stdin=stdin, stdout=pipe, stderr=pipe, env=_ENVIRONMENT, start_new_session=True
            )
        except FileNotFoundError:
            raise MoorageError(f"`{argv[0]}` is not in this image") from None

    def abandon(self, process: asyncio.subprocess.Process, about: str) -> None:
        """Kill it, and count it until it has died; until then nothing else is done about the path."""
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        task = asyncio.ensure_future(process.wait())
        self._stuck[task] = about
        task.add_done_callback(lambda done: self._stuck.pop(done, None))
