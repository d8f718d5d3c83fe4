"""Server-side apply as good company: who wrote a field owns it, and what others wrote stays theirs."""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from bed import Bed, until

from moorage import names
from moorage.actions import Manifest, Reference
from moorage_operator.cluster import HOLD_MANAGER, ApiConflict, resource_path

USER = "kubectl"
OURS = {names.OPERATOR_MANAGER, HOLD_MANAGER}
NOTE = {"metadata": {"labels": {"team": "vision"}, "annotations": {"example.com/note": "ours"}}}
SPECS: dict[str, Manifest] = {
    "StorageVolume": {"type": "shared", "size": "5Gi", "onDelete": "Retain"},
    "Bucket": {"versioning": True},
    "StorageAttachment": {"volume": {"name": "data"}, "readOnly": True},
}


async def applied(bed: Bed, kind: str, name: str, spec: Manifest) -> Manifest:
    """As `kubectl apply --server-side` does it: no force, so a field of somebody else is a conflict."""
    ref = bed.ref(kind, name)
    metadata = {"name": name, "namespace": bed.namespace}
    body = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
    path = resource_path(ref.api_version, kind, ref.namespace, name)
    return await bed.cluster._call("PATCH", path, body, "apply", {"fieldManager": USER})


def fields(entry: Manifest, path: str = "") -> Iterator[str]:
    """Paths of the leaves in managedFields' fieldsV1."""
    inside = {name: value for name, value in entry.items() if name != "."}
    if not inside:
        yield path
    for name, value in inside.items():
        yield from fields(value, f"{path}.{name.removeprefix('f:')}")


def owned(body: Manifest, *managers: str) -> set[str]:
    found = (each for each in body["metadata"]["managedFields"] if each["manager"] in managers)
    return {path for each in found for path in fields(each["fieldsV1"])}


@pytest.fixture
async def data(bed: Bed) -> AsyncIterator[Manifest]:
    """A READY volume to attach."""
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    yield await bed.phase("data", "READY")


@pytest.mark.parametrize("kind", SPECS)
async def test_a_user_applies_a_spec_again_and_again_without_a_conflict(bed: Bed, data: Manifest, kind: str) -> None:
    await applied(bed, kind, "mine", SPECS[kind])
    await bed.phase("mine", "READY", kind)

    await applied(bed, kind, "mine", SPECS[kind])
    ready = await bed.phase("mine", "READY", kind)

    assert ready["metadata"]["generation"] == 1
    assert owned(ready, USER) == {f".spec.{path}" for path in _leaves(SPECS[kind])}


def _leaves(spec: Manifest, path: str = "") -> Iterator[str]:
    for name, value in spec.items():
        yield from _leaves(value, f"{path}{name}.") if isinstance(value, dict) else (f"{path}{name}",)


@pytest.mark.parametrize("kind", SPECS)
async def test_we_own_the_status_and_one_finalizer_and_nothing_else(bed: Bed, data: Manifest, kind: str) -> None:
    await applied(bed, kind, "mine", SPECS[kind])

    ready = await bed.phase("mine", "READY", kind)

    mine = owned(ready, *OURS)
    assert {path for path in mine if not path.startswith(".status.")} == {f'.metadata.finalizers.v:"{names.FINALIZER}"'}
    managers = {each["manager"]: each.get("subresource") for each in ready["metadata"]["managedFields"]}
    assert managers[names.OPERATOR_MANAGER] == "status"
    assert not {path for path in owned(ready, names.OPERATOR_MANAGER) if path.startswith(".status.share")}
    assert "annotations" not in ready["metadata"] and "labels" not in ready["metadata"]


async def test_a_user_grows_a_volume_by_apply(bed: Bed) -> None:
    await applied(bed, "StorageVolume", "mine", {"type": "shared", "size": "5Gi"})
    await bed.phase("mine", "READY")

    await applied(bed, "StorageVolume", "mine", {"type": "shared", "size": "8Gi"})

    async def grown() -> bool:
        volume = await bed.get("StorageVolume", "mine")
        return bool(volume and volume["status"].get("capacity") == "8Gi")

    await until(grown, lambda: bed._story("StorageVolume", "mine", "grown"))


