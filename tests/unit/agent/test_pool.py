"""The pool's files, on a real folder (without formatting: that is proved with the real server)."""

import tempfile
from pathlib import Path

import pytest

from moorage.errors import InUse, NoCapacity, NotOffered
from moorage.record import PoolState, Record
from moorage.share import Wanted
from moorage_operator.agent.pool import Pool

WANTED = Wanted("abc", "default", "data", "uid-1", 2**30)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    pool = Pool(tmp_path)
    pool.open()
    return pool


def record(volume_id: str, export_id: int) -> Record:
    return Record(id=volume_id, namespace="ns", name="n", uid="u", export_id=export_id, size=1)


def unmounted_image(pool: Pool, volume_id: str) -> Path:
    image = pool.image(volume_id)
    image.parent.mkdir()
    image.write_text("formatted")
    return image


def test_a_second_server_is_refused(pool: Pool) -> None:
    with pytest.raises(InUse, match="another server holds the pool"):
        Pool(pool.root).open()


def test_the_pool_is_free_again_after_close(pool: Pool) -> None:
    pool.close()

    Pool(pool.root).open()


def test_a_newer_pool_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = PoolState(version=99).model_dump_json(by_alias=True)
    (tmp_path / "pool.json").write_text(text)

    with pytest.raises(NotOffered, match="version 99"):
        Pool(tmp_path).open()
    assert (tmp_path / "pool.json").read_text() == text


def test_state_outlives_the_agent(pool: Pool) -> None:
    pool.keep_clients(("10.0.0.1",))
    pool.close()

    again = Pool(pool.root)
    again.open()

    assert again.state.clients == ("10.0.0.1",)


def test_an_image_without_record_is_adopted_as_it_is(pool: Pool) -> None:
    image = unmounted_image(pool, "abc")

    pool.ensure_image(WANTED)

    assert image.read_text() == "formatted"
    assert pool.record("abc") == Record(
        id="abc", namespace="default", name="data", uid="uid-1", export_id=1, size=2**30
    )


def test_export_ids_are_not_used_again_soon(pool: Pool) -> None:
    unmounted_image(pool, "abc")
    pool.ensure_image(WANTED)
    pool.ensure_absent("abc")
    unmounted_image(pool, "abc")

    pool.ensure_image(WANTED)

    found = pool.record("abc")
    assert found
    assert found.export_id == 2


def test_an_image_and_its_record_are_kept(pool: Pool) -> None:
    unmounted_image(pool, "abc")
    pool.save_record(record("abc", 9))

    pool.ensure_image(WANTED)

    assert pool.record("abc") == record("abc", 9)


def test_no_room_is_said_before_anything_is_touched(pool: Pool) -> None:
    with pytest.raises(NoCapacity, match="enlarge the pool, or delete volumes"):
        pool.ensure_image(Wanted("abc", "default", "data", "uid-1", 2**60))

    assert list(pool.volumes.iterdir()) == []


def test_growth_without_room_leaves_the_image(pool: Pool) -> None:
    image = unmounted_image(pool, "abc")

    with pytest.raises(NoCapacity):
        pool.reserve("abc", 2**60)

    assert image.read_text() == "formatted"


def test_absent_is_absent_and_may_be_said_again(pool: Pool) -> None:
    unmounted_image(pool, "abc")
    pool.save_record(record("abc", 9))

    pool.ensure_absent("abc")
    pool.ensure_absent("abc")

    assert pool.ids() == set()


def test_growth_is_written_down(pool: Pool) -> None:
    unmounted_image(pool, "abc")
    pool.save_record(record("abc", 9))

    pool.note_size("abc", 2**31)

    assert [found.size for found in pool.records()] == [2**31]


def test_retained_is_written_down(pool: Pool) -> None:
    unmounted_image(pool, "abc")
    pool.save_record(record("abc", 9))

    pool.ensure_retained("abc", True)

    assert [found.retained for found in pool.records()] == [True]


def test_where_shared_blocks_cannot_be_told_all_are_promised(caplog: pytest.LogCaptureFixture) -> None:
    """tmpfs knows no FIEMAP."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        pool = Pool(Path(folder))
        pool.open()
        (pool.snapshots / "s").mkdir()
        image = unmounted_image(pool, "abc")
        image.write_bytes(bytes(8 * 2**20))

        assert pool.room.promised() == 8 * 2**20 + 2**16
        assert "all of it is counted" in caplog.text
        pool.close()
