"""The suites' programs, built from crates.io into the cache, and the image that pods run them from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from cluster.archive import Entry, Settings, write_archive
from cluster.cache import cache_dir, digest, locked
from cluster.command import run
from cluster.host import HostUnfit
from cluster.images import Recipe
from cluster.progress import slow

# The crates with their own lock files. pjdfstest is the Rust edition of the suite of that name; it needs Rust 1.85.
CRATES: Mapping[str, str] = {"pjdfstest": "0.2.2", "fsx": "0.3.2"}
TARGET = "x86_64-unknown-linux-gnu"
FLAGS = "-C target-feature=+crt-static"  # so that it runs in an image of nothing else
IMAGE = "docker.io/moorage/posixsuite:0.1.0"
FILES = Path(__file__).with_name("image")
CONFIGURATION = FILES / "pjdfstest.toml"


def ensure_programs() -> Path:
    """The directory of the built programs. Raises HostUnfit when there is no cargo."""
    home = cache_dir() / f"posixsuite-{digest([*(f'{k}={v}' for k, v in CRATES.items()), TARGET, FLAGS])}"
    if not home.is_dir():
        with locked(cache_dir() / "posixsuite.lock"):
            if not home.is_dir():
                _build(home)
    return home / "bin"


def _build(home: Path) -> None:
    if shutil.which("cargo") is None:
        raise HostUnfit("make posix needs cargo of Rust 1.85 or later (Debian 13: apt-get install cargo)")
    draft = home.with_name(f"{home.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    environment = {"RUSTFLAGS": FLAGS, "CARGO_TARGET_DIR": str(draft / "target")}
    for crate, version in CRATES.items():
        argv = ["cargo", "install", crate, "--version", version, "--locked", "--target", TARGET, "--root", str(draft)]
        with slow(f"building {crate} {version}"):
            run(argv, timeout=1800, env=environment)
    shutil.rmtree(draft / "target")
    os.replace(draft, home)


def recipe() -> Recipe:
    """The image: the programs, their configuration, users by name, and nothing else."""
    programs = ensure_programs()

    def build(archive: Path) -> None:
        entries = [Entry("tmp", mode=0o1777), *(Entry(name, programs / name) for name in CRATES)]
        entries += [Entry("etc"), *(Entry(f"etc/{name}", FILES / name, 0o644) for name in ("passwd", "group"))]
        entries.append(Entry(CONFIGURATION.name, CONFIGURATION, 0o644))
        write_archive(archive, IMAGE, entries, Settings())

    return Recipe(IMAGE, (programs, FILES), build)
