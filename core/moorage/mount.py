"""Mount plans: a volume's attributes as values, and the options and argv that come of them. Pure.

The attributes are what `status.attributes` of a StorageVolume and `volumeAttributes` of its PersistentVolume carry:

    shared: type, mount=nfs,  server, path, options
    object: type, mount=s3fs, endpoint, bucket, prefix, region
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
from moorage.nfsoptions import NFS_OPTIONS
from moorage.view import VIEW_KEYS, clean_path

# Keys that Kubernetes adds to a volume context: pod information, the provisioner's identity.
FOREIGN_PREFIXES = ("csi.storage.k8s.io/", "storage.kubernetes.io/")

_HOST = re.compile(r"^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45})$")
_URL = re.compile(r"^https?://[A-Za-z0-9\[\]:.-]{1,500}$")
_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
_REGION = re.compile(r"^[A-Za-z0-9-]{1,64}$")
_SHARE = re.compile(names.ID_PATTERN)
_PASSWORD = re.compile("//[^/]*@")  # user and password in a URL, never told

_NUMBER = r"[0-9]{1,9}"

# s3fs options that a claim's mountOptions may set: caching and limits, never identity or credentials.
S3FS_OPTIONS: Mapping[str, str | None] = {
    "stat_cache_expire": _NUMBER, "max_stat_cache_size": _NUMBER, "list_object_max_keys": _NUMBER,
    "parallel_count": "[0-9]{1,3}", "multipart_size": "[0-9]{1,4}", "multireq_max": "[0-9]{1,3}",
    "connect_timeout": _NUMBER, "readwrite_timeout": _NUMBER, "retries": "[0-9]{1,2}",
    "noatime": None, "noexec": None, "nosuid": None, "nodev": None, "ro": None, "rw": None,
}  # fmt: skip

# A local volume is mounted by its agent before any claim is looked at: a claim's mountOptions would come too late.
LOCAL_OPTIONS: Mapping[str, str | None] = {}

# What every s3fs gets. compat_dir: folders that other S3 tools made implicitly are seen, and a prefix need not exist.
# No object is remembered as absent and attributes are kept for a second only, because other nodes and S3 tools write
# into the same bucket. No use_cache: close() and fsync() return when the bucket has the bytes.
_S3FS_DEFAULTS = {
    "stat_cache_expire": "1", "connect_timeout": "10", "readwrite_timeout": "60", "retries": "5",
}  # fmt: skip
_S3FS_FLAGS = ("sigv4", "use_path_request_style", "allow_other", "compat_dir", "complement_stat", "disable_noobj_cache")


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
        _only(attributes, "type", "mount", "server", "path", "options")
        server = _matching(attributes, "server", _HOST, "a host name or address")
        path = attributes.get("path", "")
        if not path.startswith("/") or path != clean_path(path):
            raise InvalidInput(f"attribute path {path!r} is not the clean absolute path of an NFS export")
        return cls(server, path, options(_split(attributes.get("options", "")), NFS_OPTIONS, "NFS"))

    def with_flags(self, flags: Iterable[str]) -> tuple[str, ...]:
        """The mount options, those of the claim (`mountOptions`) last, so that they win."""
        return _merged(self.options, options(_flatten(flags), NFS_OPTIONS, "NFS"))

    def source(self, address: str) -> str:
        """What mount.nfs4 mounts, once the server's name is resolved."""
        return f"[{address}]:{self.path}" if ":" in address else f"{address}:{self.path}"


