"""Small archives for nodes that have most of an image already: only the layers they lack.

Pouring a whole image into a user-mode-linux node takes half a minute, its new layer a second. So a docker-archive is
rewritten as an OCI image layout (image-layout.md of opencontainers/image-spec) in which layers are
left out; containerd finds those in its content store by digest.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Content:
    """An image in a docker-archive: its reference, its configuration, its layers (digest, member)."""

    ref: str
    config: bytes
    layers: tuple[tuple[str, str], ...]


def contents(archive: Path) -> list[Content]:
    """The images of a docker-archive, one entry for each reference."""
    with tarfile.open(archive) as tar:
        found: list[Content] = []
        for image in json.loads(_read(tar, "manifest.json")):
            config = _read(tar, image["Config"])
            digests: list[str] = json.loads(config)["rootfs"]["diff_ids"]
            layers = tuple(zip(digests, image["Layers"], strict=True))
            found += [Content(ref, config, layers) for ref in image["RepoTags"]]
        return found


def missing_bytes(archive: Path, have: Collection[str]) -> int:
    """How many bytes of layers `write_missing` would write."""
    with tarfile.open(archive) as tar:
        sizes = {digest: tar.getmember(name).size for image in contents(archive) for digest, name in image.layers}
    return sum(size for digest, size in sizes.items() if digest not in have)


def write_missing(archive: Path, have: Collection[str], target: Path) -> None:
    """Write to `target` what of `archive` a node lacks that has the layers `have`."""
    with tarfile.open(archive) as source, tarfile.open(target, "w") as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        entries: list[dict[str, object]] = []
        written = set(have)
        for image in contents(archive):
            sizes: list[tuple[str, int]] = []
            for digest, name in image.layers:
                member = source.getmember(name)
                sizes.append((digest, member.size))
                if digest not in written:
                    written.add(digest)
                    _copy(source, member, tar, digest)
            entries.append(_add_manifest(tar, image, sizes))
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode())


def _add_manifest(tar: tarfile.TarFile, image: Content, sizes: list[tuple[str, int]]) -> dict[str, object]:
    config = _add_blob(tar, image.config, CONFIG)
    layers = [{"mediaType": LAYER, "digest": digest, "size": size} for digest, size in sizes]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
    entry = _add_blob(tar, json.dumps(manifest).encode(), MANIFEST)
    return {**entry, "annotations": {"io.containerd.image.name": image.ref}}


def _add_blob(tar: tarfile.TarFile, data: bytes, kind: str) -> dict[str, object]:
    name = hashlib.sha256(data).hexdigest()
    _add(tar, f"blobs/sha256/{name}", data)
    return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(data)}


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _copy(source: tarfile.TarFile, member: tarfile.TarInfo, tar: tarfile.TarFile, digest: str) -> None:
    copy = tarfile.TarInfo(f"blobs/{digest.replace(':', '/')}")
    copy.size = member.size
    tar.addfile(copy, source.extractfile(member))


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    stream = tar.extractfile(name)
    if stream is None:
        raise ValueError(f"{name} is no file in this image archive")
    return stream.read()
