"""A kept share and the volume that takes it over: what is allowed, and that a crash anywhere loses nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage import adoption, share
from moorage.adoption import Adoption, Source
from moorage.errors import Retry
from moorage.ganesha import Export
from moorage.model import Kept, VolumeOnDelete
from moorage.record import Record
from moorage.share import EnsureAbsent, EnsureAdopted, EnsureMounted, Place, Plan, Seen, Wanted
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.reconcile import Shares

MIB, GIB = 2**20, 2**30
PLACE = Place("/export", ("10.0.0.1",))
ASKED = Adoption("old", "shared", "moorage-nfs-0")
WANTED = Wanted("new", "team", "again", "uid-new", GIB, adoption=ASKED)
RECORD = Record(id="old", namespace="team", name="data", uid="uid-old", export_id=7, size=GIB, retained=True)
SOURCE = Source(RECORD, GIB + 64 * MIB)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    pool = Pool(tmp_path)
    pool.open()
    return pool


def keep(pool: Pool, record: Record = RECORD, data: str = "precious") -> None:
    image = pool.image(record.id)
    image.parent.mkdir()
    image.write_text(data)
    pool.save_record(record)


REFUSED: dict[str, tuple[Wanted, Source | None, str, str]] = {
    "not there": (WANTED, None, "AdoptNotFound", "no kept share old on server moorage-nfs-0: StorageBackend shared"),
    "of another namespace": (
        replace(WANTED, namespace="others"),
        SOURCE,
        "AdoptForbidden",
        "only a volume in its own namespace may adopt it",
    ),
    "of another namespace, and in use: no word about the user": (
        replace(WANTED, namespace="others"),
        replace(SOURCE, owner="StorageVolume team/data"),
        "AdoptForbidden",
        "kept share old is of another namespace",
    ),
    "in use": (WANTED, replace(SOURCE, owner="StorageVolume team/data"), "AdoptInUse", "belongs to StorageVolume team"),
    "its image is lost": (WANTED, replace(SOURCE, image_bytes=0), "ImageMissing", "restore volumes/old/image"),
    "too small": (replace(WANTED, size=GIB - 4096), SOURCE, "AdoptTooSmall", "write at least 1Gi"),
}


@pytest.mark.parametrize(("wanted", "source", "reason", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_adoption_makes_nothing_and_says_why(
    wanted: Wanted, source: Source | None, reason: str, words: str
) -> None:
    plan = share.plan(wanted, Seen(), PLACE, source)

    assert (plan.actions, plan.reason) == ((), reason)
    assert words in plan.message


def test_a_kept_share_is_adopted() -> None:
    assert share.plan(WANTED, Seen(), PLACE, SOURCE) == Plan((EnsureAdopted(WANTED, RECORD),))


def test_a_share_of_odd_size_is_adopted_by_a_volume_of_the_same_size() -> None:
    odd = replace(SOURCE, record=RECORD.model_copy(update={"size": 10**9}))

    assert share.plan(replace(WANTED, size=10**9), Seen(), PLACE, odd).reason == ""


def test_a_volume_that_is_deleted_before_it_adopted_anything_adopts_nothing() -> None:
    assert share.plan(replace(WANTED, deleting=True), Seen(), PLACE, SOURCE) == Plan()
    assert share.plan(replace(WANTED, deleting=True, release=VolumeOnDelete.Delete), Seen(), PLACE, SOURCE) == Plan()


def test_a_volume_that_was_served_adopts_no_second_time() -> None:
    plan = share.plan(replace(WANTED, export_id=9), Seen(), PLACE, SOURCE)

    assert (plan.actions, plan.reason) == ((), "ShareMissing")


def test_an_adoption_that_a_crash_cut_in_two_is_finished_before_anything_is_served() -> None:
    moved = RECORD.model_copy(update={"id": "new"})

    assert share.plan(WANTED, Seen(moved, GIB + 64 * MIB), PLACE) == Plan((EnsureAdopted(WANTED, moved),))


def test_a_share_that_was_not_wholly_adopted_is_not_destroyed_with_the_volume() -> None:
    moved = RECORD.model_copy(update={"id": "new"})
    released = replace(WANTED, deleting=True, release=VolumeOnDelete.Delete)

    assert share.plan(released, Seen(moved, GIB + 64 * MIB), PLACE) == Plan()


def test_a_share_that_was_adopted_but_never_said_to_be_served_is_not_destroyed() -> None:
    adopted = RECORD.model_copy(update={"id": "new", "uid": "uid-new", "retained": False})
    released = replace(WANTED, deleting=True, release=VolumeOnDelete.Delete)
    seen = Seen(adopted, GIB + 64 * MIB)

    assert share.plan(released, seen, PLACE) == Plan()
    assert share.plan(replace(released, export_id=9), seen, PLACE) == Plan((EnsureAbsent("new"),))


def test_a_share_that_has_the_same_id_by_chance_is_not_given_to_another_namespace() -> None:
    mine = RECORD.model_copy(update={"id": "new"})
    stranger = Wanted("new", "others", "data", "uid-others", GIB)

    found = share.plan(stranger, Seen(mine, GIB + 64 * MIB), PLACE)

    assert (found.actions, found.reason) == ((), "AdoptForbidden")
    assert share.plan(replace(stranger, namespace="team"), Seen(mine, GIB + 64 * MIB), PLACE).actions != ()


def test_the_pool_moves_image_and_record_together(pool: Pool) -> None:
    keep(pool)

    pool.adopt(WANTED, "old")

    found = pool.record("new")
    assert pool.ids() == {"new"}
    assert pool.image("new").read_text() == "precious"
    assert found
    assert (found.id, found.namespace, found.name, found.uid) == ("new", "team", "again", "uid-new")
    assert (found.retained, found.size, found.former) == (False, GIB, ("old",))


def test_who_holds_handles_of_the_old_export_meets_no_export_of_its_number(pool: Pool) -> None:
    keep(pool)

    pool.adopt(WANTED, "old")

    found = pool.record("new")
    assert found
    assert found.export_id != RECORD.export_id


@pytest.mark.parametrize("where", ["_move", "_next_export_id", "save_record"])
def test_a_crash_at_any_step_of_an_adoption_loses_nothing_and_it_can_be_finished(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    keep(pool)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pool, where, die)
        with pytest.raises(KeyboardInterrupt):
            pool.adopt(WANTED, "old")
    pool.close()
    again = Pool(pool.root)
    again.open()
    (record,) = again.records()
    assert again.image(record.id).read_text() == "precious"
    assert record.namespace == "team"

    again.adopt(WANTED, record.id)

    found = again.record("new")
    assert again.image("new").read_text() == "precious"
    assert found
    assert (found.uid, found.former, found.retained) == ("uid-new", ("old",), False)


def test_saying_it_again_changes_nothing(pool: Pool) -> None:
    keep(pool)
    pool.adopt(WANTED, "old")
    first = pool.record("new")

    pool.adopt(WANTED, "new")

    assert pool.record("new") == first


def test_of_two_that_adopt_one_share_the_second_is_told_to_look_again(pool: Pool) -> None:
    keep(pool)
    pool.adopt(WANTED, "old")

    with pytest.raises(Retry, match="taken over by another volume"):
        pool.adopt(replace(WANTED, id="late", uid="uid-late"), "old")

    assert pool.ids() == {"new"}


def test_a_share_answers_to_the_ids_that_it_had_before() -> None:
    adopted = RECORD.model_copy(update={"id": "new", "former": ("older", "old")})
    other = RECORD.model_copy(update={"id": "other"})

    assert adoption.find([other, adopted], "old") == adopted
    assert adoption.find([other, adopted], "new") == adopted
    assert adoption.find([other, adopted], "never") is None


def test_kept_is_what_nobody_has_and_can_be_read_sorted_and_bounded() -> None:
    records = [RECORD.model_copy(update={"id": f"s{number:03}"}) for number in reversed(range(300))]
    in_use = Source(RECORD.model_copy(update={"id": "a-used"}), GIB, "StorageVolume team/data")
    lost = Source(RECORD.model_copy(update={"id": "a-lost"}), 0)

    found = adoption.kept([in_use, lost, *(Source(each, GIB) for each in records)])

    assert len(found) == 256
    assert found[0] == Kept(id="s000", namespace="team", name="data", size_bytes=GIB)
    assert found[-1].id == "s255"


# The whole way, on a real folder; mounts and Ganesha are stand-ins that keep their rules.


class Mounts:
    """Mounted or not; refuses to mount nothing."""

    def __init__(self, pool: Pool) -> None:
        self.there: set[str] = set()
        self._pool = pool

    def mounted(self, volume_id: str) -> bool:
        return volume_id in self.there

    def size(self, volume_id: str) -> int:
        return GIB

    def down(self, volume_id: str) -> bool:
        return False

    def ensure_mounted(self, volume_id: str) -> None:
        assert self._pool.image_bytes(volume_id), "mounted nothing"
        self.there.add(volume_id)

    def ensure_unmounted(self, volume_id: str) -> None:
        self.there.discard(volume_id)

    def ensure_grown(self, volume_id: str, size: int) -> None:
        raise AssertionError("nothing was to grow")


class Ganesha:
    def __init__(self) -> None:
        self.exports: dict[int, Export] = {}

    def exported(self, export_id: int) -> Export | None:
        return self.exports.get(export_id)

    async def ensure_exported(self, export: Export) -> None:
        self.exports[export.export_id] = export

    async def ensure_unexported(self, export_id: int) -> None:
        self.exports.pop(export_id, None)


class Trimmer:
    """Nothing is under way."""

    async def let_go(self, volume_id: str) -> None:
        pass


class Rig:
    def __init__(self, pool: Pool) -> None:
        self.pool, self.mounts, self.server = pool, Mounts(pool), Ganesha()
        self.living: dict[str, str] = {}
        owner: Callable[[Record], str] = lambda record: self.living.get(record.id, "")  # noqa: E731
        self.shares = Shares(pool, self.mounts, self.server, Trimmer(), owner)  # type: ignore[arg-type]

    async def converge(self, wanted: Wanted) -> Plan:
        return (await self.shares.converge(wanted.id, wanted, PLACE))[1]


async def test_a_volume_serves_what_it_adopted_under_its_own_id(pool: Pool) -> None:
    rig = Rig(pool)
    keep(pool)

    assert await rig.converge(WANTED) == Plan()

    record = pool.record("new")
    assert record
    assert rig.mounts.there == {"new"}
    assert rig.server.exports == {record.export_id: Export(record.export_id, "/export/new", "/vol/new", PLACE.clients)}


async def test_an_orphan_that_is_still_mounted_is_waited_for(pool: Pool) -> None:
    rig = Rig(pool)
    keep(pool, RECORD.model_copy(update={"retained": False}))
    rig.mounts.there.add("old")

    with pytest.raises(Retry, match="being taken out of service"):
        await rig.converge(WANTED)
    await rig.shares.converge("old", None, PLACE)

    assert await rig.converge(WANTED) == Plan()
    assert pool.image("new").read_text() == "precious"


async def test_two_volumes_adopt_one_share_and_one_wins(pool: Pool) -> None:
    rig = Rig(pool)
    keep(pool)
    late = replace(WANTED, id="late", uid="uid-late", name="late")
    rig.living = {"new": "StorageVolume team/again", "late": "StorageVolume team/late"}

    first, second = await rig.converge(WANTED), await rig.converge(late)

    assert (first.reason, second.reason) == ("", "AdoptInUse")
    assert second.message.startswith("share old belongs to StorageVolume team/again")
    assert pool.ids() == {"new"}


async def test_a_failed_adoption_heals_when_its_cause_goes(pool: Pool) -> None:
    rig = Rig(pool)
    failed = await rig.converge(WANTED)
    keep(pool)

    healed = await rig.converge(WANTED)

    assert (failed.reason, healed) == ("AdoptNotFound", Plan())


async def test_a_half_adopted_share_that_a_restart_had_exported_is_exported_anew(pool: Pool) -> None:
    rig = Rig(pool)
    keep(pool)
    (pool.volumes / "old").rename(pool.volumes / "new")
    rig.mounts.there.add("new")
    rig.server.exports[7] = Export(7, "/export/new", "/vol/new", PLACE.clients)

    assert await rig.converge(WANTED) == Plan()

    assert list(rig.server.exports) == [1]


def test_mounting_follows_adoption() -> None:
    adopted = RECORD.model_copy(update={"id": "new", "uid": "uid-new", "retained": False})

    assert share.plan(WANTED, Seen(adopted, GIB), PLACE).actions == (EnsureMounted("new"),)
