"""What a backend says of its servers: which answer, and which are nearly full."""

import asyncio
import socket
from typing import Any

import pytest

from moorage import conditions
from moorage.actions import Problem
from moorage.backendplan import BackendFacts, plan
from moorage.model import StorageBackend
from moorage_operator import probe

NOW = "2026-01-01T00:00:00Z"
GI = 2**30
ENGINES = {"ganesha": {"namespace": "m", "statefulSet": "nfs"}, "local": {"namespace": "m", "daemonSet": "local"}}


def server(name: str, free: int = 84, overfull: bool = False) -> dict[str, Any]:
    return {"name": name, "totalBytes": 100 * GI, "freeBytes": free * GI, "overfull": overfull}


def backend(*servers: dict[str, Any], engine: str = "ganesha", **status: Any) -> StorageBackend:
    metadata = {"name": "shared", "finalizers": ["moorage.dev/finalizer"]}
    spec = {"engine": {engine: ENGINES[engine]}}
    return StorageBackend.model_validate({"metadata": metadata, "spec": spec, "status": {"servers": servers, **status}})


def found(step: Any, type: str) -> tuple[str, str, str]:
    verdict = conditions.find(step.status.conditions, type)
    assert verdict
    return verdict.status.value, verdict.reason, verdict.message


def test_a_backend_is_ready_while_one_server_answers_and_names_those_that_do_not() -> None:
    step = plan(BackendFacts(backend(server("nfs-0"), server("nfs-1")), NOW, silent={"nfs-1": "connection refused"}))

    assert found(step, "Ready") == ("True", "Ready", "1 of 2 servers answer; nfs-1: connection refused")


def test_a_backend_that_nothing_answers_for_is_not_ready() -> None:
    step = plan(BackendFacts(backend(server("nfs-0")), NOW, Problem("Unreachable", "nfs-0: refused")))

    assert found(step, "Ready") == ("False", "Unreachable", "nfs-0: refused")


def test_an_overfull_server_is_an_alarm_and_an_event_once() -> None:
    full = [server("nfs-0"), server("nfs-1", 9, overfull=True)]
    first = plan(BackendFacts(backend(*full), NOW))

    again = plan(BackendFacts(backend(*full, **first.status.dump() | {"servers": full}), NOW))

    message = (
        "writes may soon fail with ENOSPC in all volumes there: nfs-1 has 9216Mi left. Enlarge the pool, or delete data"
    )
    assert found(first, "CapacityLow") == ("True", "Overfull", message)
    assert [each.reason for each in first.notices] == ["Ready", "CapacityLow"]
    assert again.notices == ()


@pytest.mark.parametrize("engine", ENGINES)
def test_enough_room_is_told_too_and_the_column_sums_it(engine: str) -> None:
    step = plan(BackendFacts(backend(server("a"), server("b", 16), engine=engine), NOW))

    assert found(step, "CapacityLow")[:2] == ("False", "Enough")
    assert (step.status.engine, step.status.free) == (engine, "100Gi")


async def test_each_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    listening = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    monkeypatch.setattr(probe, "NFS_PORT", listening.sockets[0].getsockname()[1])
    answers = await probe._probe_nfs("127.0.0.1")
    listening.close()
    await listening.wait_closed()

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(probe, "NFS_PORT", unused.getsockname()[1])
        refused = await probe._probe_nfs("127.0.0.1")

    assert (answers, refused) == ("", "connection refused")
    assert await probe._probe_nfs("no-such-server.invalid") == "its name is not known"


async def test_the_first_server_is_asked_while_none_has_reported() -> None:
    probed = await probe._probe_ganesha(backend().spec.engine.ganesha, backend())  # type: ignore[arg-type]

    assert probed.trouble
    assert probed.trouble.message == "nfs-0.m.svc:2049: its name is not known"
