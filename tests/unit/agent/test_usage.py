"""How full a share is: what is told, when, and that it is written beside the share."""

from dataclasses import replace
from typing import Any

import pytest

from moorage.model import Share, ShareState, Usage
from moorage.share import Wanted
from moorage.usage import Figures, is_worth_telling
from moorage_operator.agent.catalogue import Entry
from moorage_operator.agent.report import VolumeReport
from moorage_operator.agent.usage import UsageWatch

MIB, GIB = 2**20, 2**30
TOLD = Usage(used_bytes=400 * MIB, free_bytes=624 * MIB, inodes=1000, inodes_used=100)
WANTED = Wanted("abc", "default", "data", "uid", GIB)
SERVED = Share(state=ShareState.Served, server="moorage-nfs-0", size_bytes=GIB, export_id=7)
ENTRY = Entry(WANTED, SERVED)
FAILED = SERVED.model_copy(update={"state": ShareState.Failed, "reason": "ImageMissing"})
HALF = Figures(total=GIB, free=GIB // 2, available=GIB // 2, inodes=1000, inodes_free=900)


def test_figures_are_read_as_df_reads_them() -> None:
    figures = Figures(total=1000, free=600, available=500, inodes=80, inodes_free=30)

    assert figures.usage == Usage(used_bytes=400, free_bytes=500, inodes=80, inodes_used=50)


@pytest.mark.parametrize(
    ("change", "worth"),
    [
        ({}, False),
        ({"used_bytes": 410 * MIB, "free_bytes": 614 * MIB}, False),
        ({"used_bytes": 411 * MIB, "free_bytes": 613 * MIB}, True),
        ({"inodes_used": 109}, False),
        ({"inodes_used": 110}, True),
        ({"inodes": 900}, False),
        ({"free_bytes": 1624 * MIB}, True),
        ({"used_bytes": 0, "free_bytes": 0, "inodes": 0, "inodes_used": 0}, True),
    ],
)
def test_one_per_cent_is_worth_telling(change: dict[str, int], worth: bool) -> None:
    assert is_worth_telling(TOLD, TOLD.model_copy(update=change), age=60) is worth


@pytest.mark.parametrize(
    ("change", "worth"),
    [({}, False), ({"inodes": 900}, False), ({"inodes_used": 101}, True), ({"used_bytes": 401 * MIB}, True)],
)
def test_any_change_is_worth_telling_in_the_end(change: dict[str, int], worth: bool) -> None:
    assert is_worth_telling(TOLD, TOLD.model_copy(update=change), age=600) is worth


def test_the_first_look_is_worth_telling() -> None:
    assert is_worth_telling(None, Usage(), age=0)


class Api:
    """Remembers what was applied."""

    def __init__(self) -> None:
        self.applied: list[tuple[str, str, Any]] = []

    async def apply_status(self, path: str, manager: str, body: Any) -> None:
        self.applied.append((path, manager, body["status"]))


class Mounts:
    def __init__(self, **figures: Figures) -> None:
        self.there = figures
        self.dead: set[str] = set()

    def down(self, volume_id: str) -> bool:
        return volume_id in self.dead

    def mounted(self, volume_id: str) -> bool:
        return volume_id in self.there

    def figures(self, volume_id: str) -> Figures:
        return self.there[volume_id]


class Rig:
    def __init__(self, *entries: Entry, **figures: Figures) -> None:
        self.api, self.mounts = Api(), Mounts(**figures)
        self.entries = {entry.wanted.id: entry for entry in entries}
        self.report = VolumeReport(self.api)  # type: ignore[arg-type]
        self.down: list[str] = []
        self.watch = UsageWatch(self.mounts, self.report, lambda: self.entries, self.down.append)  # type: ignore[arg-type]

    def statuses(self) -> list[Any]:
        return [status for _, _, status in self.api.applied]


async def test_usage_is_written_beside_the_share_by_the_agents_manager() -> None:
    rig = Rig(ENTRY, abc=HALF)

    await rig.watch.look()

    path = "/apis/moorage.dev/v1alpha1/namespaces/default/storagevolumes/data"
    usage = {"usedBytes": GIB // 2, "freeBytes": GIB // 2, "inodes": 1000, "inodesUsed": 100}
    assert rig.api.applied == [(path, "moorage-agent", {"share": SERVED.dump(), "usage": usage})]


async def test_it_is_written_at_most_once_a_minute() -> None:
    rig = Rig(ENTRY, abc=HALF)

    await rig.watch.look()
    rig.mounts.there["abc"] = replace(HALF, free=0, available=0)
    await rig.watch.look()

    assert len(rig.api.applied) == 1


async def test_what_the_status_says_already_is_not_written_again_after_a_restart() -> None:
    rig = Rig(replace(ENTRY, usage=HALF.usage), abc=HALF)

    await rig.watch.look()

    assert rig.api.applied == []


async def test_only_what_is_served_and_mounted_is_told() -> None:
    rig = Rig(Entry(WANTED, FAILED), Entry(replace(WANTED, id="new"), None), replace(ENTRY, wanted=WANTED), abc=HALF)
    rig.entries["lost"] = Entry(replace(WANTED, id="lost"), SERVED)
    rig.entries["abc"] = Entry(WANTED, FAILED)

    await rig.watch.look()

    assert rig.api.applied == []


async def test_a_file_system_that_has_shut_down_is_told_and_the_others_figures_go_on() -> None:
    rig = Rig(ENTRY, Entry(replace(WANTED, id="dead", uid="other"), SERVED), abc=HALF, dead=HALF)
    rig.mounts.dead = {"dead"}

    await rig.watch.look()

    assert rig.down == ["dead"]
    assert rig.statuses() == [{"share": SERVED.dump(), "usage": HALF.usage.dump()}]


async def test_a_change_of_the_share_keeps_the_usage() -> None:
    rig = Rig(ENTRY, abc=HALF)
    await rig.watch.look()

    await rig.report.write(ENTRY, FAILED)

    assert rig.statuses()[-1] == {"share": FAILED.dump(), "usage": HALF.usage.dump()}


async def test_a_change_of_the_share_after_a_restart_keeps_the_usage_that_the_status_has() -> None:
    rig = Rig()

    await rig.report.write(replace(ENTRY, usage=TOLD), FAILED)

    assert rig.statuses() == [{"share": FAILED.dump(), "usage": TOLD.dump()}]


async def test_usage_never_brings_back_an_older_share() -> None:
    rig = Rig(ENTRY)
    grown = SERVED.model_copy(update={"size_bytes": 2 * GIB})
    await rig.report.write(ENTRY, grown)

    await rig.report.write_usage(ENTRY, TOLD)  # the watch has not shown the write yet

    assert rig.statuses()[-1] == {"share": grown.dump(), "usage": TOLD.dump()}


async def test_usage_of_a_share_that_failed_meanwhile_is_not_written() -> None:
    rig = Rig(ENTRY)
    await rig.report.write(ENTRY, FAILED)

    await rig.report.write_usage(ENTRY, TOLD)

    assert rig.statuses() == [{"share": FAILED.dump()}]


async def test_a_released_share_has_no_usage() -> None:
    rig = Rig()
    released = SERVED.model_copy(update={"state": ShareState.Released})

    await rig.report.write(replace(ENTRY, usage=TOLD), released)

    assert rig.statuses() == [{"share": released.dump()}]
