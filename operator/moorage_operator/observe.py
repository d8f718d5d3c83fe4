"""The first step of reconciling, for each kind: from the body of an object to the facts that its plan wants."""

from dataclasses import dataclass

from moorage_operator.attachments import AttachmentObserver
from moorage_operator.backends import BackendObserver
from moorage_operator.buckets import BucketObserver
from moorage_operator.keys import KeyObserver
from moorage_operator.snapshots import SnapshotObserver
from moorage_operator.volumes import VolumeObserver


@dataclass(frozen=True, slots=True)
class Observers:
    """Each is called with a body."""

    volumes: VolumeObserver
    attachments: AttachmentObserver
    snapshots: SnapshotObserver
    buckets: BucketObserver
    keys: KeyObserver
    backends: BackendObserver

    def forget(self, uid: str) -> None:
        """Look deeply at the object with this uid when it is next looked at, as at one that was never seen."""
        self.buckets.forget(uid)
        self.keys.forget(uid)
