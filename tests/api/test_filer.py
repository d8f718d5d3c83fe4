"""Volumes on a filer, from StorageVolume to folder and back: the operator, its worker's pods, the worker itself."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from bed import Bed, condition
from filerbed import Filers, holds
from filerbed import filers as filers  # fixture

from moorage.actions import Manifest


async def volume(bed: Bed, name: str, **spec: Any) -> Manifest:
    return await bed.make("StorageVolume", name, spec={"type": "shared", "size": "1Gi", "backend": "nas", **spec})


@pytest.fixture
def export(filers: Filers) -> Path:
    return filers.exports["127.0.0.1", "/export"]


async def failed(bed: Bed, name: str) -> tuple[str, str]:
    found = condition(await bed.phase(name, "FAILED"), "Provisioned")
    return found["reason"], found["message"]


async def test_a_volume_is_a_folder_and_goes_with_it(bed: Bed, filers: Filers, export: Path) -> None:
    await filers.backend("nas", folder="${namespace}/${name}")
    await bed.condition("nas", "Ready", "True", "StorageBackend")

    await volume(bed, "data", root={"mode": "0750", "uid": 1000, "gid": 1000})
    found = await bed.phase("data", "READY")
    folder = export / bed.namespace / "data"
    (folder / "deep").mkdir()

    assert folder.stat().st_mode & 0o7777 == 0o750
    assert found["status"]["placement"] == {"backend": "nas", "engine": "nfs", "server": "moorage-filer-nas"}
    attributes = found["status"]["attributes"]
    assert (attributes["server"], attributes["path"]) == ("127.0.0.1", f"/export/{bed.namespace}/data")
    assert condition(found, "SizeEnforced")["reason"] == "Advisory"

    await bed.delete("StorageVolume", "data")
    await bed.gone("StorageVolume", "data")
    assert not folder.exists()
    assert sorted(each.name for each in (export / ".moorage").iterdir()) == ["staged", "trash"]


async def test_the_worker_ends_when_idle_and_the_next_volume_starts_another(bed: Bed, filers: Filers) -> None:
    await filers.backend("nas")
    await volume(bed, "one")
    await bed.phase("one", "READY")

    async def ended() -> bool:
        pod = await bed.get("Pod", "moorage-filer-nas", "v1")
        return bool(pod and pod["status"].get("phase") == "Succeeded")

    assert await holds(ended, 60)
    before = filers.started
    await asyncio.sleep(1)
    assert filers.started == before
    ready = condition(await bed.get("StorageBackend", "nas"), "Ready")
    await volume(bed, "two")
    await bed.phase("two", "READY")

    assert filers.started == before + 1
    assert ready["status"] == "True"


@pytest.mark.parametrize("how", ["Retain", "Archive"])
async def test_a_kept_folder_is_adopted_by_its_id(bed: Bed, filers: Filers, export: Path, how: str) -> None:
    await filers.backend("nas", folder="${namespace}/${name}")
    await volume(bed, "old", onDelete=how)
    id = (await bed.phase("old", "READY"))["status"]["id"]
    (export / bed.namespace / "old/file").write_text("precious")
    await bed.delete("StorageVolume", "old")
    await bed.gone("StorageVolume", "old")

    async def listed() -> bool:
        servers = (await bed.get("StorageBackend", "nas") or {})["status"]["servers"]
        return [each["id"] for each in servers[0]["kept"]] == [id]

    assert await holds(listed, 60)
    await volume(bed, "new", adopt=id)
    found = await bed.phase("new", "READY")

    folder = "old" if how == "Retain" else "archived-old"
    assert found["status"]["attributes"]["path"] == f"/export/{bed.namespace}/{folder}"
    assert (export / bed.namespace / folder / "file").read_text() == "precious"


async def test_of_two_volumes_that_adopt_one_folder_one_gets_it_and_its_data_outlives_both(
    bed: Bed, filers: Filers, export: Path
) -> None:
    (export / "home" / bed.namespace / "set").mkdir(parents=True)
    await filers.backend("nas", adopt="/home/${namespace}")
    folder = f"/home/{bed.namespace}/set"

    await volume(bed, "first", adopt=folder)
    await bed.phase("first", "READY")
    await volume(bed, "second", adopt=folder)
    await volume(bed, "inner", adopt=f"{folder}/inner")
    reason, message = await failed(bed, "second")

    assert (reason, "StorageVolume" in message) == ("AdoptInUse", True)
    assert f"{bed.namespace}/first" in message
    assert (await failed(bed, "inner"))[0] == "AdoptInUse"
    await bed.delete("StorageVolume", "first")
    await bed.gone("StorageVolume", "first")
    told = [each["note"] for each in await bed.cluster.list("events.k8s.io/v1", "Event", bed.namespace)]
    assert f"the volume is gone; folder {folder} was there before the volume, and stays as it is" in told
    for name in ("second", "inner"):
        await bed.delete("StorageVolume", name)
        await bed.gone("StorageVolume", name)
    assert (export / "home" / bed.namespace / "set").is_dir()


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"adopt": "/home/other/set"}, "AdoptForbidden", "does not lie beneath /home/"),
        ({"adopt": "/etc"}, "AdoptForbidden", "does not lie beneath"),
        ({"adopt": "abcdefgh"}, "AdoptNotFound", "no kept share abcdefgh"),
        ({"squash": "Root"}, "NotOffered", "set it on the filer"),
    ],
)
async def test_what_a_filer_does_not_give_is_refused_in_a_sentence(
    bed: Bed, filers: Filers, spec: dict[str, Any], reason: str, words: str
) -> None:
    await filers.backend("nas", adopt="/home/${namespace}")

    await volume(bed, "data", **spec)

    found = await failed(bed, "data")
    assert found[0] == reason
    assert words in found[1]
    await bed.delete("StorageVolume", "data")
    await bed.gone("StorageVolume", "data")


async def test_a_folder_that_is_missing_heals_when_it_is_made(bed: Bed, filers: Filers, export: Path) -> None:
    await filers.backend("nas", adopt="/home/${namespace}")
    await volume(bed, "data", adopt=f"/home/{bed.namespace}/set")
    assert (await failed(bed, "data"))[0] == "AdoptNotFound"

    (export / "home" / bed.namespace / "set").mkdir(parents=True)

    await bed.phase("data", "READY")


async def test_an_export_that_is_not_there_is_told_on_the_backend_and_its_volumes_and_heals(
    bed: Bed, filers: Filers, tmp_path: Path
) -> None:
    await filers.backend("nas", path="/none")
    found = await bed.condition("nas", "Ready", "False", "StorageBackend")
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "1Gi", "backend": "nas"})
    waiting = await bed.phase("data", "PENDING")

    async def told() -> bool:
        ready = condition(await bed.get("StorageBackend", "nas"), "Ready")
        return ready["reason"] == "ExportNotFound" and "127.0.0.1:/none does not exist" in ready["message"]

    assert found
    assert await holds(told, 60)
    assert "StorageBackend nas" in condition(waiting, "Ready")["message"]
    (tmp_path / "none").mkdir()
    filers.exports["127.0.0.1", "/none"] = tmp_path / "none"
    await bed.phase("data", "READY")


async def test_a_silent_filer_is_told_at_once(bed: Bed, filers: Filers) -> None:
    spec = {"engine": {"nfs": {"server": "127.0.0.1", "path": "/x", "size": "advisory"}}, "mountOptions": ["port=1"]}
    filers.words = "mount.nfs4: Connection refused for 127.0.0.1:/x on /mnt"
    await bed.make("StorageBackend", "nas", spec=spec)

    found = await bed.condition("nas", "Ready", "False", "StorageBackend")

    assert found["reason"] == "FilerUnreachable"
    assert "Connection refused" in found["message"]
    await bed.delete("StorageBackend", "nas")
    await bed.gone("StorageBackend", "nas")
