"""The documented life of a volume and of a bucket: each status entered and left, told once, seen by whoever watches."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bed import Bed, claim, condition, until
from bed import bed as bed  # fixtures: the operator in process
from bed import cluster as cluster

from moorage import names
from moorage.actions import Manifest, Problem
from moorage_operator.cluster import resource_path

GANESHA = {"type": "shared", "size": "5Gi"}


class Watcher:
    """Somebody who watches one object from its beginning: its phases in order, each with Ready's status."""

    def __init__(self, bed: Bed, kind: str, name: str) -> None:
        self.phases: list[tuple[str, str]] = []
        self.gone = False
        self._bed, self._kind, self._name = bed, kind, name

    async def run(self, ready: asyncio.Event) -> None:
        cluster, path = self._bed.cluster, resource_path(names.API_VERSION, self._kind, self._bed.namespace)
        query = {"watch": "1", "fieldSelector": f"metadata.name={self._name}"}
        async with cluster.session() as session, session.get(cluster.configuration.host + path, params=query) as answer:
            ready.set()
            async for line in answer.content:
                self._see(json.loads(line))

    def _see(self, event: Manifest) -> None:
        self.gone = event["type"] == "DELETED"
        phase = event["object"].get("status", {}).get("phase")
        seen = (phase, condition(event["object"], "Ready").get("status", ""))
        if phase and (not self.phases or self.phases[-1] != seen):
            self.phases.append(seen)


@contextlib.asynccontextmanager
async def watching(bed: Bed, kind: str, name: str) -> AsyncIterator[Watcher]:
    watcher, ready = Watcher(bed, kind, name), asyncio.Event()
    task = asyncio.create_task(watcher.run(ready))
    async with asyncio.timeout(60):
        await ready.wait()
    yield watcher
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def start_pod(bed: Bed, name: str) -> None:
    """As the kubelet says it once the mounts are there."""
    path = f"/api/v1/namespaces/{bed.namespace}/pods/{name}/status"
    status = {"conditions": [{"type": "PodReadyToStartContainers", "status": "True"}]}
    await bed.cluster._call("PATCH", path, {"status": status}, "merge")


async def writes(bed: Bed, kind: str) -> float:
    assert bed.operator
    return bed.operator.metrics.status_writes.labels(kind)._value.get()


async def reason(bed: Bed, name: str, wanted: str, kind: str = "StorageVolume") -> Manifest:
    async def reached() -> Manifest | None:
        found = condition(await bed.get(kind, name), "Provisioned")
        return found if found.get("reason") == wanted else None

    return await until(reached, lambda: bed._story(kind, name, wanted))


def inline(**attributes: str) -> Manifest:
    return {"name": "d", "csi": {"driver": names.DRIVER, "volumeAttributes": attributes}}


async def use_and_leave(bed: Bed, kind: str, name: str, way: Manifest) -> tuple[Manifest, Manifest]:
    """A pod comes, runs, is asked to go and has gone; gives the object as it was meanwhile."""
    await bed.pod("user", way)
    attaching = await bed.phase(name, "ATTACHING", kind)
    await start_pod(bed, "user")
    await bed.phase(name, "READY", kind)
    await bed.delete("Pod", "user", "v1")
    detaching = await bed.phase(name, "DETACHING", kind)
    await bed.delete_pod("user")
    await bed.phase(name, "READY", kind)
    return attaching, detaching


async def die(bed: Bed, watcher: Watcher, kind: str, name: str) -> None:
    """With a pod in the way, which is named and then goes."""
    await bed.delete(kind, name)
    await bed.condition(name, "DeletionBlocked", "True", kind)
    await bed.delete_pod("last")
    await bed.gone(kind, name)

    async def seen() -> bool:
        return watcher.gone

    await until(seen, lambda: bed._story(kind, name, "seen to go"))


LIFE = [
    *(("PENDING", "False"), ("PROVISIONING", "False"), ("FAILED", "False"), ("READY", "True"), ("ATTACHING", "True")),
    *(("READY", "True"), ("DETACHING", "True"), ("READY", "True"), ("ATTACHING", "True"), ("READY", "True")),
    *(("DESTROYING", "False"), ("DESTROYED", "False")),
]


