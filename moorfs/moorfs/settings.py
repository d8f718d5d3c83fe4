"""How the mounter speaks to a moorfs process: command line, files, control socket, exit codes.

    python -m moorfs --fd N --config FILE [--takeover]

The mounter opens /dev/fuse, mounts with `fd=N,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`
(type `fuse.moorfs`), keeps the descriptor and hands it down. One process serves one mount. With `--takeover` another
process served this very connection before; `cache` and `fd` must be the same ones.

FILE is a JSON object; the fields, their units and defaults are those of `Settings` in camelCase (`cacheSize`). An
unknown field is refused. No secret is in it: `keyFile` is a JSON file of mode 0600 with `AWS_ACCESS_KEY_ID` and
`AWS_SECRET_ACCESS_KEY`, which is read at start, at each `rekey`, and when the engine refuses the key.

The control socket (`socket`, mode 0600, only root and our own user are answered) takes one request per connection:
four bytes (big-endian) of length and a JSON object, answered alike; it is the mounter's own protocol. An answer is
{"code": "OK", ...} or {"code": a gRPC status name, "message": what to do}.

    {"method": "stats"}                 -> {"pid", "volume", "uptime" (s), "kernel": {"minor", "passthrough",
                                        "resend"}, "threads", "residentBytes", "underWay" (requests), "oldestSeconds",
                                        "readBytes", "writtenBytes" (not by passthrough), "operations": {name: {"count",
                                        "errors", "seconds"}}, "figures": {nodes, dirty files, cache hits, ...}, "s3":
                                        {operation: {"calls", "errors", ...}}, "downSince" (time, or null)}
    {"method": "metrics"}               -> {"text": in Prometheus' format, labelled volume="..."}
    {"method": "rekey"}                 -> {"changed": bool}: keyFile is read again; requests under way end with the
                                        old key. An unreadable file changes nothing
    {"method": "store", "seconds": 60}  -> {"stored": true | false, "unsaved": [names]}; all that is dirty goes to the
                                        engine, within the time. Before an unmount
    {"method": "retry", "name": N, "key": K}   stats' `unsaved` tells name, key, size, since, error, conflict. An upload
                                        that failed is tried again by itself; this does so now. After a conflict
                                        (somebody else wrote the object) it needs `key`, another one that is free
    {"method": "discard", "name": N}    gives the bytes of a conflict, or of an earlier mount, up
    {"method": "handover"}              ends after the requests under way, with exit code 4; the next process takes
                                        over without any of them lost, on every kernel. For upgrades
    {"method": "shutdown"}              the same, but with exit code 0: nobody takes over

The socket is there once requests are served: `stats` is the probe of readiness.

Exit codes: 0 the connection has ended (unmounted or aborted) or `shutdown`; 2 wrong command line or settings;
3 takeover is impossible (a kernel without FUSE_NOTIFY_RESEND before 6.9, or no state): abort the connection, mount
anew; 4 handed over. Anything else is a crash: start again with `--takeover`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from moorage.errors import InvalidInput

ENDED, WRONG, NO_TAKEOVER, HANDED_OVER = 0, 2, 3, 4  # exit codes


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one mount."""

    # What is mounted
    endpoint: str
    """http(s)://host[:port][/path]"""
    bucket: str
    key_file: str
    cache: str
    """Directory of this mount alone, on a real disk (not overlayfs): cache files, `journal`, `connection.json`."""
    socket: str
    """Path of the control socket; at most 107 bytes."""
    inherits: str = ""
    """Caches of mounts of the same volume that are over for good, one path a line: what they left unsaved is ours."""
    prefix: str = ""
    """Keys begin with it; "" or ending in "/"."""
    region: str = "us-east-1"
    ca_file: str = ""
    """PEM certificates that sign the endpoint's; "" for the system's."""
    path_style: bool = True
    address: str = ""
    """Host to connect to, where it is not the endpoint's (virtual-host style inside of a cluster)."""
    conditional: bool = True
    """The engine obeys If-Match and If-None-Match on writes."""
    part_copy: bool = True
    """The engine has UploadPartCopy."""
    volume: str = ""
    """namespace/name, for metrics and logs."""
    log_level: str = "INFO"

    # What callers see
    read_only: bool = False
    uid: int | None = None
    """Owner of all that is shown; None: what is kept with the objects (root where nothing is)."""
    gid: int | None = None
    group: int | None = None
    """A pod's fsGroup: all is shown as of this group, which may read and write it; what is stored stays as it is."""
    file_mode: int | None = None
    """Mode of all files that is shown; None: what is kept with the objects (0644 where nothing is)."""
    folder_mode: int | None = None
    """The same of folders (0755)."""
    ttl: float = 1.0
    """Seconds that names and attributes are believed before the engine is asked again."""
    attributes: str = "head"
    """head: of every object the metadata is read, for its mode, owner and mtime. list: only of those that may be
    symbolic links or special files (below 4 KiB); the others are shown with default modes and owners."""
    metadata_ttl: float = 60.0
    """Seconds that metadata is believed while a listing shows the same ETag and Last-Modified."""
    rename_limit: int = 10_000
    """Objects that a rename of a folder may move; more are refused."""

    # Bytes
    cache_size: int = 10 << 30
    """Bytes of clean cache files that are kept; open and unsaved files come on top, within the disk."""
    whole_up_to: int = 4 << 20
    """Objects of at most so many bytes are fetched when they are opened; of bigger ones only what is read."""
    early: bool = True
    """Parts of a big new file are uploaded while it is still being written."""
    mmap: str = "strict"
    """strict: files opened for reading and writing are not passed through, so that msync() means stored. fast: they
    are; stores through a mapping reach the engine at fsync() and close(), or soon after the mapping ends."""
    writeback: bool = False
    """close() and fsync() return before the engine has the bytes: what a crash of the node loses."""
    part_size: int = 16 << 20
    multipart_from: int = 64 << 20
    """Objects of so many bytes or more are uploaded in parts."""
    transfers: int = 16
    """Requests for bytes at a time."""

    # Waiting
    call_seconds: float = 30.0
    """How long one S3 request may make no progress."""
    down_seconds: float | None = None
    """How long callers wait for an engine that is down before they get ETIMEDOUT; None: until it is back."""
    interrupt_seconds: float = 60.0
    """How long a request that was interrupted by a signal, and whose caller is in a process namespace that we do not
    see, may go on before the caller gets EINTR; a caller that we see being killed gets it at once."""
    ended_seconds: float = 25.0
    """How long the last close() of a process that has ended waits for an engine that is down; it is stored later."""

    # The kernel
    passthrough: bool = True
    """Reads and writes by the kernel itself, on the cache file, where it offers that (6.9 and later)."""
    resend: bool = True
    """False: as on a kernel without FUSE_NOTIFY_RESEND."""
    threads: int = 8
    """Kept; more are started while those wait for the engine, up to `most_threads`."""
    most_threads: int = 160

    def __post_init__(self) -> None:
        if not self.endpoint.startswith(("http://", "https://")):
            raise InvalidInput(f"endpoint {self.endpoint!r} does not begin with http:// or https://")
        if self.prefix and (not self.prefix.endswith("/") or self.prefix.startswith("/")):
            raise InvalidInput(f"prefix {self.prefix!r} must not begin with '/', and must end with it")
        for name in ("bucket", "key_file", "cache", "socket"):
            if not getattr(self, name):
                raise InvalidInput(f"{_camel(name)} must be given")
        if len(os.fsencode(self.socket)) > 107:  # unix(7), sun_path
            raise InvalidInput(f"socket {self.socket!r} is longer than 107 bytes")
        if self.mmap not in ("strict", "fast"):
            raise InvalidInput(f"mmap {self.mmap!r} must be strict or fast")
        if self.attributes not in ("head", "list"):
            raise InvalidInput(f"attributes {self.attributes!r} must be head or list")
        if not 1 <= self.threads <= self.most_threads:
            raise InvalidInput("threads must be at least 1 and at most mostThreads")


