"""What a plan may ask for: frozen values, each an end that can be reached again after a crash at any point."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from moorage.bucketowner import Owner
from moorage.bucketpolicy import Grant
from moorage.bucketsettings import BucketSettings
from moorage.errors import MoorageError
from moorage.model import S3Engine

Manifest = dict[str, Any]
Status = TypeVar("Status")


@dataclass(frozen=True, slots=True)
class Reference:
    """One Kubernetes object by its names."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def part(body: Manifest | None, *path: str) -> Manifest:
    """The mapping at a path inside an object; empty where any of it is missing."""
    for name in path:
        body = (body or {}).get(name)
    return body or {}


def reference(manifest: Manifest) -> Reference:
    metadata = manifest["metadata"]
    return Reference(manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace", ""))


@dataclass(frozen=True, slots=True)
class Hold:
    """Put our finalizer on the object itself."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply. The manifest stays out of the repr: it may be a Secret."""

    manifest: Manifest = field(repr=False)

    @property
    def reference(self) -> Reference:
        return reference(self.manifest)


@dataclass(frozen=True, slots=True)
class Create:
    """Create, and never touch what somebody else put under that name in the meantime."""

    manifest: Manifest = field(repr=False)

    @property
    def reference(self) -> Reference:
        return reference(self.manifest)


@dataclass(frozen=True, slots=True)
class Delete:
    """Ask for deletion; absent is as good as deleted."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class MakeBucket:
    """A key that is this very one, a bucket with these settings that it may use, nothing else; proved with the key.

    `owner` is written on the bucket, in its tags; other tags stay, but for `dropped`. `adopts`: it is taken over from
    that owner, and from nobody else; None: it is made, or was made or adopted before. `settings` None: as they are.
    """

    engine: S3Engine
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    settings: BucketSettings | None
    owner: Owner
    adopts: Owner | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RemoveBucket:
    """The user goes; the bucket too, unless `keep`, or unless it is another owner's.

    `empties`: every version in it goes with it; else a bucket in which there is something stays.
    """

    engine: S3Engine
    bucket: str
    access_key: str
    keep: bool
    owner: Owner
    empties: bool = False


@dataclass(frozen=True, slots=True)
class MakeKey:
    """A user with this very key that may do just what the grants say; proved with the key itself.

    `touched`: the Buckets (namespace, name) whose policies are written anew: those that it opens, or opened.
    """

    engine: S3Engine
    access_key: str
    secret_key: str = field(repr=False)
    grants: tuple[Grant, ...]
    touched: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RemoveKey:
    """These users go, at once; then the policies of the `touched` Buckets are written without them."""

    engine: S3Engine
    access_keys: tuple[str, ...]
    touched: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class DropServer:
    """Take a StorageBackend's entry in status.servers away whose own agent will not do so any more."""

    server: str


Action = Hold | Apply | Create | Delete | MakeBucket | RemoveBucket | MakeKey | RemoveKey | DropServer


@dataclass(frozen=True, slots=True)
class Notice:
    """An Event to post: a transition that somebody may want to know of."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Plan(Generic[Status]):
    """Do `actions` in order, then write `status`; on `finish` let the object go.

    `requeue_after` (seconds) asks for another look when nothing else would bring one.
    """

    status: Status
    actions: tuple[Action, ...] = ()
    notices: tuple[Notice, ...] = ()
    requeue_after: float | None = None
    finish: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something cannot go on: a CamelCase reason and a message that says what to do."""

    reason: str
    message: str


def problem_of(error: MoorageError) -> Problem:
    return Problem(error.reason, str(error))
