"""A moorfs mount in a mount namespace of its own, with us as its mounter: we keep the fd, kill and restart the server.

No file of the mount is touched by the test's own process: what touches it runs in a forked child with a deadline, so
that a server that does not answer fails a test and hangs nobody. `Mount.close` aborts the connection, which frees even
a child in the kernel's hands.
"""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from s3engine import ROOT, Engine

from moorage.errors import DeadlineExceeded, NotReady
from moorfs import control, settings

T = TypeVar("T")
SECONDS = 60.0  # what is waited for comes sooner, also on a machine with much else to do

# Mounts in a namespace of its own, says the mount's device number, and stays until its input ends.
_KEEPER = """
import ctypes, os, sys
fd, where, options = sys.argv[1:4]
libc = ctypes.CDLL(None, use_errno=True)
libc.mount(b"none", b"/sys/fs/fuse/connections", b"fusectl", 0, None)
words = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions{options}"
if libc.mount(b"moorfs", where.encode(), b"fuse.moorfs", 6, words.encode()):
    sys.exit(os.strerror(ctypes.get_errno()))
line = next(each for each in open("/proc/self/mountinfo") if each.split()[4] == where)
device = line.split()[2]
open(f"/sys/class/bdi/{device}/read_ahead_kb", "w").write("1024")  # as our mounter does
print(device.split(":")[1], flush=True)
os.close(int(fd))
sys.stdin.read()
"""


