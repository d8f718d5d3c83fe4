"""StorageClass parameters: which there are, for whom, and what their values look like. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moorage.errors import InvalidInput

TYPES = ("shared", "object", "local")
FOREIGN = "csi.storage.k8s.io/"  # what the sidecars add
_NUMBER = re.compile("0|[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A StorageClass parameter: whom it is for, what its value looks like, where it goes."""

    types: tuple[str, ...]
    pattern: re.Pattern[str]
    wanted: str
    place: tuple[str, ...]  # in the spec of the StorageVolume


_PARAMETERS: Mapping[str, Parameter] = {
    "squash": Parameter(("shared",), re.compile("None|Root|All"), "None, Root or All", ("squash",)),
    "onDelete": Parameter(("shared",), re.compile("Delete|Retain|Archive"), "Delete, Retain or Archive", ("onDelete",)),
    "rootMode": Parameter(
        ("shared", "local"), re.compile("[0-2]?[0-7]{3}"), "an octal mode, such as 0770 or 2775", ("root", "mode")
    ),
    "rootUid": Parameter(("shared", "local"), _NUMBER, "the number of a user", ("root", "uid")),
    "rootGid": Parameter(("shared", "local"), _NUMBER, "the number of a group", ("root", "gid")),
}
_ALLOWED = ("type", "backend", *_PARAMETERS)


def kind_of(given: Mapping[str, str], default: str = "") -> str:
    """The type of volume that a StorageClass is for; raises InvalidInput for a parameter that is not known."""
    unknown = sorted(key for key in given if key not in _ALLOWED and not key.startswith(FOREIGN))
    if unknown:
        raise InvalidInput(
            f"StorageClass parameters {', '.join(unknown)} are not known; allowed: {', '.join(_ALLOWED)}"
        )
    kind = given.get("type") or default
    if kind not in TYPES:
        raise InvalidInput(f"StorageClass parameter type is {kind!r}; write one of {', '.join(TYPES)}")
    return kind


def options(kind: str, given: Mapping[str, str]) -> dict[str, Any]:
    """The parameters but type and backend, as fields of the spec."""
    found: dict[str, Any] = {}
    for key, known in _PARAMETERS.items():
        value = given.get(key)
        if value is None:
            continue
        if kind not in known.types:
            raise InvalidInput(f"StorageClass parameter {key} is not for type {kind}: leave it out")
        if not known.pattern.fullmatch(value) or (known.pattern is _NUMBER and int(value) >= 2**31):
            raise InvalidInput(f"StorageClass parameter {key} is {value!r}; write {known.wanted}")
        plain = int(value) if known.pattern is _NUMBER else value
        first, *rest = known.place
        found[first] = {**found.get(first, {}), rest[0]: plain} if rest else plain
    return found
