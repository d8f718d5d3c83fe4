"""What CreateVolume asks for, as a value; pure: from the request's fields to a StorageVolume."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moorage import names, quantity
from moorage.errors import AlreadyExists, InvalidInput, OutOfRange
from moorage_csi import api, origin, parameters
from moorage_csi.origin import Origin

MIB = 2**20
GIB = 2**30
SMALLEST = 256 * MIB  # the least size that the API takes
DEFAULT = GIB
MAX_BYTES = 64 * 2**50  # the greatest size that the API takes
_PVC_NAMESPACE = "csi.storage.k8s.io/pvc/namespace"
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

    def size(self, source: int = 0) -> int:
        """The size of a new volume: whole MiB, at least SMALLEST, 1 GiB when nothing is asked; raises OutOfRange.

        `source`: bytes of what it begins with, which it has at least.
        """
        if source and 0 < self.required < source:
            raise OutOfRange(f"required_bytes {self.required} is less than the {source} of the source: ask for as much")
        wanted = self.required or (min(DEFAULT, self.limit // MIB * MIB) if self.limit else DEFAULT)
        size = -(-max(SMALLEST, wanted, source) // MIB) * MIB
        if self.limit and source > self.limit:
            raise OutOfRange(f"limit_bytes {self.limit} is less than the {source} of the source: ask for as much")
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
    origin: Origin = field(default_factory=Origin)
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])  # further fields of the spec

    @classmethod
    def parse(
        cls, request: str, given: Mapping[str, str], asked: Range, own_namespace: str, origin: Origin | None = None
    ) -> "Wanted":
        """Raises InvalidInput for a StorageClass parameter that is not known."""
        kind = parameters.kind_of(given)
        check_name(request)
        namespace = given.get(_PVC_NAMESPACE) or own_namespace
        for key, value in ((_PVC_NAMESPACE, namespace), ("backend", given.get("backend") or "default")):
            if len(value) > 63 or not _LABEL.fullmatch(value):
                raise InvalidInput(f"parameter {key} {value!r} is not a name: lowercase letters, digits and hyphens")
        wanted = cls(
            request, namespace, kind, given.get("backend", ""), asked, origin or Origin(),
            parameters.options(kind, given),
        )  # fmt: skip
        wanted._check_origin()
        return wanted

    def _check_origin(self) -> None:
        if not self.origin.kind:
            return
        if self.type != "shared":
            raise InvalidInput(f"a volume of type {self.type} begins empty: leave dataSource out, or use type shared")
        if self.origin.handle.namespace != self.namespace:
            raise InvalidInput(
                f"the {self.origin.kind} {self.origin.id} is of another namespace than the claim ({self.namespace}): "
                "claim a volume where the source is"
            )

    @property
    def name(self) -> str:
        return names.volume_name_for(self.request)

    def manifest(self, source: int = 0, node: str = "") -> dict[str, Any]:
        """The StorageVolume to apply. The claim exists already, so the operator makes none.

        `source`: bytes of what it begins with; `node`: the node whose disk it shall live on, if that matters.
        """
        size = self.range.size(source)
        spec: dict[str, Any] = {"type": self.type, "claim": "None", **self.options, **self.origin.spec()}
        if self.type != "object":
            spec["size"] = quantity.format(size)
        optional = {"backend": self.backend, "node": node}
        spec |= {key: value for key, value in optional.items() if value}
        annotations = {ANNOTATION_REQUEST: self.request, ANNOTATION_CAPACITY: str(size)}
        if self.origin.id:
            annotations[origin.ANNOTATION] = self.origin.id
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
        if Origin.kept(volume) != self.origin:
            raise AlreadyExists(f"{where} exists and began with {Origin.kept(volume).id or 'nothing'}")
        differing = sorted(key for key, value in self.options.items() if not _holds(spec.get(key), value))
        if differing:
            raise AlreadyExists(f"{where} exists with another {' and '.join(differing)}")
        size = capacity_of(volume)
        if not self.range.admits(size):
            raise AlreadyExists(f"{where} exists with {size} bytes, which is not the capacity asked for")


def _holds(kept: Any, asked: Any) -> bool:
    """Whether a field that the API server may have completed says what was asked."""
    if isinstance(asked, Mapping):
        return isinstance(kept, Mapping) and all(kept.get(key) == value for key, value in asked.items())  # pyright: ignore
    return bool(kept == asked)


def check_name(request: str) -> None:
    """Raises InvalidInput for a name that the CSI spec bans."""
    if _BANNED.search(request):
        raise InvalidInput("name has control characters, which the CSI spec bans")


def capacity_of(volume: dict[str, Any]) -> int:
    """Bytes of a StorageVolume: its size, or for an object volume what was asked for."""
    size = volume["spec"].get("size")
    annotations = api.part(volume, "metadata", "annotations")
    return quantity.parse(size) if size else int(annotations.get(ANNOTATION_CAPACITY, "0"))


def grown(volume: dict[str, Any], size: int) -> dict[str, Any]:
    """The merge patch that makes a StorageVolume `size` bytes big, refused by the server if it changed meanwhile."""
    metadata: dict[str, Any] = {"resourceVersion": volume["metadata"]["resourceVersion"]}
    if volume["spec"]["type"] != "object":
        return {"metadata": metadata, "spec": {"size": quantity.format(size)}}
    return {"metadata": metadata | {"annotations": {ANNOTATION_CAPACITY: str(size)}}}
