"""Shares whose file system has shut down: when they are tried again, and what is said of them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from moorage import shutdown
from moorage.errors import Retry
from moorage.model import Phase, Share, ShareState, VolumeOnDelete
from moorage.share import Seen, Wanted
from moorage.shutdown import Attempts
from moorage_operator.agent import healing
from moorage_operator.agent.catalogue import Entry
from moorage_operator.agent.healing import Healing
from moorage_operator.agent.report import VolumeReport, share_status

GIB = 2**30
WANTED = Wanted("abc", "default", "data", "uid", GIB, export_id=7)
SERVED = Share(state=ShareState.Served, server="moorage-nfs-0", size_bytes=GIB, export_id=7)
ENTRY = Entry(WANTED, SERVED)
HEARD = replace(ENTRY, phase=Phase.FAILED)


@pytest.mark.parametrize(("count", "pause"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (5000, 60)])
def test_each_attempt_waits_longer_than_the_one_before_up_to_a_minute(count: int, pause: float) -> None:
    attempts = Attempts(count, last=100)

    assert attempts.wait(100) == pause
    assert attempts.wait(100 + pause) == 0
    assert attempts.another(100 + pause) == Attempts(count + 1, 100 + pause)


def test_the_first_attempt_and_one_after_a_steady_time_are_made_at_once() -> None:
    assert Attempts().wait(0) == 0
    assert Attempts(7, last=100).wait(700) == 0
    assert Attempts(7, last=100).another(700) == Attempts(1, 700)


class Mounts:
    dead = False

    def down(self, volume_id: str) -> bool:
        return self.dead


class Site:
    server, node, address, exports = "moorage-nfs-0", "node1", "nfs-0", True

    def path(self, volume_id: str) -> str:
        return f"/vol/{volume_id}"


class Api:
    """Remembers what was applied, unless it is away."""

    away = False

    def __init__(self) -> None:
        self.shares: list[Any] = []

    async def apply_status(self, path: str, manager: str, body: Any) -> None:
        if self.away:
            raise Retry("the API server does not answer")
        self.shares.append(body["status"]["share"])


class Rig:
    def __init__(self) -> None:
        self.mounts, self.api, self.now = Mounts(), Api(), 1000.0
        report = VolumeReport(self.api)  # type: ignore[arg-type]
        self.entries = {"abc": HEARD}
        self.healing = Healing(self.mounts, Site(), report, lambda: self.entries, lambda: self.now)  # type: ignore[arg-type]


async def test_a_share_that_is_well_is_never_held_up() -> None:
    rig = Rig()

    assert await rig.healing.pause("abc", ENTRY, WANTED) == 0
    assert rig.healing.settled("abc", trouble=False, retry=5) is None
    assert rig.healing.settled("abc", trouble=True, retry=5) == 5
    assert rig.healing.words("abc", "NoCapacity", "full") == ("NoCapacity", "full")
    assert rig.api.shares == []


async def test_that_it_is_down_is_told_before_it_is_brought_back() -> None:
    rig = Rig()
    rig.mounts.dead = True

    wait = await rig.healing.pause("abc", ENTRY, WANTED)

    assert wait == 0
    told = {"state": "Failed", "reason": "FileSystemDown", "message": shutdown.TEXT}
    assert [{key: share.get(key) for key in told} for share in rig.api.shares] == [told]
    assert rig.api.shares[0]["exportId"] == 7


async def test_it_is_brought_back_when_the_operator_has_heard_of_it() -> None:
    rig = Rig()
    rig.mounts.dead, rig.entries["abc"] = True, ENTRY
    work = asyncio.create_task(rig.healing.pause("abc", ENTRY, WANTED))

    done, _ = await asyncio.wait({work}, timeout=0.2)
    rig.entries["abc"] = HEARD

    assert not done
    assert await work == 0


async def test_an_operator_that_is_away_does_not_keep_it_from_being_brought_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(healing, "_HEARD", 0.1)
    rig = Rig()
    rig.mounts.dead, rig.entries["abc"] = True, ENTRY

    assert await rig.healing.pause("abc", ENTRY, WANTED) == 0


async def test_an_api_server_that_is_away_does_not_keep_it_from_being_brought_back() -> None:
    rig = Rig()
    rig.mounts.dead = rig.api.away = True

    assert await rig.healing.pause("abc", ENTRY, WANTED) == 0


async def test_one_that_shuts_down_again_and_again_is_left_alone_ever_longer() -> None:
    rig = Rig()
    rig.mounts.dead = True

    waits: list[float] = []
    for _ in range(4):
        assert await rig.healing.pause("abc", ENTRY, WANTED) == 0
        rig.healing.settled("abc", trouble=False, retry=5)  # it came back for a moment
        waits.append(await rig.healing.pause("abc", ENTRY, WANTED))
        rig.now += waits[-1]

    assert waits == [5, 10, 20, 40]


async def test_what_keeps_it_from_coming_back_is_told_with_what_happened_to_it() -> None:
    rig = Rig()
    rig.mounts.dead = True
    await rig.healing.pause("abc", ENTRY, WANTED)

    reason, message = rig.healing.words("abc", "CommandFailed", "mount: No space left on device")

    assert reason == "FileSystemDown"
    assert "shut down" in message
    assert "mount: No space left on device" in message
    assert rig.healing.settled("abc", trouble=True, retry=1) == 5


async def test_one_that_is_released_is_taken_down_without_waiting() -> None:
    rig = Rig()
    rig.mounts.dead = True
    gone = Wanted("abc", "default", "data", "uid", GIB, deleting=True, release=VolumeOnDelete.Delete)

    for _ in range(3):
        assert await rig.healing.pause("abc", Entry(gone, SERVED), gone) == 0
    assert rig.api.shares == []


def test_a_mount_that_is_dead_is_not_served_even_where_nothing_is_exported() -> None:
    class Node(Site):
        exports = False

    seen = Seen(record=None, mounted=True, down=True)

    assert share_status(Node(), WANTED, seen, "FileSystemDown", "busy").state is ShareState.Failed
