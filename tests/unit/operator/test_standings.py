"""Prometheus sees what backends, their servers and unhappy objects stand at."""

from __future__ import annotations

from typing import Any

from moorage_operator.metrics import Metrics


def body(kind: str, name: str, condition: str, status: str, reason: str, **more: Any) -> dict[str, Any]:
    conditions = [{"type": condition, "status": status, "reason": reason}]
    return {"kind": kind, "metadata": {"name": name}, "status": {"conditions": conditions, **more}}


def lines(metrics: Metrics) -> set[str]:
    return set(metrics.text().decode().splitlines())


def test_each_server_of_each_backend_tells_its_room() -> None:
    servers = [
        {"name": "moorage-nfs-0", "totalBytes": 100, "freeBytes": 40, "promisedBytes": 60},
        {"name": "moorage-nfs-1", "totalBytes": 100, "freeBytes": 3, "promisedBytes": 300, "overfull": True},
    ]
    metrics = Metrics()
    metrics.watch_backends(lambda: [body("StorageBackend", "shared", "Ready", "True", "Ready", servers=servers)])

    seen = lines(metrics)

    assert 'moorage_backend_ready{backend="shared"} 1.0' in seen
    assert 'moorage_server_free_bytes{backend="shared",server="moorage-nfs-0"} 40.0' in seen
    assert 'moorage_server_promised_bytes{backend="shared",server="moorage-nfs-1"} 300.0' in seen
    assert 'moorage_server_overfull{backend="shared",server="moorage-nfs-0"} 0.0' in seen
    assert 'moorage_server_overfull{backend="shared",server="moorage-nfs-1"} 1.0' in seen


def test_a_backend_that_does_not_answer_or_was_never_probed_is_not_ready() -> None:
    metrics = Metrics()
    silent = body("StorageBackend", "silent", "Ready", "False", "Unreachable")
    metrics.watch_backends(lambda: [silent, {"kind": "StorageBackend", "metadata": {"name": "new"}}])

    seen = lines(metrics)

    assert 'moorage_backend_ready{backend="silent"} 0.0' in seen
    assert 'moorage_backend_ready{backend="new"} 0.0' in seen


def test_objects_that_are_not_provisioned_are_counted_by_their_reason() -> None:
    gone = body("StorageVolume", "a", "Provisioned", "False", "NodeGone")
    well = body("StorageVolume", "b", "Provisioned", "True", "Provisioned")
    metrics = Metrics()
    metrics.watch_objects(lambda: [gone, gone, well])

    seen = {line for line in lines(metrics) if line.startswith("moorage_problems")}

    assert seen == {'moorage_problems{kind="StorageVolume",reason="NodeGone"} 2.0'}
