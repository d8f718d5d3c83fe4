"""The machine under the cluster: Debian packages it must have, and the kernel settings that the cluster changes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from .command import run
from .progress import say, slow

# command -> Debian package that brings it
LOCAL_NEEDS: Mapping[str, str] = {
    "debootstrap": "debootstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "losetup": "mount",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "modprobe": "kmod",
    "openssl": "openssl",
    "patchelf": "patchelf",
    "dpkg-deb": "dpkg",
}

# What the kubelet's setupKernelTunables sets, and what two nodes' watchers need. All are put back by `restore`.
TUNABLES: Mapping[str, str | None] = {
    "fs/inotify/max_user_instances": "1024",
    "vm/overcommit_memory": None,
    "vm/panic_on_oom": None,
    "kernel/panic": None,
    "kernel/panic_on_oops": None,
    "kernel/keys/root_maxkeys": None,
    "kernel/keys/root_maxbytes": None,
}
PROC_SYS = Path("/proc/sys")


class HostUnfit(RuntimeError):
    """This machine cannot carry the local cluster; the message says what to change."""


def require_root() -> None:
    """The local provider makes namespaces, mounts and bridges."""
    if os.geteuid() != 0:
        raise HostUnfit("the local cluster needs root (namespaces, mounts, a bridge): run as root, or use CLUSTER=kind")


def missing_packages(needs: Mapping[str, str]) -> list[str]:
    """The packages of `needs` (command -> package) whose command is not on the path, sorted, each once."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return sorted({package for command, package in needs.items() if shutil.which(command, path=path) is None})


def ensure_packages(needs: Mapping[str, str] = LOCAL_NEEDS) -> None:
    """Install by apt-get what `needs` names and this machine lacks; says which, does nothing when all is there."""
    wanted = missing_packages(needs)
    if not wanted:
        return
    if shutil.which("apt-get") is None:
        raise HostUnfit(f"install these first (no apt-get here): {', '.join(wanted)}")
    require_root()
    with slow(f"installing Debian packages this machine lacks: {' '.join(wanted)}"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *wanted]
        if run(install, timeout=600, check=False, env=quiet).returncode != 0:
            run(["apt-get", "update", "-q"], timeout=300, env=quiet)
            run(install, timeout=600, env=quiet)


def load_modules(*names: str) -> None:
    """Ask for kernel modules; a kernel that has them built in says nothing of use, so the answer is not judged."""
    run(["modprobe", "-q", "-a", *names], check=False)


def save_and_tune(saved: Path) -> None:
    """Note every tunable's value in `saved` (once: a second call must not note our own), then set ours."""
    if not saved.exists():
        values = {name: _read(name) for name in TUNABLES}
        draft = saved.with_suffix(".tmp")
        draft.write_text(json.dumps(values))
        draft.replace(saved)
    for name, value in TUNABLES.items():
        if value is not None and int(_read(name) or 0) < int(value):
            _write(name, value)


def restore(saved: Path) -> None:
    """Put back what `save_and_tune` noted; nothing was noted, nothing is done."""
    if not saved.exists():
        return
    values: dict[str, str | None] = json.loads(saved.read_text())
    for name, value in values.items():
        if value is not None and _read(name) != value:
            _write(name, value)
            say(f"sysctl {name.replace('/', '.')} is {value} again")


def _read(name: str) -> str | None:
    file = PROC_SYS / name
    return file.read_text().strip() if file.exists() else None


def _write(name: str, value: str) -> None:
    (PROC_SYS / name).write_text(value)


def free_memory_mib() -> int:
    """Memory that new processes can have, in MiB (MemAvailable of /proc/meminfo)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0