async def test_a_spec_of_somebody_else_is_a_conflict_that_names_him(bed: Bed) -> None:
    await applied(bed, "StorageVolume", "mine", {"type": "shared", "size": "5Gi"})
    ref = bed.ref("StorageVolume", "mine")
    path = resource_path(ref.api_version, ref.kind, ref.namespace, ref.name)
    body = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": {"name": "mine"}, "spec": {"size": "6Gi"}}

    with pytest.raises(ApiConflict, match=f'conflict with "{USER}"'):
        await bed.cluster._call("PATCH", path, body, "apply", {"fieldManager": "argocd"})


async def noted(bed: Bed, *refs: Reference) -> None:
    """Somebody labels and annotates what we made."""
    for ref in refs:
        path = resource_path(ref.api_version, ref.kind, ref.namespace, ref.name)
        await bed.cluster._call("PATCH", path, NOTE, "merge", {"fieldManager": USER})


async def is_noted(bed: Bed, ref: Reference) -> bool:
    found = await bed.cluster.get(ref)
    metadata = found["metadata"] if found else {}
    wanted = NOTE["metadata"]
    return all(wanted[key].items() <= (metadata.get(key) or {}).items() for key in wanted)


async def test_labels_and_annotations_of_others_stay_when_a_volume_grows(bed: Bed, data: Manifest) -> None:
    pv = bed.ref("PersistentVolume", f"moorage-{data['status']['id']}", "v1")
    claim = bed.ref("PersistentVolumeClaim", "data", "v1")
    mine = bed.ref("StorageVolume", "data")
    await noted(bed, pv, claim, mine)

    await bed.cluster.merge(mine, {"spec": {"size": "8Gi"}})

    async def grown() -> bool:
        found = await bed.cluster.get(pv)
        return bool(found and found["spec"]["capacity"]["storage"] == "8Gi")

    await until(grown, lambda: bed._story("PersistentVolume", pv.name, "grown", "v1"))
    assert [await is_noted(bed, each) for each in (pv, claim, mine)] == [True, True, True]


async def test_labels_of_others_stay_on_a_secret_that_is_mended(bed: Bed) -> None:
    await bed.make("Bucket", "models", spec={})
    await bed.phase("models", "READY", "Bucket")
    secret = bed.ref("Secret", "models-s3", "v1")
    before = (await bed.cluster.get(secret) or {})["data"]
    await noted(bed, secret)

    await bed.cluster.merge(secret, {"data": {names.SECRET_REGION: "bm93aGVyZQ=="}})
    await bed.cluster.merge(bed.ref("Bucket", "models"), {"spec": {"versioning": True}})

    async def mended() -> bool:
        return (await bed.cluster.get(secret) or {})["data"] == before

    await until(mended, lambda: bed._story("Bucket", "models", "mended"))
    assert await is_noted(bed, secret)


async def test_labels_of_others_stay_on_the_daemonset_of_an_attachment(
    bed: Bed, data: Manifest, two_nodes: Manifest
) -> None:
    await bed.make("StorageAttachment", "group", spec={"volume": {"name": "data"}, "nodes": two_nodes})
    attachment = await bed.phase("group", "ATTACHING", "StorageAttachment")
    daemon_set = bed.ref("DaemonSet", names.holder(attachment["status"]["id"]), "apps/v1")
    await until(lambda: bed.cluster.get(daemon_set), lambda: bed._story("StorageAttachment", "group", "held"))
    await noted(bed, daemon_set)

    await bed.kill()
    bed.holder_image = "registry.example/moorage:next"
    await bed.start()

    async def rolled() -> bool:
        found = await bed.cluster.get(daemon_set)
        return bool(found and found["spec"]["template"]["spec"]["containers"][0]["image"] == bed.holder_image)

    await until(rolled, lambda: bed._story("StorageAttachment", "group", "rolled"))
    assert await is_noted(bed, daemon_set)


async def test_a_finalizer_of_somebody_else_stays(bed: Bed, data: Manifest) -> None:
    ref = bed.ref("StorageVolume", "data")
    both = [names.FINALIZER, "example.com/backup"]
    await bed.cluster._call(
        "PATCH",
        resource_path(ref.api_version, ref.kind, ref.namespace, ref.name),
        {"metadata": {"finalizers": both}},
        "merge",
        {"fieldManager": USER},
    )

    await bed.delete("StorageVolume", "data")
    gone = await bed.phase("data", "DESTROYED")

    async def let_go() -> Any:
        found = await bed.get("StorageVolume", "data")
        return found and found["metadata"]["finalizers"] == ["example.com/backup"]

    await until(let_go, lambda: bed._story("StorageVolume", "data", "let go"))
    assert gone["status"]["phase"] == "DESTROYED"
    await bed.cluster.merge(ref, {"metadata": {"finalizers": None}})


