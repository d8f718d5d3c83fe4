"""Pools that promise more than they hold: sparse images, the warning before they are full, and room given back."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from moorage import imagesize
from moorage.errors import NoCapacity
from moorage.model import BackendServer, Kept
from moorage.record import Record
from moorage.share import Wanted
from moorage.usage import Figures
from moorage_operator.agent.catalogue import Catalogue
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.poolreport import PoolReport, differs
from moorage_operator.agent.settings import Settings
from moorage_operator.agent.trim import Trimmer

MIB, GIB, TIB = 2**20, 2**30, 2**40
SETTINGS = Settings.read({"POD_NAME": "moorage-nfs-0", "POD_NAMESPACE": "moorage", "NODE_NAME": "n1"})


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    pool = Pool(tmp_path)
    pool.open()
    return pool


def keep(pool: Pool, id: str, sparse: bool, data: int = 0) -> Path:
    """A share whose image holds `data` bytes."""
    image = pool.image(id)
    image.parent.mkdir()
    image.write_bytes(bytes(data))
    number = len(pool.records()) + 1
    pool.save_record(Record(id=id, namespace="ns", name=id, uid=id, export_id=number, size=GIB, sparse=sparse))
    return image


def test_a_sparse_image_grows_far_beyond_the_pool_and_takes_nothing(pool: Pool) -> None:
    image = keep(pool, "abc", sparse=True)
    total, _ = pool.space()

    pool.enlarge("abc", 2 * total)

    assert (image.stat().st_size, pool.allocated_bytes("abc")) == (2 * total, 0)


def test_a_reserved_image_stays_reserved_when_it_grows(pool: Pool) -> None:
    image = keep(pool, "abc", sparse=False)
    total, _ = pool.space()

    with pytest.raises(NoCapacity):
        pool.enlarge("abc", 2 * total)

    assert image.stat().st_size == 0


def test_a_sparse_image_does_not_shrink(pool: Pool) -> None:
    image = keep(pool, "abc", sparse=True, data=8192)

    pool.enlarge("abc", 4096)

    assert image.stat().st_size == 8192


@pytest.mark.parametrize(("length", "sparse"), [(8192, False), (64 * MIB, True)])
def test_the_record_says_whether_the_image_is_sparse_whatever_the_backend_says_by_now(
    pool: Pool, length: int, sparse: bool
) -> None:
    image = pool.image("abc")
    image.parent.mkdir()
    image.write_bytes(bytes(8192))
    os.truncate(image, length)

    pool.ensure_image(Wanted("abc", "ns", "data", "uid", GIB, sparse=not sparse))

    found = pool.record("abc")
    assert found
    assert found.sparse is sparse


@pytest.mark.parametrize(
    ("total", "free", "before", "overfull"),
    [
        (50 * GIB, 5 * GIB, False, False),
        (50 * GIB, 5 * GIB - 1, False, True),
        (50 * GIB, 6 * GIB, True, True),  # not until there is a quarter more
        (50 * GIB, 7 * GIB, True, False),
        (TIB, 11 * GIB, False, False),  # 10 GiB are enough of any pool
        (TIB, 10 * GIB - 1, False, True),
        (TIB, 12 * GIB, True, True),
        (TIB, 13 * GIB, True, False),
    ],
)
def test_a_pool_is_overfull_below_a_tenth_or_ten_gib_and_does_not_flap(
    total: int, free: int, before: bool, overfull: bool
) -> None:
    assert imagesize.overfull(total, free, before) is overfull


@pytest.mark.parametrize(
    ("allocated", "used", "waste"),
    [(65 * MIB, 2 * MIB, 0), (64 * MIB, 0, 0), (GIB + 64 * MIB, 24 * MIB, 1000 * MIB)],
)
def test_waste_is_what_no_file_has_any_more(allocated: int, used: int, waste: int) -> None:
    assert imagesize.waste(allocated, used) == waste


def backend(overcommit: bool) -> dict[str, Any]:
    engine = {"ganesha": {"namespace": "moorage", "statefulSet": "moorage-nfs", "overcommit": overcommit}}
    return {"metadata": {"name": "shared"}, "spec": {"engine": engine}}


class Api:
    def __init__(self) -> None:
        self.applied: list[tuple[str, str, Any]] = []

    async def apply_status(self, path: str, manager: str, body: Any) -> None:
        self.applied.append((path, manager, body["status"]))


def report(pool: Pool, item: dict[str, Any], space: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> PoolReport:
    catalogue = Catalogue("moorage-nfs-0", "moorage", "moorage-nfs")
    catalogue.take_backends([item])
    monkeypatch.setattr(pool, "space", lambda: space)
    return PoolReport(Api(), SETTINGS, pool, catalogue)  # type: ignore[arg-type]


@pytest.mark.parametrize(("overcommit", "free"), [(True, 6 * GIB), (False, imagesize.room(6 * GIB))])
async def test_room_is_all_that_is_free_only_where_nothing_is_reserved(
    pool: Pool, overcommit: bool, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(pool, "a", sparse=overcommit)
    keep(pool, "b", sparse=overcommit)
    told = report(pool, backend(overcommit), (50 * GIB, 6 * GIB), monkeypatch)

    await told.write([backend(overcommit)], ())

    expected = BackendServer(
        name="moorage-nfs-0", total_bytes=50 * GIB, free_bytes=free, promised_bytes=2 * GIB, node="n1"
    )
    path = "/apis/moorage.dev/v1alpha1/storagebackends/shared"
    assert told._report._api.applied == [(path, "moorage-agent-moorage-nfs-0", {"servers": [expected.dump()]})]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("overcommit", "sparse", "overfull"),
    [(True, True, True), (True, False, True), (False, True, True), (False, False, False)],
)
def test_a_full_pool_is_overfull_only_where_it_promised_more(
    pool: Pool, overcommit: bool, sparse: bool, overfull: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(pool, "a", sparse)

    assert report(pool, backend(overcommit), (50 * GIB, GIB), monkeypatch).look().overfull is overfull


SAID = BackendServer(name="moorage-nfs-0", total_bytes=100 * GIB, free_bytes=50 * GIB)


@pytest.mark.parametrize(
    ("change", "worth"),
    [
        ({"free_bytes": 51 * GIB}, False),
        ({"free_bytes": 51 * GIB + 1}, True),
        ({"overfull": True}, True),
        ({"node": "n2"}, True),
        ({"promised_bytes": GIB}, True),
        ({"kept": (Kept(id="aaaaaaaa", namespace="ns", name="x"),)}, True),
    ],
)
def test_only_small_changes_of_the_room_are_not_told(change: dict[str, Any], worth: bool) -> None:
    assert differs(SAID, SAID.model_copy(update=change)) is worth


@pytest.mark.parametrize(
    ("before", "now", "worth"),
    [(GIB // 4, GIB // 2, True), (GIB // 2, 0, True), (0, 63 * MIB, False), (4 * GIB, 4 * GIB + 256 * MIB, False)],
)
def test_on_a_nearly_full_pool_little_room_is_told_for_a_volume_may_wait_for_it(
    before: int, now: int, worth: bool
) -> None:
    """A deleted snapshot gives back less than a hundredth of a large pool, and changes nothing else that is told."""
    said = SAID.model_copy(update={"free_bytes": before})
    assert differs(said, SAID.model_copy(update={"free_bytes": now})) is worth


class Mounts:
    """All are mounted, and empty but for 1 MiB."""

    def down(self, volume_id: str) -> bool:
        return False

    def mounted(self, volume_id: str) -> bool:
        return True

    def point(self, volume_id: str) -> Path:
        return Path("/nonexistent") / volume_id

    def figures(self, volume_id: str) -> Figures:
        return Figures(GIB, GIB - MIB, GIB - MIB, 1000, 990)


@pytest.mark.parametrize(
    ("images", "worst"),
    [
        ({"a": (True, 0), "b": (True, 400 * MIB)}, "b"),
        ({"a": (True, 500 * MIB), "b": (True, 400 * MIB)}, "a"),
        ({"a": (False, 500 * MIB)}, None),
        ({"a": (True, 200 * MIB)}, None),
    ],
)
def test_the_sparse_image_with_the_most_waste_is_trimmed(
    pool: Pool, images: dict[str, tuple[bool, int]], worst: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for id, (sparse, _) in images.items():
        keep(pool, id, sparse)
    monkeypatch.setattr(pool, "allocated_bytes", lambda id: images[id][1])

    assert Trimmer(pool, Mounts(), lambda: False)._worst() == worst  # type: ignore[arg-type]


@pytest.mark.parametrize(("minutes", "overfull", "again"), [(3, False, None), (3, True, "a"), (61, False, "a")])
async def test_an_image_rests_after_a_trim_less_so_on_a_full_pool(
    pool: Pool, minutes: int, overfull: bool, again: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(pool, "a", sparse=True)
    monkeypatch.setattr(pool, "allocated_bytes", lambda _: GIB)
    trimmer = Trimmer(pool, Mounts(), lambda: overfull)  # type: ignore[arg-type]
    await trimmer.trim("a")

    trimmer._tried["a"] -= minutes * 60

    assert trimmer._worst() == again


async def test_a_trim_under_way_lets_go_of_a_mount_that_must_go(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "fstrim"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    trimmer = Trimmer(pool, Mounts(), lambda: False)  # type: ignore[arg-type]
    work = asyncio.create_task(trimmer.trim("a"))
    async with asyncio.timeout(60):
        while not trimmer._at_work:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)

    await trimmer.let_go("other")
    assert not work.done()
    await trimmer.let_go("a")

    await asyncio.wait_for(work, 60)
