"""The root directory of every local node: one debootstrap tree, made once, kept in the cache, mounted read-only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .cache import cache_dir, digest, locked
from .command import contained, run
from .debian import mirror
from .progress import slow

SUITE = "bookworm"
PACKAGES = [
    *("ca-certificates", "e2fsprogs", "fuse3", "iproute2", "iptables", "kmod", "mount", "netbase", "nfs-common"),
    *("nfs-kernel-server", "nftables", "procps", "python3-minimal", "runc", "util-linux", "xfsprogs"),
]
# The tree is read-only later, so every mount point must be in it beforehand.
MOUNT_POINTS = ("etc/cni", "opt/cni/bin", "srv", "mnt", "oldroot", "var/lib/kubelet")
FILES = ("etc/resolv.conf", "etc/machine-id", "etc/hosts")

# The first program of a user-mode-linux node. `bed` and `bed_init` come from the kernel's command line: the kernel
# hands parameters it does not know to init as environment. The rest is in the init scripts of the host's directory.
FIRST = """#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/bed
mount -t hostfs -o "$bed" hostfs /run/bed
exec /bin/bash "$bed_init"
"""


def key() -> str:
    """Names the tree by all it is made from."""
    return digest([SUITE, *PACKAGES, *MOUNT_POINTS, *FILES, FIRST])


def ensure_root() -> Path:
    """The root directory, made (about 100 s) if the cache lacks it."""
    home = cache_dir() / f"node-root-{key()}"
    if home.is_dir():
        return home
    with locked(cache_dir() / "node-root.lock"):
        if not home.is_dir():
            _make(home)
    return home


def _make(home: Path) -> None:
    draft = home.with_name(home.name + ".draft")
    if draft.exists():
        shutil.rmtree(draft)
    with slow(f"making the nodes' root directory (debootstrap {SUITE}, once per machine)"):
        argv = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(draft)]
        source = mirror()
        whole = contained([*argv, *([source] if source else [])])
        run(whole, timeout=1800, env={"DEBIAN_FRONTEND": "noninteractive"})
        _finish(draft)
    os.replace(draft, home)


def _finish(tree: Path) -> None:
    for name in MOUNT_POINTS:
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (tree / name).unlink(missing_ok=True)
        (tree / name).touch()
    mtab = tree / "etc/mtab"
    mtab.unlink(missing_ok=True)
    mtab.symlink_to("/proc/self/mounts")
    first = tree / "bed-init"
    first.write_text(FIRST)
    first.chmod(0o755)
    modules = tree / "usr/lib/modules"
    modules.mkdir(parents=True, exist_ok=True)
    for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
        shutil.rmtree(tree / waste, ignore_errors=True)
