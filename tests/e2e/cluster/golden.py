"""The store of images that every node starts with: filled once per set of images, then linked or laid under each disk.

`tree/` holds a node's directories, with containerd's store in `tree/var-lib/containerd`; the namespace node gets hard
links of it. `disk.ext4` is the same tree as a file system, under the copy-on-write disks of the uml nodes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol

from .cache import cache_dir, digest, locked
from .command import contained, run
from .layers import contents, missing_bytes
from .process import children
from .progress import say, slow
from .state import State

DISK_BYTES = 12 << 30
NEAR_BYTES = 32 << 20  # what two user-mode-linux nodes take in about three seconds
DIRECTORIES = ("var-lib/containerd", "var-lib/kubelet", "var-log", "opt", "etc-cni", "srv", "tmp")
STORE = "var-lib/containerd"


class StoreBroken(RuntimeError):
    """The image store could not be filled."""


class Archived(Protocol):
    """What is asked of an image: where its archive lies, and a key that changes with its content."""

    @property
    def ref(self) -> str: ...
    @property
    def archive(self) -> Path: ...
    @property
    def key(self) -> str: ...


def key(images: Sequence[Archived], tools: Path) -> str:
    """Names the store by the images in it and the containerd that wrote it."""
    return digest([*sorted(f"{image.ref} {image.key}" for image in images), tools.parent.name, *DIRECTORIES])


@dataclass(frozen=True)
class Record:
    """What a golden directory holds: the key of each image by reference, its layers, and whose containerd wrote it."""

    images: dict[str, str]
    layers: dict[str, list[str]]
    tools: str

    @staticmethod
    def of(images: Sequence[Archived], tools: Path) -> Record:
        """The record of a store made now."""
        layers = {one.ref: [digest for digest, _ in one.layers] for image in images for one in contents(image.archive)}
        return Record({image.ref: image.key for image in images}, layers, tools.parent.name)

    @staticmethod
    def read(home: Path) -> Record | None:
        """The record of a golden directory, None if it has none."""
        try:
            return Record(**json.loads((home / "record.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def behind(self, images: Sequence[Archived]) -> int | None:
        """How many bytes of layers it lacks of these images; None if it lacks a whole image."""
        if set(self.images) != {image.ref for image in images}:
            return None
        have = {digest for layers in self.layers.values() for digest in layers}
        changed = [image for image in images if self.images[image.ref] != image.key]
        return sum(missing_bytes(image.archive, have) for image in changed)


def ensure_golden(images: Sequence[Archived], tools: Path) -> Path:
    """A golden directory for these images, or one so near to them that loading the rest into the nodes is faster.

    Made if the cache has neither; those that no cluster stands on are removed then.
    """
    home = cache_dir() / f"golden-{key(images, tools)}"
    with locked(cache_dir() / "golden.lock"):
        if home.is_dir():
            return home
        if near := _near(images, tools):
            return near
        remove_stale(home)
        _make(home, images, tools)
    return home


def _near(images: Sequence[Archived], tools: Path) -> Path | None:
    for home in sorted(cache_dir().glob("golden-*")):
        record = Record.read(home)
        if record is not None and record.tools == tools.parent.name:
            behind = record.behind(images)
            if behind is not None and behind <= NEAR_BYTES:
                return home
    return None


def remove_stale(keep: Path) -> None:
    """Remove golden directories of other images, except those under a cluster that exists."""
    clusters = cache_dir() / "clusters"
    names = [entry.name for entry in clusters.iterdir() if entry.is_dir()] if clusters.is_dir() else []
    used = {State(name).facts().get("golden") for name in names}
    for old in cache_dir().glob("golden-*"):
        if old.is_dir() and old != keep and str(old) not in used:
            say(f"removing {old.name}: its images are no longer the newest")
            shutil.rmtree(old)


def _make(home: Path, images: Sequence[Archived], tools: Path) -> None:
    draft = home.with_name(home.name + ".draft")
    if draft.exists():
        shutil.rmtree(draft)
    for name in DIRECTORIES:
        (draft / "tree" / name).mkdir(parents=True)
    with slow(f"filling the nodes' image store with {len(images)} images (once per change of an image)"):
        _import(draft, images, tools)
        disk = draft / "disk.ext4"
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        extended = "lazy_itable_init=0,lazy_journal_init=0"
        run(
            ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", extended, "-J", "size=32", "-d", draft / "tree", disk],
            timeout=900,
        )
        (draft / "record.json").write_text(json.dumps(asdict(Record.of(images, tools))))
    os.replace(draft, home)


def _import(draft: Path, images: Sequence[Archived], tools: Path) -> None:
    """Run a containerd on the store and import every archive; its mounts are in a namespace that ends with it."""
    work = draft / "work"
    work.mkdir()
    socket, config = work / "c.sock", work / "config.toml"
    config.write_text(containerd_config(draft / "tree" / STORE, work / "state", socket))
    ctr = [tools / "ctr", "--address", socket, "--namespace", "k8s.io"]
    argv = contained([tools / "containerd", "--config", config])
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    with (work / "log").open("wb") as log:
        daemon = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        try:
            _wait_for(ctr, daemon, work / "log")
            with ThreadPoolExecutor(3) as pool:
                for job in [
                    pool.submit(run, [*ctr, "images", "import", image.archive], timeout=600) for image in images
                ]:
                    job.result()
            _check(ctr, images)
        finally:
            stop_inside(daemon)
    shutil.rmtree(work)


def stop_inside(daemon: subprocess.Popen[bytes]) -> None:
    """Ask the daemon within its namespaces to end, so that it closes its databases."""
    for pid in children(daemon.pid):
        os.kill(pid, signal.SIGTERM)
    daemon.wait(30)


def _wait_for(ctr: list[Path | str], daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = monotonic() + 30
    while run([*ctr, "version"], check=False).returncode != 0:
        if daemon.poll() is not None or monotonic() > deadline:
            raise StoreBroken(f"containerd does not start:\n{log.read_text(errors='replace')[-2000:]}")
        sleep(0.1)


def _check(ctr: list[Path | str], images: Sequence[Archived]) -> None:
    there = run([*ctr, "images", "ls", "-q"]).stdout.split()
    missing = [image.ref for image in images if image.ref not in there]
    if missing:
        raise StoreBroken(f"after the import the store lacks {', '.join(missing)}; it has {', '.join(sorted(there))}")


def containerd_config(root: Path, state: Path, socket: Path) -> str:
    """A containerd that only stores images."""
    return f"""version = 3
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"]
[grpc]
  address = "{socket}"
[ttrpc]
  address = "{socket}.ttrpc"
"""


def link_tree(golden: Path, target: Path) -> None:
    """Give a namespace node its own copy of the tree: hard links (layers are never written), but real copies of the
    databases, which are."""
    if target.exists():
        return
    draft = target.with_name(target.name + ".draft")
    if draft.exists():
        shutil.rmtree(draft)
    run(["cp", "-a", "--link", golden / "tree", draft], timeout=300)
    for database in (draft / STORE).glob("*/*.db"):
        copy = database.with_suffix(".copy")
        shutil.copy2(database, copy)
        os.replace(copy, database)
    os.replace(draft, target)
