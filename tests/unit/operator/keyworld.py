"""A BucketKey and the world around it, as plans see it, that can be stepped through without a cluster."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from moorage import duration, keyplan, keyrelease, names
from moorage.actions import Apply, Create, Delete, Hold, MakeKey, Manifest, Notice, Plan, RemoveKey
from moorage.keyfacts import KeyFacts
from moorage.keygrants import Name
from moorage.model import Bucket, BucketKey, BucketKeyStatus, StorageBackend

UID = "0b0c9b4e-0000-4000-8000-000000000002"
CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def backend(ready: str = "True", name: str = "object") -> StorageBackend:
    engine = {
        **{"endpoint": "http://s3:7070", "adminEndpoint": "http://s3:7071"},
        "credentialsSecret": {"name": "root", "namespace": "moorage"},
    }
    condition = {"type": "Ready", "status": ready, "reason": "Ready", "lastTransitionTime": "t"}
    body = {"metadata": {"name": name, "uid": name}, "spec": {"engine": {"s3": engine}}}
    return StorageBackend.model_validate({**body, "status": {"conditions": [condition]}})


def bucket(name: str, namespace: str = "ns", place: str = "object", **spec: Any) -> Bucket:
    made = {"type": "Provisioned", "status": "True", "reason": "Provisioned", "lastTransitionTime": "t"}
    status = {"bucketName": f"{name}-id", "placement": {"backend": place, "engine": "s3"}, "conditions": [made]}
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}"}
    return Bucket.model_validate({"metadata": metadata, "spec": spec, "status": status})


def key(*buckets: Manifest, name: str = "mine", namespace: str = "ns", **spec: Any) -> BucketKey:
    metadata = {"name": name, "namespace": namespace, "uid": f"{UID}-{name}", "generation": 1}
    metadata |= {"creationTimestamp": duration.stamp(CREATED), "finalizers": [names.FINALIZER]}
    named = list(buckets) or [{"name": "models", "access": "ReadWrite"}]
    return BucketKey.model_validate({"metadata": metadata, "spec": {"buckets": named, **spec}})


@dataclass
class World:
    """What the operator would find. `users`: of the engine, with their secret halves. `events`: told so far."""

    key: BucketKey
    buckets: dict[Name, Bucket] = field(default_factory=lambda: {("ns", "models"): bucket("models")})
    backends: tuple[StorageBackend, ...] = field(default_factory=lambda: (backend(),))
    secret: Manifest | None = None
    users: dict[str, str] = field(default_factory=dict[str, str])
    events: list[str] = field(default_factory=list[str])
    at: datetime = CREATED
    number: int = 0

    def facts(self, **more: Any) -> KeyFacts:
        self.number += 1
        half = f"half-{self.number:036}"
        found = KeyFacts(self.key, duration.stamp(self.at), half, self.buckets, {}, self.backends, self.secret)
        return replace(found, **more)

    def plan(self, **more: Any) -> Plan[BucketKeyStatus]:
        going = "deletionTimestamp" in self.key.metadata
        return keyrelease.release(self.facts(**more)) if going else keyplan.plan(self.facts(**more))

    def step(self, acts: int | None = None, **more: Any) -> Plan[BucketKeyStatus]:
        """One reconcile. `acts`: it dies after so many actions, before anything is written down."""
        plan = self.plan(**more)
        for action in plan.actions[:acts]:
            self._do(action)
        if acts is None:
            self.events += [each.reason for each in plan.notices]
            self.key = self.key.model_copy(update={"status": plan.status})
        return plan

    def settle(self) -> None:
        """Until nothing is left to do."""
        for _ in range(20):
            before = self.key.status
            plan = self.step()
            if not plan.actions and plan.status == before:
                return
        raise AssertionError(f"it does not settle: {self.key.status}")

    def later(self, **time: float) -> None:
        self.at += timedelta(**time)

    def change(self, **spec: Any) -> None:
        body = self.key.model_dump(by_alias=True)
        body["spec"] |= spec
        body["metadata"]["generation"] += 1
        self.key = BucketKey.model_validate(body)

    def delete(self) -> None:
        self.key.metadata["deletionTimestamp"] = duration.stamp(self.at)

    @property
    def told(self) -> BucketKeyStatus:
        return self.key.status

    def _do(self, action: Any) -> None:
        match action:
            case MakeKey():
                self.users[action.access_key] = action.secret_key
            case RemoveKey():
                for each in action.access_keys:
                    self.users.pop(each, None)
            case Create() | Apply():
                self.secret = action.manifest
            case Delete():
                self.secret = None
            case Hold() | Notice() | _:
                pass
