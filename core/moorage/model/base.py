"""What the kinds have in common: the base class, CEL rules, printer columns and the shared value types."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from moorage import names, nfsoptions, quantity

VALIDATIONS = "x-kubernetes-validations"
NAME_PATH = ".metadata.name"


class Rule(BaseModel):
    """One CEL rule: `rule` must hold, `message` tells what to do when it does not, `field_path` where to look."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    rule: str
    message: str
    field_path: str | None = None

    def dump(self) -> dict[str, str]:
        return self.model_dump(by_alias=True, exclude_none=True)


# Names of our objects become names and labels of others, so they are DNS labels and not just DNS subdomains.
LABEL_RULE = Rule(
    rule=f"self.metadata.name.matches(r'{names.LABEL_PATTERN}')",
    message="use lowercase letters, digits and hyphens only (no dots), with a letter or digit at both ends",
    field_path=NAME_PATH,
)


def validations(rules: Iterable[Rule]) -> dict[str, Any]:
    """Rules as a schema carries them."""
    return {VALIDATIONS: [rule.dump() for rule in rules]}


def matching(pattern: str, message: str) -> Any:
    """A string that matches `pattern`. The API server then answers with `message` and not with the bare expression."""
    rules = validations([Rule(rule=f"self.matches(r'{pattern}')", message=message)])
    return Field(pattern=pattern, json_schema_extra=rules)


def _carry_rules(schema: dict[str, Any], model: type["Model"]) -> None:
    if model.rules:
        schema.update(validations(model.rules))


class Model(BaseModel):
    """Frozen, camelCase outside, snake_case inside, unknown fields dropped (the API server prunes them anyway)."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        use_attribute_docstrings=True,
        json_schema_extra=_carry_rules,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    def dump(self) -> dict[str, Any]:
        """As the API wants it: camelCase, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Column(BaseModel):
    """A column of `kubectl get`; `wide` ones need `-o wide`."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


def condition_column(name: str, condition: str, field: str, description: str, wide: bool = False) -> Column:
    path = f'.status.conditions[?(@.type=="{condition}")].{field}'
    return Column(name=name, path=path, description=description, wide=wide)


PHASE = Column(name="Phase", path=".status.phase", description="Where the object is in its life.")
READY = condition_column("Ready", "Ready", "status", "Whether it can be used.")
REASON = condition_column("Reason", "Ready", "reason", "Why it is ready or not, in one word.", wide=True)
MESSAGE = condition_column("Message", "Ready", "message", "What is happening, and what to do about it.", wide=True)
AGE = Column(name="Age", path=".metadata.creationTimestamp", description="Time since its creation.", type="date")


class Resource(Model):
    """A kind of the API: the class variables say how the API server offers it."""

    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]]
    scope: ClassVar[str] = "Namespaced"
    columns: ClassVar[tuple[Column, ...]]
    selectable: ClassVar[tuple[str, ...]] = ()  # fields that a list or a watch can select by

    metadata: dict[str, Any]
    """Standard metadata of a Kubernetes object."""


Name = Annotated[str, Field(min_length=1, max_length=253)]
Label = Annotated[  # no minLength: the rule says the same, and better
    str,
    Field(max_length=63),
    matching(
        names.LABEL_PATTERN, "use lowercase letters, digits and hyphens only, with a letter or digit at both ends"
    ),
]
Message = Annotated[str, Field(max_length=4096)]
Reason = Annotated[str, Field(max_length=128)]
Generation = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
Bytes = Annotated[int, Field(ge=0, le=2**62, json_schema_extra={"format": "int64"})]
Size = Annotated[
    str, Field(max_length=20), matching(quantity.PATTERN, "write a whole number and a unit, such as 500Gi")
]
NodeName = Annotated[str, Field(max_length=253), matching(names.NODE_PATTERN, "write the name of a Node")]
MountOption = Annotated[
    str,
    Field(max_length=64, description="A mount option of nfs(5), one word or key=value."),
    matching(nfsoptions.PATTERN, "write one NFS mount option that Moorage allows, such as nconnect=4 or rsize=1048576"),
]
MountOptions = Annotated[tuple[MountOption, ...], Field(max_length=16)]
ShortId = Annotated[str, Field(max_length=16)]
Moment = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})]


def fixed(field: str, instead: str) -> Rule:
    """An optional field that never changes; `instead` says what to do."""
    return Rule(
        rule=f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        message=f"{field} cannot be changed, added or removed after creation: {instead}",
        field_path=f".{field}",
    )


def constant(field: str, instead: str, because: str = "") -> Rule:
    """A field that every object has and that never changes; `instead` says what to do, `because` why, if that helps."""
    return Rule(
        rule=f"self.{field} == oldSelf.{field}",
        message=f"{field} cannot be changed after creation{because and f', {because}'}: {instead}",
        field_path=f".{field}",
    )


class OnDelete(StrEnum):
    """What happens to the data when the object is deleted: Delete destroys it, Retain keeps it on the backend."""

    Delete = "Delete"
    Retain = "Retain"


class VolumeOnDelete(StrEnum):
    """Delete, Retain or Archive."""

    Delete = "Delete"
    Retain = "Retain"
    Archive = "Archive"


class Phase(StrEnum):
    """Where the object is in its life, in one word. Derived from the conditions, never an input."""

    PENDING = "PENDING"
    PROVISIONING = "PROVISIONING"
    READY = "READY"
    ATTACHING = "ATTACHING"
    DETACHING = "DETACHING"
    DESTROYING = "DESTROYING"
    DESTROYED = "DESTROYED"
    FAILED = "FAILED"


class Usage(Model):
    """What a file system holds, as its own statfs(2) says; told by the agent that serves it, at most once a minute."""

    used_bytes: Bytes = 0
    """What is in use, in bytes."""
    free_bytes: Bytes = 0
    """What can still be written, in bytes."""
    inodes: Bytes = 0
    """How many files and folders it can hold at most, as far as the file system knows."""
    inodes_used: Bytes = 0
    """How many files and folders are in it."""


class SecretRef(Model):
    """A Secret in a namespace."""

    name: Name
    """Name of the Secret."""
    namespace: Label
    """Namespace of the Secret."""


class Placement(Model):
    """Where the operator put it; never changes afterwards."""

    backend: Name
    """The StorageBackend."""
    engine: Name
    """The engine of that backend: ganesha, nfs, local or s3."""
    server: Annotated[str, Field(max_length=253)] = ""
    """Engine ganesha: the server (pod) that holds the share; nfs: the worker that makes folders; local: the node."""
