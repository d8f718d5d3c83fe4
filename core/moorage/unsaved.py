"""Files of object volumes whose writer closed them and whose bucket does not have them: what is known of each.

moorfs keeps a record beside the bytes of each (`moorfs.unsaved`); the mounter reads those of volumes that are not
mounted. Nothing heavy may come in by here: moorfs loads it once for each volume on a node.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

_SHOWN = 3  # keys in a sentence
_KEY = 80  # characters of one


@dataclass(frozen=True, slots=True)
class Unsaved:
    """`name`: of the record; `since`: seconds since 1970; `conflict`: somebody else wrote the object meanwhile, so
    it is not tried again; `boot`: empty when the bytes are on the disk for sure; `writer`: see `moorfs.saving.TAG`."""

    name: str
    key: str
    node: int
    etag: str
    metadata: Mapping[str, str]
    size: int
    mtime: int
    since: float
    error: str = ""
    errno: int = 0
    conflict: bool = False
    boot: str = ""
    writer: str = ""


def parsed(data: bytes, boot: str) -> Unsaved | None:
    """A record that is believed in this boot (boot_id, random(4)): half written before a power loss, or of bytes that
    may not have reached the disk, it is not."""
    try:
        found: dict[str, Any] = json.loads(data)
        known = {each.name for each in fields(Unsaved)}  # a later version may have written more
        record = Unsaved(**{name: value for name, value in found.items() if name in known})
    except (ValueError, TypeError, AttributeError):
        return None
    return record if record.boot in ("", boot) else None


def told(record: Unsaved) -> dict[str, object]:
    """As the control socket of moorfs shows it."""
    shown = ("name", "key", "size", "since", "error", "errno", "conflict")
    return {name: getattr(record, name) for name in shown}


def sentence(count: int, size: int, listed: Sequence[Mapping[str, Any]]) -> str:
    """For the condition of a volume: how many, since when, which first. `listed`: as `told`, the oldest first; may be
    fewer than `count`. Empty without any."""
    if not count:
        return ""
    text = f"{count} files ({size} bytes) are on this node only: the bucket did not take them yet"
    if not listed:
        return text
    since = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(min(float(each["since"]) for each in listed)))
    some = ", ".join(_shown(each) for each in listed[:_SHOWN])
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return f"{text}, the oldest since {since}: {some}{more}"


def _shown(record: Mapping[str, Any]) -> str:
    key = "".join(letter if letter.isprintable() else "?" for letter in str(record["key"]))
    key = key if len(key) <= _KEY else f"…{key[-_KEY:]}"
    why = "somebody else wrote it meanwhile" if record.get("conflict") else str(record.get("error") or "")
    return f"{key} ({why})" if why else key