def load(path: str) -> Settings:
    """Settings of a file; raises InvalidInput that names what is wrong."""
    found = _object(path)
    known = {_camel(each.name): each for each in fields(Settings)}
    if strange := sorted(found.keys() - known.keys()):
        raise InvalidInput(f"{path}: no such setting: {', '.join(strange)}")
    for name, value in found.items():
        if type(value).__name__ not in (types := _types(str(known[name].type))):
            raise InvalidInput(f"{path}: {name} must be of type {types[0]}")
    try:
        return Settings(**{known[name].name: value for name, value in found.items()})
    except TypeError:
        needed = ("endpoint", "bucket", "keyFile", "cache", "socket")
        missing = ", ".join(name for name in needed if name not in found)
        raise InvalidInput(f"{path}: missing: {missing}") from None


def save(settings: Settings, path: str) -> None:
    """Write the file that `load` reads; for tests, and for who builds settings in Python."""
    values = {_camel(each.name): getattr(settings, each.name) for each in fields(Settings)}
    with open(path, "w", encoding="utf-8") as out:
        json.dump(values, out)


def _object(path: str) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as given:
            found: Any = json.loads(given.read())
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise InvalidInput(f"{path} is not JSON") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} is not a JSON object")
    return cast("Mapping[str, Any]", found)


def _types(declared: str) -> list[str]:
    """The names of the types that a field takes: `int | None` takes int and NoneType, a float may be told as int."""
    names = declared.removeprefix("<class '").removesuffix("'>").replace("None", "NoneType").split(" | ")
    return [*names, "int"] if "float" in names else names


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
