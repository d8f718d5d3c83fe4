"""`moorage-csi unsaved`: who runs the platform sees, stores and gives up what a bucket did not take."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from moorage import errors
from moorage.unsaved import Unsaved, told
from moorage_csi.mounter import backlog, wire
from moorage_csi.mounter.backlog import Backlog

RECORD = Unsaved("lost-1", "run/model", 7, "", {}, 5, 0, 1_700_000_000.0, "Permission denied", 13)
CONFLICT = replace(RECORD, name="8", key="run/other", since=1_600_000_000.0, conflict=True, error="changed")
LEFT, SERVED = "team_models_abc-11111111", "team_images_xyz-22222222"


class Bed:
    """A mounter's folders: one volume that is not mounted any more, and one whose moorfs answers."""

    def __init__(self, folder: Path) -> None:
        self.run, self.cache = folder / "run", folder / "cache"
        for each in ("data", "unsaved"):
            (self.cache / LEFT / each).mkdir(parents=True)
        (self.cache / LEFT / "lock").touch()
        (self.cache / LEFT / "unsaved" / "lost-1.json").write_text(json.dumps(asdict(RECORD)))
        (self.cache / LEFT / "unsaved" / "lost-1").write_bytes(b"12345")
        home = self.run / "served"
        home.mkdir(parents=True)
        config = {"volume": "team/images", "cache": str(self.cache / SERVED)}
        (home / "config.json").write_text(json.dumps(config))
        self.asked: list[dict[str, Any]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = dict(await wire.receive(reader))
        if request["method"] != "stats":
            self.asked.append(request)
        refused = request["method"] == "retry" and "key" not in request
        answer = {"code": "INVALID_ARGUMENT", "message": "give another key"} if refused else {"code": "OK"}
        await wire.send(writer, answer | {"unsaved": [told(CONFLICT)]})
        writer.close()

    @property
    def arguments(self) -> list[str]:
        return [f"--run-dir={self.run}", f"--cache-dir={self.cache}"]

    @property
    def backlog(self) -> Backlog:
        return Backlog(self.run, self.cache)


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    made = Bed(tmp_path)
    server = await asyncio.start_unix_server(made.answer, made.run / "served" / "control")
    yield made
    server.close()


async def test_all_unsaved_files_of_the_node_are_listed_oldest_first(bed: Bed) -> None:
    lines = backlog.table(await bed.backlog.items()).splitlines()

    assert [line.split()[:6] for line in lines] == [
        ["ID", "VOLUME", "MOUNTED", "BYTES", "SINCE", "KEY"],
        [f"{SERVED}/8", "team/images", "yes", "5", "2020-09-13T12:26:40Z", "run/other"],
        [f"{LEFT}/lost-1", "team/models", "no", "5", "2023-11-14T22:13:20Z", "run/model"],
    ]
    assert lines[1].endswith("somebody else wrote it meanwhile") and lines[2].endswith("Permission denied")


async def test_those_of_one_volume_can_be_asked_for(bed: Bed) -> None:
    assert [item.id for item in await bed.backlog.items("team/models")] == [f"{LEFT}/lost-1"]


async def test_one_of_a_mounted_volume_is_stored_by_its_moorfs(bed: Bed) -> None:
    await bed.backlog.retry(f"{SERVED}/8", "run/other-2")
    assert bed.asked == [{"method": "retry", "name": "8", "key": "run/other-2"}]


async def test_what_moorfs_says_against_it_is_said(bed: Bed) -> None:
    with pytest.raises(errors.InvalidInput, match="give another key"):
        await bed.backlog.retry(f"{SERVED}/8", "")


async def test_one_of_a_volume_that_is_not_mounted_needs_a_mount_to_be_stored(bed: Bed) -> None:
    with pytest.raises(errors.InUse, match="mount it on this node"):
        await bed.backlog.retry(f"{LEFT}/lost-1", "")


async def test_one_can_be_given_up(bed: Bed) -> None:
    await bed.backlog.discard(f"{LEFT}/lost-1")
    await bed.backlog.discard(f"{SERVED}/8")

    assert list((bed.cache / LEFT / "unsaved").iterdir()) == []
    assert bed.asked == [{"method": "discard", "name": "8"}]


async def test_what_there_is_not_is_named(bed: Bed) -> None:
    with pytest.raises(errors.NotFound, match="nothing unsaved on this node is named 'lost-1'"):
        await bed.backlog.discard("lost-1")


def test_the_command_lists_and_tells_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bed = Bed(tmp_path)
    assert backlog.main([*bed.arguments, "team/models"]) == 0
    assert f"{LEFT}/lost-1" in capsys.readouterr().out
    assert backlog.main([*bed.arguments, "--retry", f"{LEFT}/lost-1"]) == 1
    assert "is not mounted here" in capsys.readouterr().err


async def test_what_an_rclone_left_is_listed_and_can_be_given_up_unless_it_runs(bed: Bed) -> None:
    cache = bed.cache / "team_sounds_abc-3333333333.rclone"
    for each, text in (("vfs", "12345"), ("vfsMeta", '{"Dirty": true}')):
        (cache / each / "bucket/sounds").mkdir(parents=True)
        (cache / each / "bucket/sounds/a").write_text(text)
    (item,) = await bed.backlog.items("team/sounds")
    assert item.line[1:4] == ("team/sounds", "no", "5")
    assert item.line[5:] == ("a", "the bucket had not taken it when rclone ended")

    (bed.run / "3333333333").mkdir()
    assert await bed.backlog.items("team/sounds") == []
    (bed.run / "3333333333").rmdir()
    await bed.backlog.discard(item.id)

    assert await bed.backlog.items("team/sounds") == []
    assert not (cache / "vfs/bucket/sounds/a").exists()