# What the API server cannot refuse, because it would have to know other objects.
HOPELESS: list[tuple[str, str, Manifest, str, str]] = [
    (
        "StorageVolume",
        "v-backend",
        {"type": "shared", "size": "1Gi", "backend": "absent"},
        "PENDING",
        "StorageBackend absent does not exist",
    ),
    (
        "StorageVolume",
        "v-engine",
        {"type": "shared", "size": "1Gi", "backend": "object"},
        "PENDING",
        "StorageBackend object has engine s3, ganesha or nfs is needed: name another one",
    ),
    (
        "StorageVolume",
        "v-local",
        {"type": "local", "size": "1Gi"},
        "PENDING",
        "no StorageBackend with engine local is the default: create one, or name one in spec.backend",
    ),
    (
        "StorageVolume",
        "v-large",
        {"type": "shared", "size": "64Pi"},
        "FAILED",
        "StorageBackend shared has no room for 64Pi: the most is 1023Ti, on moorage-nfs-0",
    ),
    (
        "StorageVolume",
        "v-folder",
        {"type": "shared", "size": "1Gi", "adopt": "/home/data"},
        "FAILED",
        "only a filer (engine nfs) has folders to adopt",
    ),
    (
        "StorageVolume",
        "v-itself",
        {"type": "shared", "size": "1Gi", "source": {"volume": "v-itself"}},
        "PENDING",
        "waiting for StorageVolume v-itself",
    ),
    (
        "StorageVolume",
        "v-source",
        {"type": "shared", "size": "1Gi", "source": {"snapshot": "absent"}},
        "PENDING",
        "StorageSnapshot absent does not exist in namespace",
    ),
    ("StorageSnapshot", "s-volume", {"volume": "absent"}, "PENDING", "StorageVolume absent does not exist"),
    ("StorageVolume", "v-bucket", {"type": "object", "bucket": {"name": "absent"}}, "PENDING", "Bucket absent"),
    (
        "StorageVolume",
        "v-owned",
        {"type": "object", "backend": "shared"},
        "PENDING",
        "has engine ganesha, s3 is needed",
    ),
    ("Bucket", "b-backend", {"backend": "absent"}, "PENDING", "StorageBackend absent does not exist"),
    ("Bucket", "b-engine", {"backend": "shared"}, "PENDING", "StorageBackend shared has engine ganesha, s3 is needed"),
    ("StorageAttachment", "a-volume", {"volume": {"name": "absent"}}, "PENDING", "/absent does not exist: create it"),
    (
        "StorageAttachment",
        "a-foreign",
        {"volume": {"name": "absent", "namespace": "kube-system"}},
        "PENDING",
        "StorageVolume kube-system/absent does not exist",
    ),
    ("StorageAttachment", "data", {"volume": {"name": "data"}}, "FAILED", "PersistentVolumeClaim data exists"),
    (
        "StorageAttachment",
        "a-nodes",
        {"volume": {"name": "data"}, "nodes": {"selector": {"matchLabels": {"no": "node"}}}},
        "PENDING",
        "0 nodes match spec.nodes, a shared volume needs at least 2",
    ),
]


async def test_hopeless_specs_say_why_and_disturb_neither_the_operator_nor_others(
    bed: Bed, data: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for kind, name, spec, _, _ in HOPELESS:
        await bed.make(kind, name, spec=spec)
    await bed.make("StorageVolume", "good", spec={"type": "shared", "size": "1Gi"})

    await bed.phase("good", "READY")
    said = {(kind, name): await bed.phase(name, phase, kind) for kind, name, _, phase, _ in HOPELESS}

    for kind, name, _, _, word in HOPELESS:
        conditions = said[kind, name]["status"]["conditions"]
        assert word in str([(each["reason"], each["message"]) for each in conditions]), (kind, name, conditions)
    assert [each for each in caplog.records if each.exc_info or "Traceback" in each.getMessage()] == []
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []
