"""One FUSE process: started in a session of its own, watched by pidfd, its last words kept."""

import asyncio
import logging
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

log = logging.getLogger(__name__)

_LINES = 40  # kept for error messages
_LINE = 500  # characters of one
_STAMP = re.compile(r"^\S+Z \[[A-Z]{3}\] \S+\(\d+\): ")
STOP_SECONDS = (10.0, 5.0)  # to end when asked, and when killed
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


class Process:
    """A running program. `exited` is set, and `on_exit` called, within milliseconds of its end."""

    def __init__(
        self,
        argv: Sequence[str],
        hidden: Sequence[str],
        on_exit: Callable[[], None],
        handed: Sequence[int] = (),
        environment: Mapping[str, str] = _ENVIRONMENT,
    ) -> None:
        """`hidden` are secrets: should the program ever print one, it is blanked. `handed`: descriptors it gets."""
        self._loop = asyncio.get_running_loop()
        self._hidden = [text for text in hidden if text]
        self._on_exit = on_exit
        self._lines: deque[str] = deque(maxlen=_LINES)
        self.exited = asyncio.Event()
        self._output, child = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(child, True)
        try:
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=child,
                stderr=child,
                env={**_ENVIRONMENT, **environment},
                cwd="/",
                start_new_session=True,
                pass_fds=handed,
            )
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(child)
        self._pidfd = os.pidfd_open(self._popen.pid)
        self._loop.add_reader(self._pidfd, self._ended)
        self._loop.add_reader(self._output, self._read)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return not self.exited.is_set()

    @property
    def status(self) -> int:
        """The exit status; negative: the signal that ended it."""
        return self._popen.returncode or 0

    def hide(self, hidden: Sequence[str]) -> None:
        """Blank these too."""
        self._hidden += [text for text in hidden if text and text not in self._hidden]

    def signal(self, number: int) -> None:
        if self.running:
            signal.pidfd_send_signal(self._pidfd, number)

    @property
    def last_words(self) -> str:
        """What it said last, without the stamps of s3fs, for an error message."""
        said = [_STAMP.sub("", line) for line in self._lines if "[INF]" not in line]
        return " | ".join(said[-2:]) or f"exit status {self.status}"

    async def wait(self, seconds: float) -> bool:
        """Whether it has ended within `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.exited.wait()
        return not self.running

    async def stop(self) -> bool:
        """Ask it to end, then kill it. False: it has not ended, because it waits inside of the kernel (state D)."""
        for number, seconds in zip((signal.SIGTERM, signal.SIGKILL), STOP_SECONDS, strict=True):
            self.signal(number)
            if await self.wait(seconds):
                return True
        log.error("process %d does not die", self.pid)
        return False

    def _ended(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._popen.wait()
        self._read()
        self._loop.remove_reader(self._output)
        os.close(self._output)
        self.exited.set()
        self._on_exit()

    def _read(self) -> None:
        """Take what was printed; at most a pipe full at once, so a talkative program cannot hold up the others."""
        with suppress(BlockingIOError):
            data = os.read(self._output, 65536)
            for line in data.decode(errors="replace").splitlines():
                self._keep(line)

    def _keep(self, line: str) -> None:
        for text in self._hidden:
            line = line.replace(text, "***")
        self._lines.append(line[:_LINE])
        log.info("[%d] %s", self._popen.pid, line[:_LINE])
