"""A Bucket and what was seen around it: the input of its plans."""

from dataclasses import dataclass, field

from moorage import keyslots, names
from moorage.actions import Manifest, Problem
from moorage.bucketadoption import Found
from moorage.bucketowner import Owner
from moorage.bucketwish import Look
from moorage.contents import Contents, Count
from moorage.holders import Uses
from moorage.model import Bucket, KeyState, SecretRef, StorageBackend
from moorage.sigv4 import Key
from moorage.transit import SeenAttachment


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """A Bucket and what was seen around it.

    `new_secret_key`: a random one to use if there is none yet. `key_works`: what a request with the user's own key
    said; None when nobody asked. `key_reader`: whether the Role for `node_account` stands. `holders`: the
    StorageVolumes that show it and the pods that use it inline, in words; listed freshly, after the status that is in
    `bucket` was read, when the bucket is being deleted. `users`: the pods that have it mounted, by its own name or
    through such volumes, as the watches have shown them; `attachments`: those of such volumes.

    `found`: what the engine said of a bucket that is to be adopted, or why it could not be asked; None when nobody
    asked. `root_key`: whether the engine's root key was there to destroy the bucket with. `ca`: the certificate (PEM)
    of the engine's CA, if it has one. `handed`: the engine's own key, of a backend that hands it on (shareCredential).

    `look`: the settings that the bucket has on the engine, None when nobody asked or nobody answered. `count`: what the
    last walk through all of it found. `contents`: of a bucket that is being deleted: whether anything is in it.
    """

    bucket: Bucket
    found: Found | Problem | None = field(default=None, kw_only=True)
    root_key: bool = field(default=True, kw_only=True)
    now: str
    new_secret_key: str
    node_account: SecretRef
    backends: tuple[StorageBackend, ...] = ()
    secret: Manifest | None = None
    key_works: bool | None = None
    key_reader: bool = False
    holders: tuple[str, ...] = ()
    ca: str = ""
    users: dict[tuple[str, str], Uses] = field(default_factory=dict[tuple[str, str], Uses])
    attachments: tuple[SeenAttachment, ...] = ()
    handed: Key | None = None
    look: Look | None = None
    count: Count | None = None
    contents: Contents | Problem | None = None

    @property
    def id(self) -> str:
        return self.bucket.status.id or names.short_id(self.bucket.metadata["uid"])

    @property
    def engine_bucket(self) -> str:
        return self.bucket.spec.adopt or f"{self.bucket.metadata['name']}-{self.id}"

    @property
    def owner(self) -> Owner:
        """What the engine's bucket says once it is ours."""
        metadata = self.bucket.metadata
        return Owner(metadata["namespace"], metadata["name"], metadata["uid"])

    @property
    def is_ours(self) -> bool:
        """False for a bucket that is yet to be adopted."""
        if not self.bucket.spec.adopt or self.bucket.status.bucket_name:
            return True
        return isinstance(self.found, Found) and self.found.owner == self.owner

    @property
    def key(self) -> KeyState:
        """The slots of its own key; the first one until something else is known."""
        first, status = keyslots.access_key(self.bucket.metadata["uid"]), self.bucket.status
        heeded = "" if status.secret_name else self.bucket.spec.key.rotate  # a new key needs no rotation
        return status.key or KeyState(serial=1, access_key_id=first, rotated=heeded)

    @property
    def access_key(self) -> str:
        if self.handed:
            return self.handed.access
        return self.key.access_key_id or keyslots.access_key(self.bucket.metadata["uid"])

    @property
    def backend(self) -> StorageBackend | None:
        placed = self.bucket.status.placement
        return next((each for each in self.backends if placed and each.metadata["name"] == placed.backend), None)


access_key = keyslots.access_key