@dataclass(frozen=True, slots=True)
class S3fs:
    """An object volume: a bucket, or a prefix of it, shown by s3fs."""

    endpoint: str
    bucket: str
    prefix: str
    region: str
    kind = "object"
    fstypes = ("fuse.s3fs",)

    @classmethod
    def parse(cls, attributes: Mapping[str, str]) -> Self:
        _only(attributes, "type", "mount", "endpoint", "bucket", "prefix", "region")
        endpoint = _matching(attributes, "endpoint", _URL, "http://host:port or https://host:port")
        bucket = _matching(attributes, "bucket", _BUCKET, "a bucket's name")
        region = (
            _matching(attributes, "region", _REGION, "a region's name") if attributes.get("region") else "us-east-1"
        )
        prefix = attributes.get("prefix", "").strip("/")
        if prefix and (clean_path(f"/{prefix}") != f"/{prefix}" or not prefix.isprintable() or len(prefix) > 512):
            raise InvalidInput(f"attribute prefix {prefix!r} may not hold empty parts, '.', '..' or control characters")
        return cls(endpoint, bucket, prefix, region)

    def with_flags(self, flags: Iterable[str]) -> tuple[str, ...]:
        """Extra s3fs options out of a claim's `mountOptions`."""
        return options(_flatten(flags), S3FS_OPTIONS, "s3fs")

    @property
    def source(self) -> str:
        """What s3fs mounts."""
        return f"{self.bucket}:/{self.prefix}" if self.prefix else self.bucket

    def parameters(self, flags: Iterable[str], group: str) -> dict[str, str]:
        """The plan as the mounter's protocol carries it; `s3fs_argv` reads it back."""
        return {
            "endpoint": self.endpoint, "bucket": self.bucket, "prefix": self.prefix, "region": self.region,
            "options": ",".join(self.with_flags(flags)), "group": group,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Local:
    """A local volume: a share of this node's own agent, which has mounted it already."""

    share: str
    kind = "local"
    fstypes = ("xfs",)

    @classmethod
    def parse(cls, attributes: Mapping[str, str]) -> Self:
        _only(attributes, "type", "mount", "share")
        return cls(_matching(attributes, "share", _SHARE, "the id of a share"))

    def check(self, flags: Iterable[str], folder: str = "/") -> None:
        """Raises InvalidInput: the volume is mounted by the node's agent, so a claim's `mountOptions` come too late,
        and it is mounted whole, as a disk of one's own is.
        """
        options(_flatten(flags), LOCAL_OPTIONS, "local")
        if folder != "/":
            raise InvalidInput(f"a local volume is always mounted whole: remove mountFrom {folder}")


MountPlan = Nfs | S3fs | Local
_KINDS: Mapping[tuple[str, str], type[Nfs] | type[S3fs] | type[Local]] = {
    ("shared", "nfs"): Nfs,
    ("object", "s3fs"): S3fs,
    ("local", "local"): Local,
}


def parse(attributes: Mapping[str, str]) -> MountPlan:
    """The plan in a volume's attributes; raises InvalidInput when they are not exactly those of one type."""
    own = {k: v for k, v in attributes.items() if k not in VIEW_KEYS and not k.startswith(FOREIGN_PREFIXES)}
    kind = _KINDS.get((own.get("type", ""), own.get("mount", "")))
    if kind is None:
        raise InvalidInput(
            f"volume attributes say type {own.get('type', '')!r}, mount {own.get('mount', '')!r}: this driver mounts "
            "type shared by nfs, type object by s3fs and type local; use the claim that the StorageVolume made"
        )
    return kind.parse(own)


def check_flags(kind: str, flags: Iterable[str]) -> None:
    """Raises InvalidInput for a `mountOptions` entry that a volume of this type does not take."""
    taken = {Nfs.kind: (NFS_OPTIONS, "NFS"), S3fs.kind: (S3FS_OPTIONS, "s3fs"), Local.kind: (LOCAL_OPTIONS, "local")}
    options(_flatten(flags), *taken[kind])


def options(given: Iterable[str], allowed: Mapping[str, str | None], program: str) -> tuple[str, ...]:
    """`given` if each is in `allowed` with a fitting value; raises InvalidInput that names the first that is not."""
    checked = tuple(given)
    for option in checked:
        key, equals, value = option.partition("=")
        pattern = allowed.get(key)
        fits = key in allowed and (not equals if pattern is None else re.fullmatch(pattern, value) is not None)
        if not fits:
            shown = option if key in allowed else key[:64]  # the value of an unknown one may be a secret
            raise InvalidInput(f"{program} mount option {shown!r} is not among those that Moorage allows")
    return checked


def s3fs_argv(program: str, parameters: Mapping[str, str], passwd_file: str, target: str) -> tuple[str, ...]:
    """The command line of one s3fs in the foreground. Secrets are not in it: they are in `passwd_file` (0600).

    With a group (the pod's fsGroup) everything belongs to it and whoever has the mount may write: s3fs checks access
    itself and knows no supplementary groups, which is what an fsGroup is. Without one, owners and modes are kept with
    the objects.
    """
    plan = S3fs.parse({"type": "object", "mount": "s3fs"} | {k: parameters.get(k, "") for k in _S3FS_PARAMETERS})
    given = options(_split(parameters.get("options", "")), S3FS_OPTIONS, "s3fs")
    chosen = [f"url={plan.endpoint}", f"endpoint={plan.region}", f"passwd_file={passwd_file}", *_S3FS_FLAGS]
    chosen += [
        f"{key}={value}" for key, value in _S3FS_DEFAULTS.items() if not any(o.startswith(f"{key}=") for o in given)
    ]
    chosen += [*_group_options(parameters.get("group", "")), *given]
    return (program, plan.source, target, "-f", *(word for option in chosen for word in ("-o", option)))


_S3FS_PARAMETERS = ("endpoint", "bucket", "prefix", "region")


def _group_options(group: str) -> tuple[str, ...]:
    if not group:
        return ()
    if not group.isdecimal() or int(group) >= 2**32:
        raise InvalidInput(f"volume mount group {group!r} is not a numeric group id")
    return (f"gid={group}", "uid=0", "umask=0000", "mp_umask=0000")


def _only(attributes: Mapping[str, str], *known: str) -> None:
    unknown = sorted(set(attributes) - set(known))
    if unknown:
        raise InvalidInput(f"volume attributes {', '.join(unknown)} are not known; allowed: {', '.join(known)}")


def _matching(attributes: Mapping[str, str], key: str, pattern: re.Pattern[str], wanted: str) -> str:
    value = attributes.get(key, "")
    if not pattern.fullmatch(value):
        raise InvalidInput(f"volume attribute {key} {_PASSWORD.sub('//***@', value)!r} is not {wanted}")
    return value


def _split(text: str) -> tuple[str, ...]:
    return tuple(option for option in text.split(",") if option)


def _flatten(flags: Iterable[str]) -> tuple[str, ...]:
    return tuple(option for flag in flags for option in _split(flag))


def _merged(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    """Both, without the ones of `first` whose key `second` sets again."""
    later = tuple(second)
    keys = {option.partition("=")[0] for option in later}
    return (*(option for option in first if option.partition("=")[0] not in keys), *later)
