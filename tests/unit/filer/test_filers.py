"""The operator and filers: which backend is woken by what, and what is said of the backend."""

import asyncio
from typing import Any

import pytest

from moorage import backendplan
from moorage.actions import Create, Hold, Problem
from moorage.backendplan import BackendFacts
from moorage.errors import InvalidInput
from moorage.filerpod import WorkerPod
from moorage.filerwork import FilerFacts, Need
from moorage.model import StorageBackend
from moorage_operator.filers import Filers, stirred
from moorage_operator.index import Index
from moorage_operator.probe import Prober
from moorage_operator.settings import Settings
from moorage_operator.store import Key

NAS = Key("StorageBackend", "", "nas")
HOW = WorkerPod("moorage", "moorage:1")


def backend(server: str = "127.0.0.1", port: int = 1) -> StorageBackend:
    nfs = {"server": server, "path": "/export", "size": "advisory"}
    return StorageBackend.model_validate(
        {
            "metadata": {"name": "nas", "uid": "uid-nas", "generation": 1, "finalizers": ["moorage.dev/finalizer"]},
            "spec": {"engine": {"nfs": nfs}, "mountOptions": [f"port={port}"]},
        }
    )


def volume(engine: str = "nfs", **share: Any) -> dict[str, Any]:
    placed = {"backend": "nas", "engine": engine, "server": "moorage-filer-nas"}
    return {
        "kind": "StorageVolume",
        "metadata": {"name": "data", "namespace": "ns", "uid": "u", "resourceVersion": "1"},
        "spec": {"size": "1Gi"},
        "status": {"placement": placed, **({"share": share} if share else {})},
    }


def test_a_backend_is_woken_by_fresh_work_and_by_its_workers_pod() -> None:
    served = volume(state="Served", server="moorage-filer-nas", sizeBytes=1 << 30)
    pod = {"kind": "Pod", "metadata": {"name": "p", "labels": {"moorage.dev/backend": "nas"}}}

    assert stirred(volume()) == [NAS]
    assert stirred(pod) == [NAS]
    assert stirred(served) == []
    assert stirred(volume("ganesha")) == []
    assert stirred({"kind": "Pod", "metadata": {"name": "p"}}) == []


async def test_the_facts_are_the_pod_as_it_is_and_what_each_volume_needs() -> None:
    class Server:
        async def get(self, ref: Any) -> dict[str, Any]:
            return {"metadata": {"name": ref.name, "namespace": ref.namespace}}

    index = Index()
    index.volumes.put(volume())

    found = await Filers(Server(), index, HOW).facts(backend(), None)  # type: ignore[arg-type]

    assert found
    assert found.needs == (Need.fresh,)
    assert found.pod == {"metadata": {"name": "moorage-filer-nas", "namespace": "moorage"}}


def test_the_worker_judges_and_the_port_only_raises_a_suspicion() -> None:
    suspicion = Problem("FilerUnreachable", "no route")
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    pod = {"metadata": {"name": "moorage-filer-nas"}, "status": ready}

    proved = backendplan.plan(BackendFacts(backend(), "now", suspicion, (), (), FilerFacts(backend(), HOW, 0, (), pod)))
    untried = backendplan.plan(
        BackendFacts(backend(), "now", suspicion, (), (), FilerFacts(backend(), HOW, 0, suspicion=suspicion))
    )

    assert [each.status for each in proved.status.conditions if each.type == "Ready"] == ["True"]
    assert [each.reason for each in untried.status.conditions if each.type == "Ready"] == ["FilerUnreachable"]
    assert [type(each) for each in untried.actions] == [Create]
    assert Hold() not in untried.actions
    assert untried.requeue_after == 2.0


async def test_the_port_is_the_backends_and_a_refusal_is_told_in_words() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    prober = Prober(None)  # type: ignore[arg-type]

    assert await prober(backend(port=port)) is None
    server.close()
    await server.wait_closed()
    refused = await prober(backend(port=port))

    assert refused
    assert (refused.reason, "Connection refused" in refused.message) == ("FilerUnreachable", True)


def test_how_workers_run_is_read_from_the_environment() -> None:
    told = {"MOORAGE_IMAGE": "moorage:2", "MOORAGE_FILER_POD": '{"tolerations": [{"operator": "Exists"}]}'}

    found = Settings.load({"POD_NAMESPACE": "storage", "MOORAGE_PULL_POLICY": "Never", **told}).filer_worker

    assert (found.namespace, found.image, found.pull_policy, found.account) == (
        *("storage", "moorage:2", "Never"),
        "moorage-filer",
    )
    assert found.spec == {"tolerations": [{"operator": "Exists"}]}


@pytest.mark.parametrize("text", ["{", "[]", "1"])
def test_what_is_no_pod_spec_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="MOORAGE_FILER_POD"):
        Settings.load({"POD_NAMESPACE": "storage", "MOORAGE_FILER_POD": text})
