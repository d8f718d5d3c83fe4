"""A filer for the tests: a kernel NFS server (knfsd) in a user-mode-linux machine of its own, on the cluster's bridge.

    with filer(provider) as nas:
        nas.address, nas.path      # what a StorageBackend with engine nfs names
        nas.sh(f"ls {nas.root}")   # as its administrator

Clients are admitted from everywhere on the bridge, nodes and pods alike, as root (no_root_squash) and from any port.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from . import nodeconfig
from .cache import cache_dir
from .command import CommandFailed, run
from .layout import BRIDGE, FILER_ADDRESS, FILER_TAP, GATEWAY, NODES
from .network import LINKS
from .process import Processes
from .provider import Provider, Unsupported
from .state import State, seen
from .umlkernel import ensure_kernel
from .umlnode import AGENT_PORT
from .umlroot import ensure_root

HERE = Path(__file__).parent
NAME = "filer"
MEMORY_MIB = 256
DISK_BYTES = 4 * 2**30  # sparse
LEASE_SECONDS = 10
ROOT = "/srv/export"


@dataclass(frozen=True)
class Wire:
    """Where the machine is plugged in. `routes`: lines of `ip -batch`, for who is not on the bridge itself."""

    bridge: str = BRIDGE
    tap: str = FILER_TAP
    address: str = FILER_ADDRESS
    gateway: str = GATEWAY
    prefix: int = 24
    routes: Sequence[str] = tuple(f"route add {node.pods} via {node.address}" for node in NODES)


class Filer:
    """The machine. `root` is the exported directory as it is called inside, `path` as clients mount it."""

    path = "/export"
    root = ROOT

    def __init__(self, home: Path, processes: Processes, wire: Wire | None = None) -> None:
        """`home`: a directory of its own within the cache directory."""
        self.home = home
        self._processes = processes
        self._wire = wire or Wire()

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._wire.address

    def create(self) -> None:
        """Make its disk, plug it in, boot it; it serves when this returns."""
        self.home.mkdir(parents=True, exist_ok=True)
        disk = self.home / "disk.ext4"
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        run(["mkfs.ext4", "-q", "-F", "-m", "0", disk])
        shutil.copytree(HERE / "init", self.home / "init", dirs_exist_ok=True)
        token = self.home / "agent.token"
        token.touch(0o600)
        token.write_text(secrets.token_hex(24))
        (self.home / "routes").write_text("".join(f"{line}\n" for line in self._wire.routes))
        (self.home / "node.env").write_text(nodeconfig.environment(self._told(token)))
        self._plug_in()
        self.start()

    def _told(self, token: Path) -> dict[str, str]:
        wire = self._wire
        return {
            "NAME": NAME,
            "ADDRESS": wire.address,
            "PREFIX": str(wire.prefix),
            "GATEWAY": wire.gateway,
            "ROUTES": str(seen(self.home / "routes")),
            "ROOT": ROOT,
            "LEASE": str(LEASE_SECONDS),
            "THREADS": "8",
            "INIT": str(seen(self.home / "init")),
            "MODULES": str(seen(ensure_kernel().modules)),
            "TOKEN": str(seen(token)),
        }

    def _plug_in(self) -> None:
        tap = self._wire.tap
        if not (LINKS / tap).exists():
            run(["ip", "tuntap", "add", tap, "mode", "tap"])
        run(["ip", "link", "set", tap, "master", self._wire.bridge, "up"])

    def start(self, wait: float = 60.0) -> None:
        """Boot it (again, on the disk it had), and wait until it serves."""
        if self._processes.find(NAME) is None:
            self._processes.cgroup.kill(NAME)
            shutil.rmtree(self.home / "uml", ignore_errors=True)
            (self.home / "uml").mkdir()
            # the memory of the machine is a file there, unlinked at once
            self._processes.spawn(NAME, NAME, self._command_line(), env={"TMPDIR": "/dev/shm"})
        deadline = monotonic() + wait
        while not self._serves():
            if monotonic() > deadline:
                raise TimeoutError(f"the filer does not serve after {wait:.0f} s\n{self._processes.tail(NAME)}")
            sleep(0.2)

    def _command_line(self) -> list[str]:
        kernel = ensure_kernel()
        card = f"vec0:transport=tap,ifname={self._wire.tap},depth=64,gro=1,mac=02:00:58:00:01:01"
        words = [f"mem={MEMORY_MIB}M", f"umid={NAME}", f"uml_dir={self.home / 'uml'}", "quiet", "selinux=0"]
        words += ["root=/dev/root", "rootfstype=hostfs", f"rootflags={ensure_root()}", "ro", "init=/bed-init"]
        words += [f"ubd0={self.home / 'disk.ext4'}", card, "con=null", "con0=null,fd:1", f"bed={cache_dir()}"]
        words += [f"bed_env={seen(self.home / 'node.env')}", f"bed_init={seen(self.home / 'init/filer.sh')}"]
        return [str(kernel.binary), *words, *kernel.arguments()]

    def _serves(self) -> bool:
        with suppress(CommandFailed):
            return self.sh("cat /proc/fs/nfsd/threads", timeout=5).strip() not in ("", "0")
        return False

    def power_cut(self) -> None:
        """Nothing is flushed, and clients wait for it."""
        self._processes.cgroup.kill(NAME)

    def sh(self, script: str, timeout: float = 60.0) -> str:
        """Run a script inside, as root; what it prints. Raises CommandFailed."""
        argv = ["bash", "-ec", script]
        asked = {"token": (self.home / "agent.token").read_text(), "argv": argv, "timeout": timeout, "stdin": ""}
        try:
            with socket.create_connection((self.address, AGENT_PORT), timeout=5) as link:
                link.settimeout(timeout + 15)
                link.sendall(json.dumps(asked).encode() + b"\n")
                with link.makefile("rb") as stream:
                    told = json.loads(stream.readline() or b"null")
        except (OSError, ValueError) as error:
            raise CommandFailed([NAME, *argv], 255, "", f"the filer does not answer: {error}") from error
        if not told or told["code"]:
            raise CommandFailed([NAME, *argv], told["code"] if told else 255, *_words(told))
        return str(told["stdout"])

    def delete(self) -> None:
        """Leave nothing of it."""
        self._processes.cgroup.kill(NAME)
        if (LINKS / self._wire.tap).exists():
            run(["ip", "link", "del", self._wire.tap])
        shutil.rmtree(self.home, ignore_errors=True)


def _words(told: dict[str, str] | None) -> tuple[str, str]:
    return (told["stdout"], told["stderr"]) if told else ("", "the filer hung up")


@contextmanager
def filer(provider: Provider) -> Generator[Filer]:
    """A filer on the local cluster's bridge, up and serving an empty export; gone afterwards."""
    if provider.kind != "local":
        raise Unsupported(f"provider {provider.kind} has no bridge of ours to plug a filer into: use CLUSTER=local")
    state = State(provider.name)
    found = Filer(state.home / NAME, state.processes)
    found.delete()  # of a run that was killed
    try:
        found.create()
        yield found
    finally:
        found.delete()
