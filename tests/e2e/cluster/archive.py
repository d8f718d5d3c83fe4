"""One-layer images written by hand: the docker-archive format that `docker load` and `ctr images import` read.

The bytes depend on nothing but the arguments (no time, owner or host name goes in), so equal images are equal files.
Format: https://github.com/moby/docker-image-spec (manifest.json, image configuration, layer tars).
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

EPOCH = "1970-01-01T00:00:00Z"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# what Docker calls the machines that Python names so
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Entry:
    """One member of the layer: a file with the bytes of `source`, or a directory when there is none."""

    path: str
    source: Path | None = None
    mode: int = 0o755


@dataclass(frozen=True)
class Settings:
    """What the container starts with."""

    entrypoint: Sequence[str] = ()
    user: str = ""
    env: Sequence[str] = (PATH,)


def architecture() -> str:
    """This machine's architecture by its Docker name."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def write_archive(target: Path, ref: str, entries: Iterable[Entry], settings: Settings) -> None:
    """Write `target`, an archive of the image `ref` whose only layer holds `entries` in path order."""
    layer = target.with_suffix(".layer")
    try:
        with tarfile.open(layer, "w", format=tarfile.USTAR_FORMAT) as tar:
            for entry in sorted(entries, key=lambda entry: entry.path):
                _add_entry(tar, entry)
        _write_members(target, ref, layer, settings)
    finally:
        layer.unlink(missing_ok=True)


def _add_entry(tar: tarfile.TarFile, entry: Entry) -> None:
    member = tarfile.TarInfo(entry.path.strip("/"))
    member.mode = entry.mode
    if entry.source is None:
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
        return
    member.size = entry.source.stat().st_size
    with entry.source.open("rb") as content:
        tar.addfile(member, content)


def _write_members(target: Path, ref: str, layer: Path, settings: Settings) -> None:
    with layer.open("rb") as content:
        diff_id = hashlib.file_digest(content, "sha256").hexdigest()
    config = _configuration(diff_id, settings)
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": [ref], "Layers": [f"{diff_id}.tar"]}]
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        _add_bytes(tar, name, config)
        _add_bytes(tar, "manifest.json", json.dumps(manifest).encode())
        _add_entry(tar, Entry(f"{diff_id}.tar", layer, 0o644))


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _configuration(diff_id: str, settings: Settings) -> bytes:
    config: dict[str, object] = {"Env": list(settings.env), "WorkingDir": "/", "User": settings.user}
    if settings.entrypoint:
        config["Entrypoint"] = list(settings.entrypoint)
    document = {
        "architecture": architecture(),
        "os": "linux",
        "created": EPOCH,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        "history": [{"created": EPOCH, "created_by": "moorage"}],
    }
    return json.dumps(document, sort_keys=True).encode()
