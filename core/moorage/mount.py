"""Mount plans: a volume's attributes as values, and the options and argv that come of them. Pure.

The attributes are what `status.attributes` of a StorageVolume and `volumeAttributes` of its PersistentVolume carry:

    shared: type, mount=nfs,  server, path, options
    object: type, mount=moorfs, s3fs or rclone, endpoint, bucket, prefix, region, secret, uid, gid, mode, cache,
            writeback, lacks
    local:  type, mount=local, share

and, of a StorageAttachment: mountFrom, readOnly, mountAs, attachment (`moorage.view`)

Anything else is refused, so that a hand-made PersistentVolume cannot smuggle an option in unseen.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from moorage import names
from moorage.errors import InvalidInput
from moorage.mountoptions import flatten, matching, merged, only, options, split
from moorage.nfsoptions import NFS_OPTIONS
from moorage.objectmount import FSTYPES, OPTIONS, ObjectMount
from moorage.view import VIEW_KEYS, clean_path

# Keys that Kubernetes adds to a volume context: pod information, the provisioner's identity.
FOREIGN_PREFIXES = ("csi.storage.k8s.io/", "storage.kubernetes.io/")

_HOST = re.compile(r"^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45})$")
_SHARE = re.compile(names.ID_PATTERN)

# A local volume is mounted by its agent before any claim is looked at: a claim's mountOptions would come too late.
LOCAL_OPTIONS: Mapping[str, str | None] = {}


@dataclass(frozen=True, slots=True)
class Nfs:
    """A shared volume: an NFS export and the options to mount it with."""

    server: str
    path: str
    options: tuple[str, ...]
    kind = "shared"
    fstypes = ("nfs4",)

    @classmethod
    def parse(cls, attributes: Mapping[str, str]) -> Self:
        only(attributes, "type", "mount", "server", "path", "options")
        server = matching(attributes, "server", _HOST, "a host name or address")
        path = attributes.get("path", "")
        if not path.startswith("/") or path != clean_path(path):
            raise InvalidInput(f"attribute path {path!r} is not the clean absolute path of an NFS export")
        return cls(server, path, options(split(attributes.get("options", "")), NFS_OPTIONS, "NFS"))

    def with_flags(self, flags: Iterable[str]) -> tuple[str, ...]:
        """The mount options, those of the claim (`mountOptions`) last, so that they win."""
        return merged(self.options, options(flatten(flags), NFS_OPTIONS, "NFS"))

    def source(self, address: str) -> str:
        """What mount.nfs4 mounts, once the server's name is resolved."""
        return f"[{address}]:{self.path}" if ":" in address else f"{address}:{self.path}"


@dataclass(frozen=True, slots=True)
class Local:
    """A local volume: a share of this node's own agent, which has mounted it already."""

    share: str
    kind = "local"
    fstypes = ("xfs",)

    @classmethod
    def parse(cls, attributes: Mapping[str, str]) -> Self:
        only(attributes, "type", "mount", "share")
        return cls(matching(attributes, "share", _SHARE, "the id of a share"))

    def check(self, flags: Iterable[str], folder: str = "/") -> None:
        """Raises InvalidInput: the volume is mounted by the node's agent, so a claim's `mountOptions` come too late,
        and it is mounted whole, as a disk of one's own is.
        """
        options(flatten(flags), LOCAL_OPTIONS, "local")
        if folder != "/":
            raise InvalidInput(f"a local volume is always mounted whole: remove mountFrom {folder}")


MountPlan = Nfs | ObjectMount | Local
_KINDS: Mapping[tuple[str, str], type[Nfs] | type[ObjectMount] | type[Local]] = {
    ("shared", "nfs"): Nfs,
    **{("object", mounter): ObjectMount for mounter in FSTYPES},
    ("local", "local"): Local,
}


def parse(attributes: Mapping[str, str]) -> MountPlan:
    """The plan in a volume's attributes; raises InvalidInput when they are not exactly those of one type."""
    own = {k: v for k, v in attributes.items() if k not in VIEW_KEYS and not k.startswith(FOREIGN_PREFIXES)}
    kind = _KINDS.get((own.get("type", ""), own.get("mount", "")))
    if kind is None:
        raise InvalidInput(
            f"volume attributes say type {own.get('type', '')!r}, mount {own.get('mount', '')!r}: this driver mounts "
            f"type shared by nfs, type object by {' or '.join(FSTYPES)}, and type local; use the claim that the "
            "StorageVolume made"
        )
    return kind.parse(own)


def check_flags(kind: str, flags: Iterable[str]) -> None:
    """Raises InvalidInput for a `mountOptions` entry that a volume of this type does not take."""
    some = {key: value for each in OPTIONS.values() for key, value in each.items()}
    taken = {Nfs.kind: (NFS_OPTIONS, "NFS"), ObjectMount.kind: (some, "s3fs"), Local.kind: (LOCAL_OPTIONS, "local")}
    options(flatten(flags), *taken[kind])