@dataclass
class Mount:
    """`files` is where the mount is seen from here, for children; `cache` its cache directory; `log` the server's."""

    home: Path
    settings: settings.Settings
    command: Sequence[str] = (sys.executable, "-m", "moorfs")
    environment: dict[str, str] = field(default_factory=dict[str, str])
    fd: int = -1
    server: "subprocess.Popen[bytes] | None" = None
    _keeper: "subprocess.Popen[str] | None" = None
    _connection: str = ""
    _jobs: "list[Job[Any]]" = field(default_factory=lambda: [])

    @property
    def files(self) -> Path:
        assert self._keeper
        return Path(f"/proc/{self._keeper.pid}/root{self.home / 'mnt'}")

    @property
    def namespace(self) -> int:
        """A process in whose mount namespace the mount is."""
        assert self._keeper
        return self._keeper.pid

    @property
    def cache(self) -> Path:
        return Path(self.settings.cache)

    @property
    def log(self) -> str:
        return (self.home / "moorfs.log").read_text(errors="replace")

    @property
    def processor_seconds(self) -> float:
        """What the server has used of the processors, whatever else the machine has to do."""
        assert self.server
        told = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")

    def mount(self) -> None:
        """mount(2); nothing answers yet."""
        (self.home / "mnt").mkdir(parents=True, exist_ok=True)
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        alone = ["unshare", "--mount", "--propagation", "private", "setpriv", "--pdeathsig", "KILL", "--"]
        self._keeper = subprocess.Popen(
            [*alone, sys.executable, "-Ic", _KEEPER, str(self.fd), str(self.home / "mnt"), ""],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[self.fd],
        )  # fmt: skip
        assert self._keeper.stdout
        self._connection = self._keeper.stdout.readline().strip()
        assert self._connection, "mounting failed; it needs root and /dev/fuse"

    def start(self, takeover: bool = False, ready: bool = True) -> None:
        """Start the server; with `ready`, return when it answers."""
        config = self.home / "config.json"
        settings.save(self.settings, str(config))
        argv = [*self.command, "--fd", str(self.fd), "--config", str(config), *(["--takeover"] if takeover else [])]
        paths = os.pathsep.join(str(ROOT / each) for each in ("core", "moorfs", "tests/unit/moorfs"))
        env = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", **self.environment}
        with (self.home / "moorfs.log").open("ab") as log:
            self.server = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv], stdout=log, stderr=log, pass_fds=[self.fd], env=env
            )
        if ready:
            self._until_served()

    def _until_served(self) -> None:
        assert self.server
        end = time.monotonic() + SECONDS
        while self._served_by() != self.server.pid:
            assert self.server.poll() is None, f"moorfs ended with {self.server.returncode}:\n{self.log[-3000:]}"
            assert time.monotonic() < end, f"moorfs does not answer:\n{self.log[-3000:]}"
            time.sleep(0.005)

    def _served_by(self) -> int:
        try:
            return int(self.ask("stats", 5)["pid"])
        except (NotReady, DeadlineExceeded, KeyError):
            return 0

    def kill(self) -> None:
        """SIGKILL, as a crash would; callers wait from now on."""
        assert self.server
        self.server.kill()
        self.server.wait(SECONDS)

    def replace(self) -> None:
        """kill -9, and a new process takes over."""
        self.kill()
        self.start(takeover=True)

    def abort(self) -> None:
        """Every request under way, and every later one, fails."""
        if self._keeper and self._connection:
            where = f"/proc/{self._keeper.pid}/root/sys/fs/fuse/connections/{self._connection}/abort"
            with contextlib.suppress(OSError):
                Path(where).write_text("1")

    def waiting(self) -> int:
        """Requests that the kernel has no answer to yet."""
        assert self._keeper
        where = f"/proc/{self._keeper.pid}/root/sys/fs/fuse/connections/{self._connection}/waiting"
        return int(Path(where).read_text())

    def do(self, work: Callable[[], T], seconds: float = SECONDS) -> T:
        """What `work` returns, run in a child whose working directory is the mount; its exception is raised here."""
        return self.begin(work).result(seconds)

    def begin(self, work: Callable[[], T]) -> "Job[T]":
        """The same, without waiting."""
        job = Job(work, self.files, self.fd)
        self._jobs.append(job)
        return job

    def ask(self, method: str, deadline: float = SECONDS, **more: Any) -> dict[str, Any]:
        """A request to the control socket."""
        return dict(control.ask(self.settings.socket, {"method": method, **more}, deadline))

    def close(self) -> None:
        """Abort, and end all that was started."""
        self.abort()
        for job in self._jobs:
            job.kill()
        if self.server:
            self.server.kill()
            self.server.wait(SECONDS)
        if self._keeper:
            self._keeper.kill()
            self._keeper.wait(SECONDS)
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Job(Generic[T]):
    """`work` in a forked child, in directory `where`; the descriptor `unwanted` is closed there."""

    def __init__(self, work: Callable[[], T], where: Path, unwanted: int) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._read)
            os.close(unwanted)
            _child(work, where, write)
        os.close(write)
        self._done = False
        self.ended = False  # whether a kill had its effect

    def result(self, seconds: float = SECONDS) -> T:
        """What it returned or raised; TimeoutError when it takes longer."""
        import select

        end, data = time.monotonic() + seconds, bytearray()
        while True:
            if not select.select([self._read], [], [], max(end - time.monotonic(), 0))[0]:
                raise TimeoutError(f"no end after {seconds:.0f} s; {_where(self.pid)}")
            if not (piece := os.read(self._read, 1 << 16)):
                break
            data += piece
        self._reap()
        if not data:
            raise ChildProcessError("the child died without a result")
        good, value = pickle.loads(data)  # noqa: S301 - our own child wrote it
        if good:
            return value
        raise value

    @property
    def running(self) -> bool:
        import select

        return not self._done and not select.select([self._read], [], [], 0)[0]

    def kill(self) -> None:
        """SIGKILL, and wait for its end; a child that the kernel holds goes when the connection is aborted."""
        if not self._done:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            end = time.monotonic() + SECONDS
            while not self.ended and time.monotonic() < end:
                self.ended = os.waitpid(self.pid, os.WNOHANG)[0] != 0
                time.sleep(0 if self.ended else 0.005)
            self._done = True
            os.close(self._read)

    def _reap(self) -> None:
        os.waitpid(self.pid, 0)
        os.close(self._read)
        self._done = True


def _child(work: Callable[[], Any], where: Path, write: int) -> None:
    try:
        signal.set_wakeup_fd(-1)
        os.chdir(where)
        result: tuple[bool, Any] = (True, work())
    except BaseException as error:
        result = (False, _plain(error))
    with os.fdopen(write, "wb") as pipe:
        pickle.dump(result, pipe)
        pipe.flush()
        os._exit(0)


def _plain(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    error.__traceback__ = None
    return error


def _where(pid: int) -> str:
    with contextlib.suppress(OSError):
        return f"it is in {Path(f'/proc/{pid}/wchan').read_text()}"
    return "it is gone"


def make(home: Path, engine: Engine, bucket: str, **more: Any) -> settings.Settings:
    """Settings of a mount in `home`, with `more` of them as given."""
    home.mkdir(parents=True, exist_ok=True)
    key = home / "key.json"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_text(json.dumps({"AWS_ACCESS_KEY_ID": engine.access, "AWS_SECRET_ACCESS_KEY": engine.secret}))
    given: dict[str, Any] = {
        "endpoint": engine.endpoint, "bucket": bucket, "key_file": str(key), "cache": str(home / "cache"),
        "socket": str(home / "control"), "volume": "tests/volume", "log_level": "DEBUG", **more,
    }  # fmt: skip
    return settings.Settings(**given)
