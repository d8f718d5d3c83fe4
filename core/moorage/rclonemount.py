"""How rclone is called to show a bucket: its command line, its configuration, and what is asked of it while it runs.
Pure.

Sources: https://rclone.org/commands/rclone_mount, https://rclone.org/s3, https://rclone.org/rc (rclone 1.75).
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

from moorage import objectmount
from moorage.errors import MoorageError
from moorage.objectmount import RCLONE, ObjectMount
from moorage.volumemetrics import OBJECT, Labels, Page, figures

REMOTE = "bucket"
CACHE_SIZE = 10 * 2**30  # bytes, where the volume says nothing
_FREE = "1Gi"  # of the node's disk that rclone leaves to others
# What every rclone gets, unless the claim's mountOptions say otherwise. Listings and attributes are believed for a
# second, because other nodes and S3 tools write into the same bucket. Closed files are uploaded after a second; never
# at once (0s): then rclone uploads inside of the last close, and does not try again when that fails.
_DEFAULTS = {"dir-cache-time": "1s", "vfs-write-back": "1s", "vfs-cache-max-age": "24h"}
_NOW = -1e9  # seconds: an upload that is due since long ago


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of what one rclone reads and writes: its configuration, its socket, its cache, perhaps a CA."""

    config: str
    socket: str
    cache: str
    ca: str = ""


def argv(program: str, parameters: Mapping[str, str], files: Files, target: str) -> tuple[str, ...]:
    """The command line of one rclone in the foreground. Secrets are not in it: they are in its files (0600).

    The kernel checks modes (`--default-permissions`), so that they mean what they say. The remote control asks for no
    password: who reaches its socket, in a directory of root's, reaches the key beside it as well.
    """
    plan, given, group = objectmount.of_parameters(RCLONE, parameters)
    chosen = _DEFAULTS | {key: value for key, equals, value in (each.partition("=") for each in given) if equals}
    readonly = ("--read-only",) if "ro" in given else ()
    return (
        program, "mount", f"{REMOTE}:{plan.bucket}/{plan.prefix}".rstrip("/"), target,
        f"--config={files.config}", f"--cache-dir={files.cache}", f"--devname={plan.source}",
        "--allow-other", "--default-permissions", *readonly, *_owner(plan, group),
        "--vfs-cache-mode=full", f"--vfs-cache-max-size={plan.cache or CACHE_SIZE}B",
        f"--vfs-cache-min-free-space={_FREE}", *(f"--{key}={value}" for key, value in sorted(chosen.items())),
        "--rc", f"--rc-addr=unix://{files.socket}", "--rc-no-auth", "--rc-server-write-timeout=30s",
        *((f"--ca-cert={files.ca}",) if files.ca else ()),
    )  # fmt: skip


def _owner(plan: ObjectMount, group: str) -> tuple[str, ...]:
    """rclone keeps no owners and no modes with the objects: all files have these. With a group (the pod's fsGroup)
    everything belongs to it and is writable by it.
    """
    mode = int(plan.mode, 8) if plan.mode else 0o755
    if group:
        mode |= 0o070
    return (
        f"--uid={plan.uid or 0}", f"--gid={group or plan.gid or 0}", "--umask=0",
        f"--dir-perms={mode:04o}", f"--file-perms={mode & 0o666:04o}",
    )  # fmt: skip


def config(parameters: Mapping[str, str], key_config: str) -> str:
    """rclone.conf with the one remote. The key is told by the program that `key_config` names (`key_config` below).

    no_check_bucket: else rclone tries to make the bucket before its first upload. directory_markers: empty folders
    stay, as objects `folder/`, which s3fs and moorfs see too.
    """
    plan, _, _ = objectmount.of_parameters(RCLONE, parameters)
    lines = {
        "type": "s3", "provider": "Other", "env_auth": "true", "shared_credentials_file": key_config,
        "endpoint": plan.endpoint, "region": plan.region, "force_path_style": "true", "no_check_bucket": "true",
        "directory_markers": "true",
    }  # fmt: skip
    return "\n".join((f"[{REMOTE}]", *(f"{key} = {value}" for key, value in lines.items()), ""))


def key_config(command: Sequence[str]) -> str:
    """A configuration of the AWS libraries that lets them ask `command` for the key, again and again: a newer one is
    taken without a new start. Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
    """
    return f"[default]\ncredential_process = {shlex.join(command)}\n"


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What was written and is not in the bucket yet: files, and their bytes."""

    files: int = 0
    size: int = 0

    def __str__(self) -> str:
        return f"{self.files} file{'' if self.files == 1 else 's'} ({self.size} bytes)"

    def __bool__(self) -> bool:
        return self.files > 0

    @classmethod
    def queued(cls, answer: Mapping[str, Any]) -> Self:
        """Out of an answer of rc `vfs/queue`: all that is closed and not uploaded."""
        return cls._of(_items(answer))

    @classmethod
    def refused(cls, answer: Mapping[str, Any]) -> Self:
        """Those of them that the bucket did not take at the first attempt."""
        return cls._of([each for each in _items(answer) if _number(each, "tries") > bool(each.get("uploading"))])

    @classmethod
    def _of(cls, items: Sequence[Mapping[str, Any]]) -> Self:
        return cls(len(items), sum(_number(each, "size") for each in items))


def hurry(answer: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Arguments of rc `vfs/queue-set-expiry`, one call for each upload of `vfs/queue` that has not begun."""
    waiting = (each for each in _items(answer) if not each.get("uploading"))
    return tuple({"id": _number(each, "id"), "expiry": _NOW} for each in waiting)


def is_dirty(record: str) -> bool:
    """Whether rclone's record of a cached file (in its cache's `vfsMeta`) says that the bucket has not its bytes.

    A record that is no JSON was broken off; what it stands for is not known to be stored.
    """
    try:
        found: Any = json.loads(record)
    except ValueError:
        return True
    return isinstance(found, dict) and cast("dict[str, Any]", found).get("Dirty") is True


def _items(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: Any = answer.get("queue") or []
    if not isinstance(found, list):
        raise MoorageError("rclone's queue is not a list")
    return [cast("dict[str, Any]", each) for each in cast("list[Any]", found) if isinstance(each, dict)]


def _number(item: Mapping[str, Any], key: str) -> int:
    found = item.get(key)
    return int(found) if isinstance(found, int | float) else 0


def metrics(volume: str, refused: Unsaved) -> str:
    """In Prometheus' text format, under the names of moorfs. `volume`: namespace/name."""
    page, labels = Page(), Labels.of(volume, OBJECT)
    figures(page, labels, {"unsaved_files": refused.files, "unsaved_bytes": refused.size})
    return page.text()
