"""StorageSnapshots on a real API server: their life, what waits for them, and what they hold."""

import pytest
from bed import Bed, condition, until

from moorage.actions import Manifest, Problem

SHARED = {"type": "shared", "size": "5Gi"}


async def taken(bed: Bed, name: str = "monday", volume: str = "data") -> Manifest:
    await bed.make("StorageSnapshot", name, spec={"volume": volume})
    return await bed.phase(name, "READY", "StorageSnapshot")


async def waits(bed: Bed, kind: str, name: str, reason: str) -> Manifest:
    async def reached() -> Manifest | None:
        found = await bed.get(kind, name)
        return found if condition(found, "Provisioned").get("reason") == reason else None

    return await until(reached, lambda: bed._story(kind, name, reason))


async def test_a_snapshot_waits_for_its_volume_and_a_volume_for_its_snapshot(bed: Bed) -> None:
    await bed.make("StorageVolume", "copy", spec={**SHARED, "source": {"snapshot": "monday"}})
    await waits(bed, "StorageVolume", "copy", "SourceNotFound")
    await bed.make("StorageSnapshot", "monday", spec={"volume": "data"})
    await waits(bed, "StorageSnapshot", "monday", "VolumeNotFound")
    await waits(bed, "StorageVolume", "copy", "SourceNotReady")

    await bed.make("StorageVolume", "data", spec=SHARED)

    copy = await bed.phase("copy", "READY")
    monday = await bed.phase("monday", "READY", "StorageSnapshot")
    data = await bed.phase("data", "READY")
    assert monday["status"]["placement"] == data["status"]["placement"] == copy["status"]["placement"]
    assert (monday["status"]["volumeId"], monday["status"]["size"]) == (data["status"]["id"], "5Gi")
    assert await bed.events("monday", "StorageSnapshot") == [
        "VolumeNotFound",
        "VolumeNotReady",
        "Provisioning",
        "Ready",
    ]


async def test_a_snapshot_outlives_its_volume_and_gives_a_new_one(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec=SHARED)
    await taken(bed)
    await bed.delete("StorageVolume", "data")
    await bed.gone("StorageVolume", "data")

    await bed.make("StorageVolume", "back", spec={**SHARED, "source": {"snapshot": "monday"}})

    assert await bed.phase("back", "READY")
    assert (await bed.phase("monday", "READY", "StorageSnapshot"))["status"]["size"] == "5Gi"


async def test_a_volume_in_the_making_holds_its_snapshot_and_its_source(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec=SHARED)
    await taken(bed)
    bed.agent_works = False
    await bed.make("StorageVolume", "copy", spec={**SHARED, "source": {"snapshot": "monday"}})
    await bed.make("StorageVolume", "clone", spec={**SHARED, "source": {"volume": "data"}})
    for name in ("copy", "clone"):
        await bed.phase(name, "PROVISIONING")

    await bed.delete("StorageSnapshot", "monday")
    await bed.delete("StorageVolume", "data")
    monday = await bed.condition("monday", "DeletionBlocked", "True", "StorageSnapshot")
    data = await bed.condition("data", "DeletionBlocked", "True")
    bed.agent_works = True

    for kind, name in (("StorageSnapshot", "monday"), ("StorageVolume", "data")):
        await bed.gone(kind, name)
    assert f"StorageVolume {bed.namespace}/copy (being cloned)" in monday["message"]
    assert f"StorageVolume {bed.namespace}/clone (being cloned)" in data["message"]
    assert (await bed.events("monday", "StorageSnapshot"))[-3:] == ["Destroying", "DeletionBlocked", "Destroyed"]
    for name in ("copy", "clone"):
        await bed.phase(name, "READY")


REFUSED = {
    "a smaller one": ({"size": "4Gi", "source": {"snapshot": "monday"}}, "SourceTooSmall", "write at least 5Gi"),
    "on another backend": (
        {"size": "5Gi", "backend": "other", "source": {"snapshot": "monday"}},
        "SourceElsewhere",
        "leave spec.backend out, or name that one",
    ),
    "of a bucket": ({"size": "5Gi", "source": {"volume": "objects"}}, "ClonesNotOffered", "only shared volumes"),
}


@pytest.mark.parametrize(("spec", "reason", "sentence"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_cannot_begin_so_is_failed_with_a_sentence(
    bed: Bed, spec: Manifest, reason: str, sentence: str
) -> None:
    await bed.make("StorageVolume", "data", spec=SHARED)
    await bed.make("StorageVolume", "objects", spec={"type": "object"})
    await taken(bed)

    await bed.make("StorageVolume", "copy", spec={"type": "shared", **spec})

    failed = await bed.phase("copy", "FAILED")
    assert condition(failed, "Provisioned")["reason"] == reason
    assert sentence in condition(failed, "Ready")["message"]


async def test_a_snapshot_of_a_bucket_is_failed(bed: Bed) -> None:
    await bed.make("StorageVolume", "objects", spec={"type": "object"})

    await bed.make("StorageSnapshot", "monday", spec={"volume": "objects"})

    failed = await bed.phase("monday", "FAILED", "StorageSnapshot")
    assert condition(failed, "Provisioned")["reason"] == "ClonesNotOffered"


async def test_a_snapshot_goes_when_its_backend_is_gone_and_says_that_data_remains(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec=SHARED)
    await taken(bed)
    await bed.delete("StorageVolume", "data")
    await bed.gone("StorageVolume", "data")
    bed.agent_works, bed.trouble = False, Problem("Unreachable", "connection refused")
    await bed.delete("StorageBackend", "shared")
    blocked = await bed.condition("shared", "DeletionBlocked", "True", "StorageBackend")

    await bed.delete("StorageSnapshot", "monday")

    await bed.gone("StorageSnapshot", "monday")
    await bed.gone("StorageBackend", "shared")
    assert f"StorageSnapshot {bed.namespace}/monday" in blocked["message"]
    assert "DataRemains" in await bed.events("monday", "StorageSnapshot")
