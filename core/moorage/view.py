"""Views: which folder of a volume is shown, read-only or not, and where besides in the pod. Pure.

A PersistentVolume of a StorageAttachment carries its view in the volumeAttributes mountFrom, readOnly, mountAs and
attachment; a pod's author writes mountFrom and readOnly inline.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from moorage import names
from moorage.errors import InvalidInput

VIEW_KEYS = (names.ATTR_MOUNT_FROM, names.ATTR_READ_ONLY, names.ATTR_MOUNT_AS, names.ATTR_ATTACHMENT)
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class View:
    """What of a volume is shown, and how."""

    folder: str = "/"
    readonly: bool = False
    mount_as: str = ""  # where the holder pods of a StorageAttachment have it mounted on their node
    attachment: str = ""  # <namespace>/<name> of that StorageAttachment

    @classmethod
    def parse(cls, attributes: Mapping[str, str]) -> Self:
        """The view in a volume's attributes; raises InvalidInput for a path or a flag that is none."""
        return cls(
            _folder(attributes.get(names.ATTR_MOUNT_FROM) or "/"),
            _flag(names.ATTR_READ_ONLY, attributes.get(names.ATTR_READ_ONLY) or "false"),
            attributes.get(names.ATTR_MOUNT_AS, ""),
            attributes.get(names.ATTR_ATTACHMENT, ""),
        )

    def within(self, outer: "View") -> "View":
        """This view of what `outer` shows: a folder of its folder, and read-only when one of them is."""
        return View(clean_path(f"{outer.folder}/{self.folder}"), self.readonly or outer.readonly)


def check_mount_as(path: str, root: str) -> None:
    """Raises InvalidInput unless `path` is directly beneath `root`, the directory where nodes may have mounts."""
    parent, _, name = path.rpartition("/")
    if parent != root.rstrip("/") or not _FOLDER_NAME.fullmatch(name):
        raise InvalidInput(
            f"{names.ATTR_MOUNT_AS} {path!r} must be a folder directly beneath {root}, such as {root}/imagenet"
        )


def clean_path(path: str) -> str:
    """An absolute path with no empty part; raises InvalidInput for '.' and '..' parts and NUL."""
    parts = [part for part in path.split("/") if part]
    if not path.startswith("/") or {".", ".."} & set(parts) or "\0" in path:
        raise InvalidInput(f"{path!r} must be an absolute path without '.' and '..', such as /datasets/imagenet")
    return "/" + "/".join(parts)


def _folder(text: str) -> str:
    try:
        return clean_path(text)
    except InvalidInput as error:
        raise InvalidInput(f"{names.ATTR_MOUNT_FROM} {error}") from None


def _flag(key: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidInput(f'{key} {text!r} is neither "true" nor "false"')
    return text == "true"
