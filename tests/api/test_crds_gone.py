"""CRDs that are removed under a running operator take their objects along, in any order, and may come back."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bed import Bed, until
from filled import bucket, has_data, shared

from moorage import crd, model, names
from moorage.actions import Problem
from moorage.errors import MoorageError
from moorage.model import StorageBackend
from moorage_operator.cluster import Cluster
from moorage_operator.engines.desk import Engines
from moorage_operator.probe import Prober
from moorage_operator.runtime import Operator
from moorage_operator.settings import Settings

# of the loop that is left behind
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS = {kind.__name__: kind for kind in model.KINDS}


class Crds:
    """Our CRDs, removed and made again. The API server takes their objects away itself, and waits for finalizers."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def remove(self, *kinds: str) -> None:
        for each in kinds:
            assert self._api.call("DELETE", self._path(each)).ok

    async def gone(self) -> None:
        async def none_left() -> bool:
            return not any(self._api.call("GET", self._path(each)).ok for each in KINDS)

        await until(none_left, self._story)

    async def restore(self) -> None:
        """All there and served, whatever was done to them."""

        async def served() -> bool:
            for name, kind in KINDS.items():
                found = self._api.call("GET", self._path(name))
                if not found.ok:
                    self._api.call("POST", CRDS, crd.crd(kind))
                elif "deletionTimestamp" in found.json()["metadata"]:
                    self._free(kind)
            return all(self._works(each) for each in KINDS)

        await until(served, self._story)

    def _works(self, name: str) -> bool:
        found = self._api.call("GET", self._path(name))
        listed = self._api.call("GET", f"/apis/{names.API_VERSION}/{KINDS[name].plural}")
        return found.ok and "deletionTimestamp" not in found.json()["metadata"] and listed.ok

    def _free(self, kind: type[model.Resource]) -> None:
        for each in self._api.call("GET", f"/apis/{names.API_VERSION}/{kind.plural}").json().get("items", []):
            path = self._api.path(kind, each["metadata"]["name"], each["metadata"].get("namespace", ""))
            self._api.merge(path, {"metadata": {"finalizers": None}})

    def _path(self, name: str) -> str:
        return f"{CRDS}/{KINDS[name].plural}.{names.GROUP}"

    async def _story(self) -> str:
        left = {each: self._api.call("GET", f"/apis/{names.API_VERSION}/{KINDS[each].plural}").text for each in KINDS}
        return f"the CRDs are not as wanted: {left}"


class Process:
    """The operator as the kubelet runs it: started again when it ends. In a thread of its own, which is left behind:
    kopf does not end properly once a watch of its has failed, and the real process exits over that."""

    def __init__(self, configuration: Any, namespace: str) -> None:
        self._configuration, self._namespace = configuration, namespace
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(RuntimeError):  # stopped before it was complete
            self._loop.run_until_complete(self._live())

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _live(self) -> None:
        cluster = Cluster(self._configuration)
        s3 = Prober(Engines(cluster))

        async def probe(backend: StorageBackend) -> Problem | None:
            return await s3(backend) if backend.spec.engine.s3 else None

        while True:
            settings = Settings(self._namespace, "tester", resync=2.0, relist=2.0, crds_patience=1.0)
            with contextlib.suppress(MoorageError, ExceptionGroup):
                await Operator(cluster, settings, probe).run()
            await asyncio.sleep(0.2)


@pytest.fixture
async def crds(bed: Bed, api: Any) -> AsyncIterator[Crds]:
    """The bed's operator and share agent would die with the kinds that they watch: others take over."""
    await bed.kill()
    process = Process(bed.cluster.configuration, bed.namespace)
    process.start()
    agent, crds = asyncio.create_task(_keep_playing(bed)), Crds(api)
    yield crds
    process.stop()
    await crds.restore()
    agent.cancel()


async def _keep_playing(bed: Bed) -> None:
    while True:
        with contextlib.suppress(MoorageError):
            await bed.play_agent()
        await asyncio.sleep(0.05)


ORDERS = {
    "volumes first": ["StorageVolume", "StorageAttachment", "StorageSnapshot", "BucketKey", "Bucket", "StorageBackend"],
    "backends first": [
        "StorageBackend",
        "Bucket",
        "BucketKey",
        "StorageSnapshot",
        "StorageAttachment",
        "StorageVolume",
    ],
    "buckets first": ["Bucket", "StorageVolume", "StorageAttachment", "StorageBackend", "StorageSnapshot", "BucketKey"],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
async def test_crds_removed_under_a_running_operator_take_everything_along(
    crds: Crds, bed: Bed, s3_server: Any, order: list[str]
) -> None:
    await shared(bed)
    await bed.make("StorageVolume", "own", spec={"type": "object"})
    await bed.phase("own", "READY")
    key = await bucket(bed)
    await bed.make("BucketKey", "reader", spec={"buckets": [{"name": "own"}]})
    await bed.phase("reader", "READY", "BucketKey")

    crds.remove(order[0])
    await asyncio.sleep(1)
    crds.remove(*order[1:])
    await crds.gone()

    assert not has_data(key, s3_server)
    assert await bed.cluster.list("v1", "PersistentVolume") == []


async def test_an_operator_lives_through_the_removal_of_its_crds_and_serves_again(crds: Crds, bed: Bed) -> None:
    crds.remove(*KINDS)
    await crds.gone()

    await crds.restore()
    ganesha = {"namespace": bed.namespace, "statefulSet": "moorage-nfs"}
    await bed.make("StorageBackend", "shared", spec={"default": True, "engine": {"ganesha": ganesha}})

    await shared(bed)
