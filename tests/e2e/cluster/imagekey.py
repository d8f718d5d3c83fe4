"""What an image is made from, as one key: contents and modes of files, never their times or places."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from .cache import digest

# written by running the code, not part of it
IGNORED_DIRECTORY = "__pycache__"


def image_key(ref: str, root: Path, inputs: Iterable[Path], settings: Iterable[str] = ()) -> str:
    """The key of the image `ref`, built with `settings` from `inputs`: files or whole directories.

    Paths count relative to `root`, so that two clones of one commit share their images; inputs elsewhere (tools that
    were built on this machine) count by their name.
    """
    files = sorted((_label(path, root), path) for given in inputs for path in _files(given))
    return digest([ref, *settings, *(part for label, path in files for part in (label, _content(path)))])


def _label(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def _files(given: Path) -> Iterator[Path]:
    if given.is_file():
        yield given
        return
    for path in given.rglob("*"):
        if path.is_file() and IGNORED_DIRECTORY not in path.parts:
            yield path


def _content(path: Path) -> str:
    """A file's SHA-256 and whether it may be executed (what an image keeps of its mode)."""
    with path.open("rb") as file:
        total = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{total} {bool(path.stat().st_mode & 0o100)}"
