"""A volume that adopts a share goes to the server that has it."""

from typing import Any

import pytest

from moorage import berth, placement
from moorage.actions import Problem
from moorage.model import Placement, StorageBackend


def server(name: str, *kept: str) -> dict[str, Any]:
    listed = [{"id": id, "namespace": "team", "name": "data", "sizeBytes": 1} for id in kept]
    return {"name": name, "totalBytes": 1, "freeBytes": 1, "kept": listed}


def backend(*servers: dict[str, Any]) -> StorageBackend:
    condition = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": "t"}
    engine = {"ganesha": {"namespace": "moorage", "statefulSet": "nfs"}}
    body = {"metadata": {"name": "shared"}, "spec": {"default": True, "engine": engine}}
    return StorageBackend.model_validate({**body, "status": {"conditions": [condition], "servers": servers}})


CASES = {
    "the server that lists it": ((server("nfs-0", "aaaaaaaa"), server("nfs-1", "bbbbbbbb")), "nfs-1"),
    "the only server, whose list may be cut short": ((server("nfs-0", "aaaaaaaa"),), "nfs-0"),
}


@pytest.mark.parametrize(("servers", "name"), CASES.values(), ids=CASES.keys())
def test_place(servers: tuple[dict[str, Any], ...], name: str) -> None:
    placed = placement.place(berth.Asked(("ganesha",), adopt="bbbbbbbb"), [backend(*servers)])

    assert placed == Placement(backend="shared", engine="ganesha", server=name)


def test_no_place_is_taken_for_good_while_no_server_of_several_has_it() -> None:
    servers = (server("nfs-0", "aaaaaaaa"), server("nfs-1"))

    refused = placement.place(berth.Asked(("ganesha",), adopt="bbbbbbbb"), [backend(*servers)])

    assert isinstance(refused, Problem)
    assert refused.reason == "AdoptNotFound"
    assert "no server of StorageBackend shared has a kept share bbbbbbbb" in refused.message