async def test_a_volume_lives_through_all_eight_statuses_and_each_is_told_once(bed: Bed) -> None:
    bed.agent_works = False
    async with watching(bed, "StorageVolume", "data") as watcher:
        await bed.make("StorageVolume", "data", spec={**GANESHA, "backend": "late"})
        await bed.phase("data", "PENDING")
        bed.trouble = Problem("Unreachable", "connection refused")
        ganesha = {"namespace": bed.namespace, "statefulSet": "moorage-nfs"}
        await bed.make("StorageBackend", "late", spec={"engine": {"ganesha": ganesha}})
        await reason(bed, "data", "BackendNotReady")
        bed.trouble = None
        await bed.phase("data", "PROVISIONING")
        bed.agent_state, bed.agent_works = "Failed", True
        await bed.phase("data", "FAILED")
        bed.agent_state = "Served"
        await bed.phase("data", "READY")
        attaching, detaching = await use_and_leave(bed, "StorageVolume", "data", claim("data"))
        await bed.pod("last", inline(volume="data"))
        await bed.phase("data", "ATTACHING")
        await start_pod(bed, "last")
        await bed.phase("data", "READY")
        await die(bed, watcher, "StorageVolume", "data")

    user = f"{bed.namespace}/user"
    assert watcher.phases == LIFE
    assert condition(attaching, "Ready")["reason"] == "Attaching"
    assert condition(attaching, "Ready")["message"] == f"attaching on node-1: pod {user} waits for it"
    assert condition(detaching, "Ready")["message"] == f"detaching from node-1: pod {user} is leaving"
    assert await bed.events("data") == [
        *("BackendNotFound", "BackendNotReady", "Provisioning", "NoCapacity", "Ready"),
        *("Attaching", "Ready", "Detaching", "Ready", "Attaching", "Ready"),
        *("Destroying", "DeletionBlocked", "Destroyed"),
    ]


async def test_a_bucket_lives_through_all_eight_statuses_and_each_is_told_once(bed: Bed, s3_server: Any) -> None:
    key = {names.SECRET_ACCESS_KEY_ID: s3_server.access, names.SECRET_SECRET_ACCESS_KEY: s3_server.secret}
    where = {"endpoint": s3_server.endpoint, "adminEndpoint": s3_server.admin_endpoint}
    s3 = {**where, "credentialsSecret": {"name": "late", "namespace": bed.namespace}}
    await bed.make("Secret", "models-s3", "v1", stringData={"mine": "1"})  # in the way
    async with watching(bed, "Bucket", "models") as watcher:
        await bed.make("Bucket", "models", spec={"backend": "late"})
        await bed.phase("models", "PENDING", "Bucket")
        await bed.make("StorageBackend", "late", spec={"engine": {"s3": s3}})
        await reason(bed, "models", "BackendNotReady", "Bucket")
        await bed.make("Secret", "late", "v1", stringData=key)
        await bed.phase("models", "FAILED", "Bucket")
        await bed.delete("Secret", "models-s3", "v1")
        await bed.phase("models", "READY", "Bucket")
        attaching, _ = await use_and_leave(bed, "Bucket", "models", inline(bucket="models"))
        await bed.pod("last", inline(bucket="models"))
        await bed.phase("models", "ATTACHING", "Bucket")
        await start_pod(bed, "last")
        used = await bed.phase("models", "READY", "Bucket")
        await die(bed, watcher, "Bucket", "models")

    assert watcher.phases == LIFE
    assert condition(attaching, "Ready")["message"] == f"attaching on node-1: pod {bed.namespace}/user waits for it"
    assert used["status"]["attached"] == 1
    assert await bed.events("models", "Bucket") == [
        *("BackendNotFound", "BackendNotReady", "Provisioning", "SecretConflict", "Ready"),
        *("Attaching", "Ready", "Detaching", "Ready", "Attaching", "Ready"),
        *("Destroying", "DeletionBlocked", "Destroyed"),
    ]


