"""Mount plans of object volumes: which program shows the bucket, and how. Pure.

The mounters: `moorfs` is ours; `s3fs` is durable at close and fsync, and slow; `rclone` (`moorage.rclonemount`) stores
what was closed later; see docs/object-volumes.md.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from moorage import names
from moorage.errors import InvalidInput
from moorage.mountoptions import flatten, matching, only, options, split
from moorage.view import clean_path

MOORFS, S3FS, RCLONE = "moorfs", "s3fs", "rclone"
DEFAULT = MOORFS
CONDITIONAL, PART_COPY, METADATA = "conditionalWrites", "partCopy", "metadata"
NEEDED = (CONDITIONAL, PART_COPY, METADATA)
"""What moorfs asks of an engine that has it, as `moorage.features` names it (which would load every model here)."""
FSTYPES: Mapping[str, str] = {MOORFS: "fuse.moorfs", S3FS: "fuse.s3fs", RCLONE: "fuse.rclone"}

_URL = re.compile(r"^https?://[A-Za-z0-9\[\]:.-]{1,500}(/[A-Za-z0-9_.-]{1,63})?$")
_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
_REGION = re.compile(r"^[A-Za-z0-9-]{1,64}$")
_SECRET = re.compile(f"^{names.LABEL_PATTERN.strip('^$')}/[a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?$")
_ID = re.compile("^([0-9]{1,9}|[1-3][0-9]{9}|4[01][0-9]{8})?$")
_MODE = re.compile("^(0?[0-7]{3})?$")
_SIZE = re.compile("^([0-9]{1,16})?$")
_FLAG = re.compile("^(true|false)?$")
_WORDS = re.compile("^([A-Za-z]{1,32}(,[A-Za-z]{1,32}){0,7})?$")

_NUMBER = r"[0-9]{1,9}"
_DURATION = "[1-9][0-9]{0,4}(ms|s|m|h)"
_COMMON: Mapping[str, str | None] = {
    "noatime": None, "noexec": None, "nosuid": None, "nodev": None, "ro": None, "rw": None,
}  # fmt: skip
# Options that a claim's mountOptions may set: caching and limits, never identity or credentials.
OPTIONS: Mapping[str, Mapping[str, str | None]] = {
    S3FS: {
        "stat_cache_expire": _NUMBER, "max_stat_cache_size": _NUMBER, "list_object_max_keys": _NUMBER,
        "parallel_count": "[0-9]{1,3}", "multipart_size": "[0-9]{1,4}", "multireq_max": "[0-9]{1,3}",
        "connect_timeout": _NUMBER, "readwrite_timeout": _NUMBER, "retries": "[0-9]{1,2}",
        **_COMMON,
    },
    MOORFS: {"ttl": "[0-9]{1,4}([.][0-9]{1,3})?", "patience": _NUMBER, **_COMMON},
    RCLONE: {
        "dir-cache-time": _DURATION, "vfs-write-back": _DURATION, "vfs-cache-max-age": _DURATION,
        "vfs-read-ahead": "[0-9]{1,4}[KMG]i?", "transfers": "[1-9][0-9]?", "ro": None, "rw": None,
    },
}  # fmt: skip

# What every s3fs gets. compat_dir: folders that other S3 tools made implicitly are seen, and a prefix need not exist.
# No object is remembered as absent and attributes are kept for a second only, because other nodes and S3 tools write
# into the same bucket. No use_cache: close() and fsync() return when the bucket has the bytes.
_S3FS_DEFAULTS = {
    "stat_cache_expire": "1", "connect_timeout": "10", "readwrite_timeout": "60", "retries": "5",
}  # fmt: skip
_S3FS_FLAGS = ("sigv4", "use_path_request_style", "allow_other", "compat_dir", "complement_stat", "disable_noobj_cache")


def is_fuse(fstype: str) -> bool:
    """Whether a mount of this type shows a bucket."""
    return fstype in FSTYPES.values()


def stores_later(attributes: Mapping[str, str]) -> bool:
    """Whether close() and fsync() of a volume with these attributes return before the bucket has the bytes."""
    return attributes.get("mount") == RCLONE or attributes.get("writeback") == "true"


@dataclass(frozen=True, slots=True)
class ObjectMount:
    """An object volume: a bucket, or a prefix of it, shown by a FUSE program.

    `secret`: namespace/name of the Secret with the key, for whoever follows its rotations. `uid`, `gid`, `mode`: of
    all files and folders, instead of what is kept with the objects. `cache`: bytes of the node's disk for it. `lacks`:
    which of `NEEDED` the engine does not have.
    """

    mounter: str
    endpoint: str
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    secret: str = ""
    uid: str = ""
    gid: str = ""
    mode: str = ""
    cache: str = ""
    writeback: str = ""
    lacks: str = ""
    kind = "object"

    @property
    def fstypes(self) -> tuple[str, ...]:
        return (FSTYPES[self.mounter],)

    @classmethod
    def parse(cls, attributes: Mapping[str, str]) -> Self:
        only(attributes, "type", "mount", *(each.name for each in fields(cls) if each.name != "mounter"))
        prefix = attributes.get("prefix", "").strip("/")
        if prefix and (clean_path(f"/{prefix}") != f"/{prefix}" or not prefix.isprintable() or len(prefix) > 512):
            raise InvalidInput(f"attribute prefix {prefix!r} may not hold empty parts, '.', '..' or control characters")
        given = attributes.get
        return cls(
            mounter=attributes["mount"],
            endpoint=matching(attributes, "endpoint", _URL, "http://host:port or https://host:port"),
            bucket=matching(attributes, "bucket", _BUCKET, "a bucket's name"),
            prefix=prefix,
            region=matching(attributes, "region", _REGION, "a region's name") if given("region") else "us-east-1",
            secret=matching(attributes, "secret", _SECRET, "namespace/name of a Secret") if given("secret") else "",
            uid=matching(attributes, "uid", _ID, "a numeric user id"),
            gid=matching(attributes, "gid", _ID, "a numeric group id"),
            mode=matching(attributes, "mode", _MODE, "a mode such as 0750"),
            cache=matching(attributes, "cache", _SIZE, "a number of bytes"),
            lacks=matching(attributes, "lacks", _WORDS, "a list of words"),
            writeback=matching(attributes, "writeback", _FLAG, "true or false"),
        )

    def with_flags(self, flags: Iterable[str]) -> tuple[str, ...]:
        """Extra options out of a claim's `mountOptions`."""
        return options(flatten(flags), OPTIONS[self.mounter], self.mounter)

    @property
    def source(self) -> str:
        """What is mounted, as the mount table shows it."""
        return f"{self.bucket}:/{self.prefix}" if self.prefix else self.bucket

    def parameters(self, flags: Iterable[str], group: str) -> dict[str, str]:
        """The plan as the mounter's protocol carries it; `of_parameters` reads it back."""
        given = {each: getattr(self, each) for each in _PARAMETERS}
        return given | {"options": ",".join(self.with_flags(flags)), "group": group}


