"""The suites' programs, built from crates.io into the cache, and the image that pods run them from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from cluster.cache import cache_dir, digest, locked
from cluster.command import run
from cluster.host import HostUnfit
from cluster.imagebuild import Source
from cluster.images import Recipe, from_dockerfile
from cluster.progress import slow

# The crates with their own lock files. pjdfstest is the Rust edition of the suite of that name; it needs Rust 1.85.
CRATES: Mapping[str, str] = {"pjdfstest": "0.2.2", "fsx": "0.3.2"}
TARGET = "x86_64-unknown-linux-gnu"
FLAGS = "-C target-feature=+crt-static"  # so that it runs whatever C library the machine and the image have
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
    """The image: a small Debian with the programs and their configuration. pjdfstest runs a copy of its `sleep`."""
    programs = ensure_programs()

    def source() -> Source:
        return Source(FILES, FILES / "Dockerfile", contexts={"programs": programs})

    return from_dockerfile(IMAGE, source, programs, FILES)
