"""What the watches have shown so far, and whom a change concerns. One process, one event loop: no locks."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from moorage import holders
from moorage.actions import Manifest, part
from moorage.berth import Room
from moorage.holders import Claim, PodState, Use, Uses, VolumeKey
from moorage.model import Phase, StorageBackend
from moorage.nodegone import Silent
from moorage.nodegroup import NodeSeen
from moorage.transit import SeenAttachment
from moorage_operator.bodies import full_name, handle_of, placed_on, shown_bucket
from moorage_operator.keyring import Keyring
from moorage_operator.lineage import Lineage
from moorage_operator.links import Links
from moorage_operator.pods import NOBODY, Pods, Stir
from moorage_operator.promises import Promises
from moorage_operator.store import Name, Store, name_of


@dataclass
class Index:
    """All stores, and the look-ups that reconciling needs."""

    volumes: Store = field(default_factory=Store)
    buckets: Store = field(default_factory=Store)
    backends: Store = field(default_factory=Store)
    persistent_volumes: Store = field(default_factory=Store)
    claims: Store = field(default_factory=Store)
    pods: Pods = field(default_factory=Pods)
    attachments: Store = field(default_factory=Store)
    snapshots: Store = field(default_factory=Store)
    keyring: Keyring = field(default_factory=Keyring)
    links: Links = field(default_factory=Links)
    lineage: Lineage = field(default_factory=Lineage)
    daemon_sets: Store = field(default_factory=Store)
    nodes: dict[str, NodeSeen] = field(default_factory=dict[str, NodeSeen])
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])  # their labels
    promises: Promises = field(default_factory=Promises)
    silent: dict[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])  # by backend: servers
    _unplaced: set[Name] = field(default_factory=set[Name])  # volumes
    _by_handle: dict[str, set[str]] = field(default_factory=lambda: defaultdict[str, set[str]](set))
    _shown: dict[Name, set[Name]] = field(default_factory=dict[Name, set[Name]])  # by bucket: volumes
    _by_claim: dict[Claim, VolumeKey] = field(default_factory=dict[Claim, VolumeKey])
    _parsed: dict[str, tuple[str, StorageBackend]] = field(default_factory=dict[str, tuple[str, StorageBackend]])

    def all_backends(self) -> tuple[StorageBackend, ...]:
        return tuple(each for body in self.backends.values() if (each := self._backend(body)))

    def _backend(self, body: Manifest) -> StorageBackend | None:
        name, at = body["metadata"]["name"], body["metadata"]["resourceVersion"]
        if self._parsed.get(name, ("",))[0] != at:
            try:
                self._parsed[name] = (at, StorageBackend.model_validate(body))
            except ValidationError:
                return None
        return self._parsed[name][1]

    @property
    def stores(self) -> Mapping[str, Store]:
        """By kind; of the kinds that are kept whole."""
        return {
            "StorageVolume": self.volumes,
            "Bucket": self.buckets,
            "BucketKey": self.keyring.store,
            "StorageBackend": self.backends,
            "PersistentVolume": self.persistent_volumes,
            "PersistentVolumeClaim": self.claims,
            "StorageAttachment": self.attachments,
            "StorageSnapshot": self.snapshots,
            "DaemonSet": self.daemon_sets,
        }

    def known(self, kind: str) -> dict[str, Manifest]:
        """What is known of a kind, by uid; of what is kept smaller, by name and only enough to drop it."""
        if kind in self.stores:
            return self.stores[kind].bodies()
        slender = {"Node": self.nodes, "Namespace": self.namespaces}
        found = (("", name) for name in slender[kind]) if kind in slender else iter(self.pods)
        return {
            f"{namespace}/{name}": {"kind": kind, "metadata": {"namespace": namespace, "name": name}}
            for namespace, name in found
        }

    def slender(self, kind: str) -> dict[str, object]:
        """What is kept of objects of a kind without their uid, by namespace/name: another value is a newer look."""
        stores: dict[str, Mapping[str, object]] = {"Node": self.nodes, "Namespace": self.namespaces}
        if kind in stores:
            return {f"/{name}": value for name, value in stores[kind].items()}
        return {"/".join(pod): uses for pod, uses in self.pods.items()} if kind == "Pod" else {}

    def keep_volume(self, body: Manifest, deleted: bool) -> None:
        bucket, volume = shown_bucket(body), name_of(body)
        if deleted:
            self.volumes.drop(body)
        else:
            self.volumes.put(body)
        self.keep_place(volume)
        if bucket and self.volumes.get(*volume):
            self._shown.setdefault(bucket, set()).add(volume)
        elif bucket:
            self._shown.get(bucket, set[Name]()).discard(volume)

    def keep_place(self, volume: Name) -> None:
        """Where it is placed, or that it waits for a place, as the store has it now."""
        body = self.volumes.get(*volume)
        if body:
            self.promises.put(body)
            self.lineage.put_volume(body)
        else:
            self.promises.drop(volume)
            self.lineage.drop_volume(volume)
        if body and placed_on(body) is None:
            self._unplaced.add(volume)
        else:
            self._unplaced.discard(volume)

    def keep_snapshot(self, body: Manifest, deleted: bool = False) -> None:
        if deleted:
            self.snapshots.drop(body)
        else:
            self.snapshots.put(body)
        known = self.snapshots.get(*name_of(body))
        if known:
            self.lineage.put_snapshot(known)
        else:
            self.lineage.drop_snapshot(name_of(body))

    def unplaced(self) -> tuple[Name, ...]:
        """The volumes that wait for a place."""
        return tuple(sorted(self._unplaced))

    def room(self) -> Room:
        """What is known of servers besides their own words. A view: what is promised later shows in it."""
        backends = self.all_backends()
        nodes = {each.metadata["name"]: Silent(each, self.nodes) for each in backends if each.spec.engine.local}
        return Room(self.promises.sums(), {**self.silent, **nodes})

    def volumes_showing(self, bucket: Name) -> tuple[Manifest, ...]:
        """The volumes that show the bucket or would, if there were one of their name and theirs."""
        found = (self.volumes.get(*each) for each in sorted(self._shown.get(bucket, ())))
        return tuple(each for each in found if each and shown_bucket(each) == bucket)

    # PersistentVolumes tell which claim stands for which volume, ours and the provisioner's alike.

    def put_persistent_volume(self, body: Manifest) -> None:
        handle = holders.claimed_volume(body)
        if handle is None or not self.persistent_volumes.put(body):
            return
        self._by_handle[str(handle.volume)].add(body["metadata"]["name"])
        claim = holders.claim_of(body)
        if claim:
            self._by_claim[claim] = (handle.namespace, handle.name)

    def drop_persistent_volume(self, body: Manifest) -> None:
        handle, claim = holders.claimed_volume(body), holders.claim_of(body)
        self.persistent_volumes.drop(body)
        if self.persistent_volumes.get("", body["metadata"]["name"]):
            return  # another one has the name by now
        if handle:
            whole = str(handle.volume)
            self._by_handle[whole].discard(body["metadata"]["name"])
            if not self._by_handle[whole]:
                del self._by_handle[whole]
        if claim:
            self._by_claim.pop(claim, None)

    def persistent_volumes_of(self, handle: str) -> tuple[Manifest, ...]:
        """Those of the volume with this handle, and those of its attachments."""
        names_ = self._by_handle.get(handle, set())
        found = (self.persistent_volumes.get("", each) for each in sorted(names_))
        return tuple(each for each in found if each)

    def put_pod(self, body: Manifest) -> Stir:
        return self.pods.put(name_of(body), holders.uses(body))

    def drop_pod(self, body: Manifest) -> Stir:
        return self.pods.put(name_of(body), NOBODY)

    def volumes_by(self, ways: Iterable[Use]) -> set[VolumeKey]:
        """The volumes that pods use in these ways, whether they are there or not."""
        found = (each.volume or self._by_claim.get(each.claim) for each in ways)
        return {self.inline_volume(each) for each in found if each}

    def inline_volume(self, named: VolumeKey) -> VolumeKey:
        """What an inline volume names: a StorageVolume of the pod's namespace, else what a StorageAttachment shows."""
        return named if self.volumes.get(*named) else self.links.volume(named) or named

    def ways_to(self, volume: Manifest) -> set[Use]:
        """Inline, and through any claim of the volume."""
        handle = handle_of(volume)
        claims = (holders.claim_of(each) for each in self.persistent_volumes_of(handle))
        shown = (each for each in self.links.of_volume(name_of(volume)) if self._shows(each))
        inline = (Use(volume=each) for each in (name_of(volume), *shown))
        return {*inline, *(Use(claim=each) for each in claims if each)}

    def _shows(self, attachment: Name) -> bool:
        """Whether pods may have the volume by the attachment's name: it was agreed to, and no volume has that name."""
        agreed = part(self.attachments.get(*attachment), "status").get("volumeHandle")
        return bool(agreed) and not self.volumes.get(*attachment)

    def attachments_of(self, *volumes: Manifest) -> tuple[SeenAttachment, ...]:
        """The StorageAttachments of any of the volumes."""
        found = (self.attachments.get(*name) for each in volumes for name in self.links.of_volume(name_of(each)))
        return tuple(self._seen(each) for each in found if each)

    def _seen(self, attachment: Manifest) -> SeenAttachment:
        """Its phase; DETACHING, too, while a node that has left its group still lets go."""
        said = part(attachment, "status").get("phase")
        phase = Phase(said) if said in set(Phase) else None
        holding = self.holders_of(attachment["metadata"]).values()
        leaving = phase != Phase.ATTACHING and any(each.state == PodState.leaving for each in holding)
        return SeenAttachment(full_name(attachment), Phase.DETACHING if leaving else phase)

    def holders_of(self, attachment: Manifest) -> dict[Name, Uses]:
        """The pods that hold its mount on nodes, by its metadata. In other namespaces the label means nothing."""
        found = self.pods.holders(attachment["uid"])
        return {pod: uses for pod, uses in found.items() if pod[0] == attachment["namespace"]}

    def users(self, *volumes: Manifest, bucket: Name | None = None) -> dict[Name, Uses]:
        """The pods that use any of the volumes, or the bucket by its own name."""
        inline = {Use(bucket=bucket)} if bucket else set[Use]()
        return self.pods.users(inline.union(*(self.ways_to(each) for each in volumes)))
