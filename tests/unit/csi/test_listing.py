"""ListVolumes and ControllerGetVolume over an API server that pages as the real one does."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from moorage import errors
from moorage_csi import api
from moorage_csi.controller import Controller
from moorage_csi.metrics import Metrics
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.request import GIB

from .conftest import SHARED, ObjectsApi

LONG = "x" * 200  # the API server's continue tokens are longer than the CSI spec allows


def _volume(name: str, id: str = "abcd2345") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "team", "uid": name}
    return {
        "metadata": metadata, "spec": {"type": "shared", "size": "1Gi"},
        "status": {"id": id, "attributes": SHARED} if id else {},
    }  # fmt: skip


@dataclass
class Paged(ObjectsApi):
    """Lists `volumes`; a continue token is the number of the next one."""

    volumes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    expired: bool = False

    async def get(self, path: str) -> dict[str, Any]:
        parts = urlsplit(path)
        if parts.path != api.VOLUMES:
            return await super().get(path)
        query = parse_qs(parts.query)
        start = int(query.get("continue", ["0"])[0].removesuffix(LONG))
        if start and self.expired:
            raise errors.Pending("the API server answered 410: the continue token is too old")
        end = start + int(query["limit"][0])
        more = f"{end}{LONG}" if end < len(self.volumes) else ""
        return {"items": self.volumes[start:end], "metadata": {"continue": more}}


@pytest.fixture
def server() -> Paged:
    return Paged(volumes=[_volume(f"v{n}") for n in range(7)])


@pytest.fixture
def controller(server: Paged) -> Controller:
    return Controller(Metrics(), server, "moorage")


async def _names(controller: Controller, most: int, token: str = "") -> tuple[list[str], str]:
    answer = await controller.ListVolumes(most, token)
    return [entry.volume.volume_id for entry in answer.entries], answer.next_token


async def test_without_a_limit_all_volumes_are_listed_with_size_and_plan(controller: Controller) -> None:
    answer = await controller.ListVolumes()
    assert [entry.volume.volume_id for entry in answer.entries] == [f"team/v{n}/abcd2345" for n in range(7)]
    assert answer.entries[0].volume.capacity_bytes == GIB
    assert dict(answer.entries[0].volume.volume_context) == SHARED
    assert answer.next_token == ""


async def test_without_a_limit_more_than_one_page_of_the_server_is_read(server: Paged, controller: Controller) -> None:
    server.volumes = [_volume(f"v{n}") for n in range(1201)]
    assert len((await controller.ListVolumes()).entries) == 1201


async def test_pages_hold_every_volume_once(controller: Controller) -> None:
    seen: list[str] = []
    token = ""
    for size in (3, 3, 1):
        page, token = await _names(controller, 3, token)
        assert len(page) == size and len(token) <= 128
        seen += page
    assert token == "" and seen == [f"team/v{n}/abcd2345" for n in range(7)]


async def test_a_token_can_be_used_again(controller: Controller) -> None:
    _, token = await _names(controller, 3)
    assert await _names(controller, 0, token) == await _names(controller, 0, token)


async def test_a_token_of_an_earlier_controller_is_aborted(server: Paged, controller: Controller) -> None:
    _, token = await _names(controller, 3)
    with pytest.raises(errors.Pending, match="begin again"):
        await Controller(Metrics(), server, "moorage").ListVolumes(3, token)


async def test_a_token_that_the_server_has_forgotten_is_aborted(server: Paged, controller: Controller) -> None:
    _, token = await _names(controller, 3)
    server.expired = True
    with pytest.raises(errors.Pending, match="too old: begin again"):
        await controller.ListVolumes(3, token)


async def test_only_the_newest_tokens_are_kept(controller: Controller) -> None:
    _, first = await _names(controller, 1)
    for _ in range(64):
        await _names(controller, 1)
    with pytest.raises(errors.Pending):
        await controller.ListVolumes(1, first)


async def test_a_volume_that_the_operator_has_not_seen_is_not_listed(server: Paged, controller: Controller) -> None:
    server.volumes = [_volume("new", id=""), _volume("old")]
    assert await _names(controller, 0) == (["team/old/abcd2345"], "")


async def test_one_volume_is_described_by_its_id(server: Paged, controller: Controller) -> None:
    server.objects[api.volume_path("team", "v1")] = _volume("v1")
    answer = await controller.ControllerGetVolume("team/v1/abcd2345")
    assert (answer.volume.volume_id, answer.volume.capacity_bytes) == ("team/v1/abcd2345", GIB)
    assert answer.HasField("status")
    with pytest.raises(errors.NotFound):
        await controller.ControllerGetVolume("team/v1/older234")


def _with_health(name: str, healthy: str, ready: str) -> dict[str, Any]:
    volume = _volume(name)
    volume["status"]["conditions"] = [
        {"type": "Healthy", "status": healthy, "reason": "ServerDown", "message": "moorage-nfs-0 is not ready"},
        {"type": "Ready", "status": ready, "reason": "Ready", "message": ""},
    ]
    return volume


async def test_the_health_of_a_volume_is_that_of_its_conditions(server: Paged, controller: Controller) -> None:
    for name, healthy, ready in (("well", "True", "True"), ("slow", "False", "True"), ("down", "False", "False")):
        server.objects[api.volume_path("team", name)] = _with_health(name, healthy, ready)
    found = {
        name: [
            (entry.status, entry.reason, entry.message)
            for entry in (
                await controller.ControllerGetVolumeHealth(f"team/{name}/abcd2345")
            ).volume_health.health_statuses
        ]
        for name in ("well", "slow", "down")
    }
    why = ("ServerDown", "moorage-nfs-0 is not ready")
    assert found == {"well": [], "slow": [(csi.DEGRADED, *why)], "down": [(csi.INACCESSIBLE, *why)]}


async def test_only_sick_volumes_are_listed_with_their_health(server: Paged, controller: Controller) -> None:
    server.volumes = [_with_health(f"v{n}", "False" if n % 3 == 0 else "True", "True") for n in range(7)]
    first = await controller.ControllerListVolumeHealth(4)
    second = await controller.ControllerListVolumeHealth(4, first.next_token)
    assert [entry.volume_id for entry in first.entries] == ["team/v0/abcd2345", "team/v3/abcd2345"]
    assert [entry.volume_id for entry in second.entries] == ["team/v6/abcd2345"] and second.next_token == ""


async def test_controller_health_is_advertised_only_when_told_to(server: Paged, controller: Controller) -> None:
    rpc = csi.ControllerServiceCapability.RPC
    found: list[set[int]] = []
    for each in (controller, Controller(Metrics(), server, "moorage", volume_health=True)):
        answer = await each.ControllerGetCapabilities()
        found.append({capability.rpc.type for capability in answer.capabilities})
    assert found[1] - found[0] == {rpc.GET_VOLUME_HEALTH, rpc.LIST_VOLUME_HEALTH}
