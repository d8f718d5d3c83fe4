"""Over a real gRPC server on a unix socket: what every call gets, whatever the method does."""

import asyncio
import logging
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from moorage import errors
from moorage_csi import redact, rpc
from moorage_csi.metrics import Metrics
from moorage_csi.proto import csi_pb2 as csi

from .client import Client

SECRETS = {"AWS_SECRET_ACCESS_KEY": "hunter2"}
Act = Callable[[str], csi.NodeStageVolumeResponse]


class Probe(rpc.Servicer):
    """Answers NodeStageVolume as the test says."""

    service = csi.DESCRIPTOR.services_by_name["Node"]
    operations: ClassVar[Mapping[str, rpc.Operation]] = {
        "NodeStageVolume": rpc.Operation(lock="volume_id", deadline=0.3),
    }

    def __init__(self) -> None:
        super().__init__(Metrics())
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.seen: dict[str, object] = {}

    async def NodeStageVolume(
        self,
        volume_id: str,
        staging_target_path: str,
        volume_capability: csi.VolumeCapability | None = None,
        volume_context: Mapping[str, str] = {},
    ) -> csi.NodeStageVolumeResponse:
        await self.gate.wait()
        self.seen = {"volume_id": volume_id, "capability": volume_capability, "context": volume_context}
        if self.error:
            raise self.error
        return csi.NodeStageVolumeResponse()


@pytest.fixture
async def probe(tmp_path: Path) -> AsyncIterator[Probe]:
    servicer = Probe()
    server = await rpc.listen(f"unix://{tmp_path}/csi.sock", servicer)
    yield servicer
    await server.stop(0)


@pytest.fixture
def client(tmp_path: Path, probe: Probe) -> Client:
    return Client(f"unix://{tmp_path}/csi.sock", Probe.service)


async def _stage(client: Client, volume_id: str = "ns/v/1", path: str = "/s", seconds: float = 5.0) -> None:
    request = csi.NodeStageVolumeRequest(
        volume_id=volume_id, staging_target_path=path, secrets=SECRETS, volume_context={"type": "shared"}
    )
    await client.call("NodeStageVolume", request, csi.NodeStageVolumeResponse, seconds)


async def test_fields_arrive_as_plain_arguments(client: Client, probe: Probe) -> None:
    await _stage(client)
    assert probe.seen == {"volume_id": "ns/v/1", "capability": None, "context": {"type": "shared"}}


async def test_a_missing_required_field_is_named(client: Client) -> None:
    with pytest.raises(errors.InvalidInput, match=r"^staging_target_path is required$"):
        await _stage(client, path="")


@pytest.mark.parametrize(
    "error",
    [errors.InvalidInput, errors.NotFound, errors.AlreadyExists, errors.InUse, errors.OutOfRange, errors.NoCapacity,
     errors.Forbidden, errors.Unauthenticated, errors.NotOffered, errors.Pending, errors.DeadlineExceeded,
     errors.Retry],
)  # fmt: skip
async def test_an_error_keeps_its_class_and_message(
    client: Client, probe: Probe, error: type[errors.MoorageError]
) -> None:
    probe.error = error("do this instead")
    with pytest.raises(error, match=r"^do this instead$") as caught:
        await _stage(client)
    assert caught.value.code == error.code


async def test_a_subclass_has_the_code_of_its_parent(client: Client, probe: Probe) -> None:
    probe.error = errors.NotReady("wait")
    with pytest.raises(errors.Retry, match="wait"):
        await _stage(client)


async def test_a_bug_is_internal_and_shows_no_inside(
    client: Client, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    probe.error = KeyError("secret detail")
    with pytest.raises(errors.MoorageError) as caught:
        await _stage(client)
    assert (caught.value.code, str(caught.value)) == (
        "INTERNAL", "NodeStageVolume failed (KeyError); the driver's log says where",
    )  # fmt: skip
    assert "Traceback" in caplog.text


async def test_a_second_call_for_the_same_volume_is_aborted_and_others_go_on(client: Client, probe: Probe) -> None:
    probe.gate.clear()
    first = asyncio.ensure_future(_stage(client, "ns/a/1"))
    await asyncio.sleep(0.05)
    with pytest.raises(errors.Pending, match="under way"):
        await _stage(client, "ns/a/1")
    other = asyncio.ensure_future(_stage(client, "ns/b/1"))
    probe.gate.set()
    await asyncio.gather(first, other)
    await _stage(client, "ns/a/1")


async def test_a_call_that_hangs_ends_with_the_deadline_and_frees_the_volume(client: Client, probe: Probe) -> None:
    probe.gate.clear()
    with pytest.raises(errors.DeadlineExceeded, match="did not end in time"):
        await _stage(client)
    probe.gate.set()
    await _stage(client)


async def test_a_caller_that_gives_up_frees_the_volume(client: Client, probe: Probe) -> None:
    probe.gate.clear()
    with pytest.raises(errors.DeadlineExceeded):
        await _stage(client, seconds=0.05)
    probe.gate.set()
    await asyncio.sleep(0.05)
    await _stage(client)


async def test_what_the_service_lacks_is_unimplemented(client: Client) -> None:
    with pytest.raises(errors.NotOffered):
        await client.call("NodeGetInfo", csi.NodeGetInfoRequest(), csi.NodeGetInfoResponse, 5)


async def test_only_the_owner_can_open_the_socket(tmp_path: Path, probe: Probe) -> None:
    assert stat.S_IMODE((tmp_path / "csi.sock").stat().st_mode) == 0o600


async def test_secrets_are_not_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await _stage(client)
    assert "hunter2" not in caplog.text
    assert '"secrets": "***"' in caplog.text and "ns/v/1" in caplog.text


async def test_calls_are_counted_by_code(client: Client, probe: Probe) -> None:
    await _stage(client)
    with pytest.raises(errors.InvalidInput):
        await _stage(client, path="")
    text = probe.metrics.text()
    assert 'moorage_csi_operations_total{method="NodeStageVolume",code="OK"} 1' in text
    assert 'moorage_csi_operations_total{method="NodeStageVolume",code="INVALID_ARGUMENT"} 1' in text
    assert 'moorage_csi_operation_seconds_bucket{method="NodeStageVolume",le="+Inf"} 2' in text


def test_every_field_that_the_spec_marks_secret_is_blanked() -> None:
    requests = [
        message
        for message in csi.DESCRIPTOR.message_types_by_name
        if "secrets" in csi.DESCRIPTOR.message_types_by_name[message].fields_by_name
    ]
    assert len(requests) >= 18
    for name in requests:
        assert redact.fields(getattr(csi, name)(secrets=SECRETS)) == {"secrets": "***"}


def test_tokens_in_a_volume_context_are_blanked() -> None:
    context = {"csi.storage.k8s.io/serviceAccount.tokens": "eyJ", "type": "shared"}
    shown = redact.fields(csi.NodePublishVolumeRequest(volume_context=context))
    assert shown == {"volume_context": {"csi.storage.k8s.io/serviceAccount.tokens": "***", "type": "shared"}}
