"""The user-mode-linux kernel: Debian unstable's, whose seccomp mode is several times faster than stable's ptrace.

The binary wants a newer C library than this machine may have, so it is given one of its own by patchelf.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .cache import cache_dir, digest, locked
from .command import CommandFailed, run
from .debian import KEYRING, mirror
from .progress import say, slow
from .umlroot import SUITE

RECIPE = "3"  # changes when the steps below do, so that no half-old directory is taken
LOADER = "lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


class NotHad(RuntimeError):
    """The package is not to be had, or is not what was expected."""


@dataclass(frozen=True)
class Kernel:
    """A kernel to boot: its binary, the directory that holds `lib/modules`, and whether it has the fast mode."""

    binary: Path
    modules: Path
    fast: bool

    def arguments(self) -> list[str]:
        """What this kernel must be told beyond what every node is told."""
        return ["seccomp=on"] if self.fast else []


@cache
def ensure_kernel() -> Kernel:
    """The newer kernel when it can be had, else the stable package's 6.1, which is slow (and said to be)."""
    try:
        return _ensure("unstable", ["user-mode-linux", "libc6"], fast=True)
    except (CommandFailed, NotHad) as error:
        say(f"the newer user-mode-linux cannot be had ({error})")
        say(f"taking {SUITE}'s kernel 6.1 instead: pods on node2 and node3 will start in 15 to 30 s, not in 2 s")
        return ensure_stable_kernel()


def ensure_stable_kernel() -> Kernel:
    """The stable package's 6.1: the fallback, and an old NFS client to test with."""
    return _ensure(SUITE, ["user-mode-linux"], fast=False)


def _ensure(suite: str, packages: Sequence[str], fast: bool) -> Kernel:
    home = cache_dir() / f"uml-kernel-{suite}-{digest([RECIPE, *packages])}"
    if not home.is_dir():
        with locked(cache_dir() / "uml-kernel.lock"):
            if not home.is_dir():
                with slow(f"fetching user-mode-linux from Debian {suite} (once per machine)"):
                    _make(home, suite, packages)
    return Kernel(home / "linux.uml", home / "modules", fast)


def _make(home: Path, suite: str, packages: Sequence[str]) -> None:
    draft = home.with_name(home.name + ".draft")
    if draft.exists():
        shutil.rmtree(draft)
    tree = draft / "tree"
    for archive in _download(draft, suite, packages):
        run(["dpkg-deb", "-x", archive, tree], timeout=120)
    _take_modules(tree, draft / "modules")
    # lay it out at its final place: the patched binary names its loader by absolute path
    binary = draft / "linux.uml"
    shutil.copy2(tree / "usr/bin/linux.uml", binary)
    if "libc6" in packages:
        shutil.copytree(tree / LIBRARIES, draft / "libc", symlinks=True)
        _give_library(binary, home / "libc")
    shutil.rmtree(tree)
    shutil.rmtree(draft / "apt")
    os.replace(draft, home)


def _give_library(binary: Path, library: Path) -> None:
    loader = library / Path(LOADER).name
    run(["patchelf", "--set-interpreter", loader, "--set-rpath", library, binary])


def _take_modules(tree: Path, modules: Path) -> None:
    source = tree / "usr/lib/uml/modules"
    versions = sorted(source.iterdir())
    if len(versions) != 1:
        raise NotHad(f"the package holds modules of {len(versions)} kernels where one was expected")
    target = modules / "lib/modules"
    target.mkdir(parents=True)
    shutil.move(versions[0], target / versions[0].name)
    run(["depmod", "-b", modules, versions[0].name])


def _download(draft: Path, suite: str, packages: Sequence[str]) -> list[Path]:
    """Fetch the packages with apt's own checks, through lists of our own: the machine's apt state stays as it is."""
    apt = draft / "apt"
    for name in ("lists/partial", "archives/partial", "parts"):
        (apt / name).mkdir(parents=True)
    source = mirror()
    if source is None:
        raise NotHad("no Debian mirror is known here: set MOORAGE_DEBIAN_MIRROR")
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (apt / "sources.list").write_text(f"deb {signed}{source} {suite} main\n")
    (apt / "status").touch()
    options = [
        f"Dir::Etc::sourcelist={apt / 'sources.list'}",
        f"Dir::Etc::sourceparts={apt / 'parts'}",
        f"Dir::State::lists={apt / 'lists'}",
        f"Dir::State::status={apt / 'status'}",
        f"Dir::Cache={apt}",
        f"Dir::Cache::archives={apt / 'archives'}",
        "APT::Get::List-Cleanup=0",
        "APT::Sandbox::User=root",
    ]
    flags = [word for option in options for word in ("-o", option)]
    run(["apt-get", *flags, "update", "-q"], timeout=300)
    run(["apt-get", *flags, "download", "-q", *packages], timeout=600, cwd=apt)
    found = sorted(apt.glob("*.deb"))
    if len(found) != len(packages):
        raise NotHad(f"apt-get download brought {len(found)} packages of {len(packages)}")
    return found
