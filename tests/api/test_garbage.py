"""Objects that only an older or a newer CRD admits: they get a log line and are counted, and disturb nobody."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bed import MINE, Bed, until
from pydantic import ValidationError

from moorage import crd, model, names
from moorage.actions import Manifest, Reference
from moorage_operator.cluster import Cluster

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SHARED = {"type": "shared", "size": "1Gi"}

# By kind: (spec, status)
GARBAGE: dict[str, tuple[tuple[Manifest, Manifest], ...]] = {
    "StorageVolume": (
        ({}, {}),
        ({"type": "tape", "size": 5}, {}),
        ({"type": "object", "bucket": "models"}, {}),
        ({"type": "object", "bucket": {"name": ["models"]}}, {}),
        (SHARED, {"conditions": "none", "phase": "LOST", "id": {}}),
        (SHARED, {"placement": {"backend": []}, "conditions": [1], "phaseSince": ["now"], "attributes": 1}),
        ({**SHARED, "share": {"from": "Selector", "selector": {"matchLabels": []}}}, {"share": 3}),
        ({**SHARED, "source": "monday", "mountOptions": "hard"}, {"topology": "gpu", "usage": []}),
        ({**SHARED, "source": {"snapshot": 5, "volume": []}}, {"topology": {"pool": 1}}),
    ),
    "StorageSnapshot": (
        ({}, {}),
        ({"volume": "data"}, {"image": "taken"}),
        ({"volume": "data"}, {"placement": {"backend": []}, "image": {"state": []}, "release": "perhaps"}),
    ),
    "StorageAttachment": (
        ({}, {}),
        ({"volume": {}}, {}),
        ({"volume": {"name": "data", "namespace": 1}, "nodes": "all"}, {}),
        ({"volume": {"name": "data"}, "nodes": {"selector": {"matchLabels": 1}}, "mountAs": []}, {"phase": "GONE"}),
        ({"volume": {"name": "data"}}, {"conditions": {"Ready": True}, "volumeHandle": 7, "mountAs": {}}),
    ),
    "Bucket": (
        ({"versioning": "perhaps"}, {}),
        ({}, {"placement": [], "bucketName": {}, "conditions": 1}),
    ),
    "StorageBackend": (
        ({}, {}),
        ({"engine": "tape"}, {}),
        ({"engine": {"ganesha": {"namespace": 1}}}, {"conditions": "none", "servers": {}}),
        ({"engine": {"ganesha": {"namespace": "x", "statefulSet": "y"}}}, {"conditions": [1]}),
    ),
}


def _loosened(kind: type[model.Resource]) -> Manifest:
    """Anything, but strings where the server must select by them."""
    schema: Manifest = {**ANYTHING, "properties": {"spec": {**ANYTHING}, "status": {**ANYTHING}}}
    for path in kind.selectable:
        at = schema
        *folders, last = path.removeprefix(".").split(".")
        for folder in folders:
            at = at.setdefault("properties", {}).setdefault(folder, {**ANYTHING})
        at.setdefault("properties", {})[last] = {"type": "string"}
    return schema


async def _replace(cluster: Cluster, kind: type[model.Resource], schema: Manifest | None) -> None:
    wanted = crd.crd(kind)
    path = f"{CRDS}/{wanted['metadata']['name']}"
    wanted["metadata"]["resourceVersion"] = (await cluster._call("GET", path))["metadata"]["resourceVersion"]
    for version in wanted["spec"]["versions"] if schema else ():
        version["schema"] = {"openAPIV3Schema": schema}
    await cluster._call("PUT", path, wanted)


def _manifest(bed: Bed, kind: str, number: int, spec: Any, status: Any) -> Manifest:
    metadata = {"name": f"garbage-{number}"} | ({} if kind == "StorageBackend" else {"namespace": bed.namespace})
    return {"apiVersion": MINE, "kind": kind, "metadata": metadata, "spec": spec, "status": status}


@pytest.fixture
async def loose(bed: Bed) -> AsyncIterator[None]:
    """CRDs that admit everything, and back."""
    cluster = bed.cluster
    for kind in model.KINDS:
        await _replace(cluster, kind, _loosened(kind))
    yield
    for kind, found in GARBAGE.items():
        for number in range(len(found)):
            ref = Reference(MINE, kind, f"garbage-{number}", "" if kind == "StorageBackend" else bed.namespace)
            if await cluster.get(ref):
                await cluster.merge(ref, {"metadata": {"finalizers": None}})
                await cluster.delete(ref)
    for kind in model.KINDS:
        await _replace(cluster, kind, None)
        await _until_refused(bed, kind)


async def _until_refused(bed: Bed, kind: type[model.Resource]) -> None:
    body = _manifest(bed, kind.__name__, 99, {"type": "tape", "engine": 1, "versioning": 1}, {})
    path = _path(bed, kind)

    async def refused() -> bool:
        try:
            await bed.cluster._call("POST", path, body, query={"dryRun": "All", "fieldValidation": "Strict"})
        except Exception:
            return True
        return False

    async def story() -> str:
        return f"{kind.__name__} is still loose"

    await until(refused, story)


def _path(bed: Bed, kind: type[model.Resource]) -> str:
    inside = f"/namespaces/{bed.namespace}" if kind.scope == "Namespaced" else ""
    return f"/apis/{names.API_VERSION}{inside}/{kind.plural}"


async def _litter(bed: Bed) -> None:
    for kind, found in GARBAGE.items():
        for number, (spec, status) in enumerate(found):
            await _throw(bed, _manifest(bed, kind, number, spec, status))


async def _throw(bed: Bed, body: Manifest) -> None:
    async def admitted() -> bool:
        try:
            await bed.cluster.apply(body, manager="litterer")
            status = {**body, "status": body["status"]}
            await bed.cluster.apply(status, sub="status", manager="litterer")
        except Exception:  # the loose CRD is not served yet
            return False
        return True

    async def story() -> str:
        return f"{body} is not admitted"

    await until(admitted, story)


def _looks(bed: Bed) -> float:
    """Reconciles so far."""
    assert bed.operator
    samples = (each for metric in bed.operator.metrics.duration.collect() for each in metric.samples)
    return sum(each.value for each in samples if each.name.endswith("_count"))


def _invalid(bed: Bed, kind: str) -> float:
    assert bed.operator
    return bed.operator.metrics.errors.labels(kind, "InvalidObject")._value.get()


def _is_wrong(kind: str, spec: Manifest) -> bool:
    try:
        next(each for each in model.KINDS if each.__name__ == kind).model_validate({"metadata": {}, "spec": spec})
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize("order", ["found at start", "seen at work"])
async def test_garbage_gets_a_line_and_a_count_and_disturbs_nobody(
    order: str, bed: Bed, loose: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    if order == "found at start":
        await bed.kill()
    await _litter(bed)
    if order == "found at start":
        await bed.start()

    await bed.make("StorageVolume", "data", spec=SHARED)
    await bed.make("Bucket", "models", spec={})
    await bed.make("StorageVolume", "part", spec={"type": "object", "bucket": {"name": "models"}})
    await bed.make("StorageAttachment", "view", spec={"volume": {"name": "data"}})
    await bed.phase("data", "READY")
    await bed.phase("part", "READY")
    await bed.phase("view", "READY", "StorageAttachment")
    before = _looks(bed)
    await asyncio.sleep(4)  # two resyncs
    looks = _looks(bed) - before

    for kind, found in GARBAGE.items():
        assert _invalid(bed, kind) >= 1
        where = "" if kind == "StorageBackend" else f"{bed.namespace}/"
        for number, (spec, _) in enumerate(found):  # at work, it mends a status before it is seen
            if order == "found at start" or _is_wrong(kind, spec):
                assert f"{kind} {where}garbage-{number}" in caplog.text
    assert looks < 4 * (sum(map(len, GARBAGE.values())) + 6)
    assert bed.running
    await bed.delete("StorageAttachment", "view")
    await bed.gone("StorageAttachment", "view")
    await bed.delete("StorageVolume", "data")
    await bed.gone("StorageVolume", "data")