async def test_a_bucket_mirrors_the_volume_that_shows_it(bed: Bed) -> None:
    await bed.make("StorageVolume", "own", spec={"type": "object"})
    await bed.phase("own", "READY")

    await bed.pod("user", claim("own"))

    volume, bucket = await bed.phase("own", "ATTACHING"), await bed.phase("own", "ATTACHING", "Bucket")
    await start_pod(bed, "user")
    after = await bed.phase("own", "READY", "Bucket")
    assert condition(bucket, "Ready")["message"] == condition(volume, "Ready")["message"]
    assert after["status"]["attached"] == 1

    async def attached() -> bool:
        found = await bed.phase("own", "READY")
        return found["status"]["attached"] == 1

    await until(attached, lambda: bed._story("StorageVolume", "own", "attached"))


async def test_the_start_of_a_pod_costs_two_writes_and_a_second_one_on_the_node_moves_nothing(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec=GANESHA)
    await bed.phase("data", "READY")

    async def made() -> bool:
        return await writes(bed, "StorageVolume") == 2

    await until(made, lambda: bed._story("StorageVolume", "data", "written twice"))
    before = await writes(bed, "StorageVolume")

    await bed.pod("one", claim("data"))
    await bed.phase("data", "ATTACHING")
    await start_pod(bed, "one")
    await bed.phase("data", "READY")

    async def written() -> float:  # counted after the answer
        more = await writes(bed, "StorageVolume") - before
        return more if more >= 2 else 0

    first = await until(written, lambda: bed._story("StorageVolume", "data", "written twice"))
    for name in ("two", "three", "four"):
        await bed.pod(name, claim("data"))
        await start_pod(bed, name)

    async def counted() -> bool:
        return condition(await bed.get("StorageVolume", "data"), "Attached").get("message") == "4 pods use it"

    await until(counted, lambda: bed._story("StorageVolume", "data", "used by four"))
    assert first == 2
    assert await writes(bed, "StorageVolume") - before - first <= 3  # the number, at the operator's leisure
    assert await bed.events("data") == ["Provisioning", "Ready", "Attaching", "Ready"]


async def test_the_time_in_each_phase_is_a_metric(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec=GANESHA)
    ready = await bed.phase("data", "READY")
    await bed.make("Bucket", "models", spec={})
    await bed.phase("models", "READY", "Bucket")

    async def counted() -> dict[str, float]:  # after the status was written
        assert bed.operator
        lines = bed.operator.metrics.text().decode().splitlines()
        shown = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
        return shown if 'moorage_phase_seconds_count{kind="Bucket",phase="PROVISIONING"}' in shown else {}

    shown = await until(counted, lambda: bed._story("Bucket", "models", "in the metrics"))
    assert shown['moorage_phase_seconds_count{kind="StorageVolume",phase="PROVISIONING"}'] == 1
    assert shown['moorage_phase_seconds_count{kind="Bucket",phase="PROVISIONING"}'] == 1
    assert shown['moorage_phase_transitions_total{kind="StorageVolume",phase="READY"}'] == 1
    assert shown['moorage_objects{kind="StorageVolume",phase="READY"}'] == 1
    assert 0 <= shown['moorage_phase_oldest_seconds{kind="StorageVolume",phase="READY"}'] < 60
    assert len(ready["status"]["phaseSince"]) == len("2026-01-01T00:00:00.000000Z")


# What people type.


@pytest.mark.parametrize(("kind", "short"), [("StorageVolume", "sv"), ("Bucket", "bkt")])
async def test_kubectl_waits_for_ready_for_the_phase_and_for_the_end(
    bed: Bed, kubectl: list[str], kind: str, short: str
) -> None:
    name = f"{short}/data"

    async def wait(how: str) -> tuple[int, str]:
        argv = [*kubectl, f"--namespace={bed.namespace}", "wait", name]
        process = await asyncio.create_subprocess_exec(
            *(*argv, f"--for={how}", "--timeout=20s"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode().strip()

    await bed.make(kind, "data", spec=GANESHA if kind == "StorageVolume" else {})
    waits = [wait("condition=Ready"), wait("jsonpath={.status.phase}=READY")]
    ready = await asyncio.gather(*waits)
    ending = asyncio.create_task(wait("delete"))
    await asyncio.sleep(0.5)  # so that kubectl has begun to wait
    await bed.delete(kind, "data")
    end = await ending

    long = f"{kind.lower()}.{names.GROUP}/data"
    assert ready == [(0, f"{long} condition met")] * 2
    assert end == (0, f"{long} condition met")
