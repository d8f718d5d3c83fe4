"""What CreateVolume asks for, as a value; pure: from the request's fields to a StorageVolume."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moorage import names, quantity
from moorage.errors import AlreadyExists, InvalidInput, OutOfRange
from moorage_csi import api

MIB = 2**20
GIB = 2**30
SMALLEST = 256 * MIB  # the least size that the API takes
DEFAULT = GIB
MAX_BYTES = 64 * 2**50  # the greatest size that the API takes
_TYPES = ("shared", "object")
_PARAMETERS = frozenset({"type", "backend"})
_PVC_NAMESPACE = "csi.storage.k8s.io/pvc/namespace"
_FOREIGN = "csi.storage.k8s.io/"
_BANNED = re.compile("[\0-\b\v\f\x0e-\x1f\x7f-\x9f]")  # csi.proto, CreateVolumeRequest.name
_LABEL = re.compile(names.LABEL_PATTERN)

# Kept on the StorageVolume: which request made it, and how much it asked for (an object volume has no size).
ANNOTATION_REQUEST = f"{names.GROUP}/csi-name"
ANNOTATION_CAPACITY = f"{names.GROUP}/csi-capacity"


@dataclass(frozen=True, slots=True)
class Range:
    """A CSI CapacityRange in bytes; 0 means not given."""

    required: int = 0
    limit: int = 0

    def __post_init__(self) -> None:
        if self.required < 0 or self.limit < 0:
            raise OutOfRange("a capacity cannot be negative")
        if self.limit and self.required > self.limit:
            raise OutOfRange(f"required_bytes {self.required} is more than limit_bytes {self.limit}")
        if self.required > MAX_BYTES:
            raise OutOfRange(f"required_bytes {self.required} is more than any volume can have")

    def size(self) -> int:
        """The size of a new volume: whole MiB, at least SMALLEST, 1 GiB when nothing is asked; raises OutOfRange."""
        wanted = self.required or (min(DEFAULT, self.limit // MIB * MIB) if self.limit else DEFAULT)
        size = max(SMALLEST, -(-wanted // MIB) * MIB)
        if self.limit and size > self.limit:
            raise OutOfRange(
                f"limit_bytes {self.limit} is too small: a volume has whole MiB and at least {SMALLEST} bytes"
            )
        return size

    def admits(self, size: int) -> bool:
        """Whether a volume of `size` bytes is what this range asks for."""
        return self.required <= size and (not self.limit or size <= self.limit)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A volume that a claim asks for."""

    request: str
    namespace: str
    type: str
    backend: str
    range: Range

    @classmethod
    def parse(cls, request: str, parameters: Mapping[str, str], asked: Range, own_namespace: str) -> "Wanted":
        """Raises InvalidInput for a StorageClass parameter that is not known."""
        unknown = sorted(key for key in parameters if key not in _PARAMETERS and not key.startswith(_FOREIGN))
        if unknown:
            raise InvalidInput(f"StorageClass parameters {', '.join(unknown)} are not known; allowed: type, backend")
        kind = parameters.get("type", "")
        if kind not in _TYPES:
            raise InvalidInput(f"StorageClass parameter type is {kind!r}; write one of {', '.join(_TYPES)}")
        if _BANNED.search(request):
            raise InvalidInput("name has control characters, which the CSI spec bans")
        namespace = parameters.get(_PVC_NAMESPACE) or own_namespace
        for key, value in ((_PVC_NAMESPACE, namespace), ("backend", parameters.get("backend") or "default")):
            if len(value) > 63 or not _LABEL.fullmatch(value):
                raise InvalidInput(f"parameter {key} {value!r} is not a name: lowercase letters, digits and hyphens")
        return cls(request, namespace, kind, parameters.get("backend", ""), asked)

    @property
    def name(self) -> str:
        return names.volume_name_for(self.request)

    def manifest(self) -> dict[str, Any]:
        """The StorageVolume to apply. The claim exists already, so the operator makes none."""
        size = self.range.size()
        spec: dict[str, Any] = {"type": self.type, "claim": "None"}
        if self.type == "shared":
            spec["size"] = quantity.format(size)
        if self.backend:
            spec["backend"] = self.backend
        annotations = {ANNOTATION_REQUEST: self.request, ANNOTATION_CAPACITY: str(size)}
        metadata = {"name": self.name, "namespace": self.namespace, "annotations": annotations}
        return {"apiVersion": names.API_VERSION, "kind": "StorageVolume", "metadata": metadata, "spec": spec}

    def check_same(self, volume: dict[str, Any]) -> None:
        """Raises AlreadyExists when the StorageVolume that has the name is not the one asked for."""
        spec, annotations = volume["spec"], api.part(volume, "metadata", "annotations")
        where = f"StorageVolume {self.namespace}/{self.name}"
        if annotations.get(ANNOTATION_REQUEST) != self.request:
            raise AlreadyExists(f"{where} exists and was not made by this claim: rename one of them")
        if spec["type"] != self.type or (self.backend and spec.get("backend") != self.backend):
            raise AlreadyExists(f"{where} exists with another type or backend")
        size = capacity_of(volume)
        if not self.range.admits(size):
            raise AlreadyExists(f"{where} exists with {size} bytes, which is not the capacity asked for")


def capacity_of(volume: dict[str, Any]) -> int:
    """Bytes of a StorageVolume: its size, or for an object volume what was asked for."""
    size = volume["spec"].get("size")
    annotations = api.part(volume, "metadata", "annotations")
    return quantity.parse(size) if size else int(annotations.get(ANNOTATION_CAPACITY, "0"))


def grown(volume: dict[str, Any], size: int) -> dict[str, Any]:
    """The merge patch that makes a StorageVolume `size` bytes big, refused by the server if it changed meanwhile."""
    metadata: dict[str, Any] = {"resourceVersion": volume["metadata"]["resourceVersion"]}
    if volume["spec"]["type"] == "shared":
        return {"metadata": metadata, "spec": {"size": quantity.format(size)}}
    return {"metadata": metadata | {"annotations": {ANNOTATION_CAPACITY: str(size)}}}