_PARAMETERS = tuple(each.name for each in fields(ObjectMount) if each.name not in ("mounter", "secret"))


def of_parameters(mounter: str, parameters: Mapping[str, str]) -> tuple[ObjectMount, tuple[str, ...], str]:
    """Plan, options and group out of the mounter's protocol; raises InvalidInput when one does not fit."""
    if mounter not in FSTYPES:
        raise InvalidInput(f"this mounter runs {' and '.join(FSTYPES)}, not {mounter!r}")
    given = {key: value for key, value in parameters.items() if key in _PARAMETERS}
    plan = ObjectMount.parse({"type": "object", "mount": mounter, **given})
    group = parameters.get("group", "")
    if group and (not group.isdecimal() or int(group) >= 2**32):
        raise InvalidInput(f"volume mount group {group!r} is not a numeric group id")
    return plan, options(split(parameters.get("options", "")), OPTIONS[mounter], mounter), group


def mount_flags(mounter: str, parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The options that are flags of the mount itself, for who calls mount(2)."""
    _, given, _ = of_parameters(mounter, parameters)
    return tuple(option for option in given if option in _COMMON)


def s3fs_argv(program: str, parameters: Mapping[str, str], passwd_file: str, target: str) -> tuple[str, ...]:
    """The command line of one s3fs in the foreground. Secrets are not in it: they are in `passwd_file` (0600).

    With a group (the pod's fsGroup) everything belongs to it and whoever has the mount may write: s3fs checks access
    itself and knows no supplementary groups, which is what an fsGroup is. Without one, owners and modes are kept with
    the objects.
    """
    plan, given, group = of_parameters(S3FS, parameters)
    chosen = [f"url={plan.endpoint}", f"endpoint={plan.region}", f"passwd_file={passwd_file}", *_S3FS_FLAGS]
    chosen += [
        f"{key}={value}" for key, value in _S3FS_DEFAULTS.items() if not any(o.startswith(f"{key}=") for o in given)
    ]
    chosen += [*_s3fs_owner(plan, group), *given]
    return (program, plan.source, target, "-f", *(word for option in chosen for word in ("-o", option)))


def _s3fs_owner(plan: ObjectMount, group: str) -> tuple[str, ...]:
    if group:
        return (f"gid={group}", f"uid={plan.uid or 0}", "umask=0000", "mp_umask=0000")
    chosen = [f"{key}={value}" for key, value in (("uid", plan.uid), ("gid", plan.gid)) if value]
    umask = f"{0o777 & ~int(plan.mode, 8):04o}" if plan.mode else ""
    return (*chosen, *((f"umask={umask}", f"mp_umask={umask}") if umask else ()))


def moorfs_settings(parameters: Mapping[str, str]) -> dict[str, Any]:
    """What the settings file of one moorfs says of the volume (`moorfs.settings`); what is absent has its default."""
    plan, given, group = of_parameters(MOORFS, parameters)
    chosen = {key: value for key, _, value in (option.partition("=") for option in given)}
    mode = int(plan.mode, 8) if plan.mode else None
    found: dict[str, Any] = {
        "endpoint": plan.endpoint,
        "bucket": plan.bucket,
        "prefix": f"{plan.prefix}/" if plan.prefix else None,
        "readOnly": True if "ro" in given else None,
        "region": plan.region,
        "uid": int(plan.uid) if plan.uid else None,
        "gid": int(plan.gid) if plan.gid else None,
        "group": int(group) if group else None,
        "fileMode": None if mode is None else mode & 0o666,
        "folderMode": mode,
        "cacheSize": int(plan.cache) if plan.cache else None,
        "writeback": True if plan.writeback == "true" else None,
        "ttl": float(chosen["ttl"]) if "ttl" in chosen else None,
        "conditional": False if CONDITIONAL in plan.lacks.split(",") else None,
        "partCopy": False if PART_COPY in plan.lacks.split(",") else None,
        "downSeconds": float(chosen["patience"]) if "patience" in chosen else None,
    }
    return {key: value for key, value in found.items() if value is not None}
