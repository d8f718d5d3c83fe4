"""Whom a restarted Ganesha waits for, on a real folder; and whom its exports admit from then on."""

from pathlib import Path

import pytest

from moorage.ganesha import Export
from moorage_operator.agent.recovery import forget_strangers
from moorage_operator.agent.server import Server

NODE, GONE = "::ffff:10.0.0.1-(15:Linux NFSv4.1 a)", "::ffff:10.0.0.2-(15:Linux NFSv4.1 b)"


@pytest.fixture
def recovery(tmp_path: Path) -> Path:
    for folder in ("v4recov", "v4old"):
        for client in (NODE, GONE, "unreadable"):
            (tmp_path / "recovery" / folder / client / "reclaim_complete").mkdir(parents=True)
    return tmp_path / "recovery"


def records(recovery: Path) -> dict[str, set[str]]:
    return {folder: {each.name for each in (recovery / folder).iterdir()} for folder in ("v4recov", "v4old")}


def test_nobody_waits_for_the_client_of_a_node_that_is_gone(recovery: Path) -> None:
    forget_strangers(recovery, ("10.0.0.1",))

    assert records(recovery) == {"v4recov": {NODE, "unreadable"}, "v4old": {NODE, "unreadable"}}


def test_a_pool_that_never_served_has_no_records(tmp_path: Path) -> None:
    forget_strangers(tmp_path, ("10.0.0.1",))

    assert list(tmp_path.iterdir()) == []


def server(recovery: Path) -> Server:
    return Server(recovery.parent / "run", recovery, 2049, lambda: None)


def test_at_a_start_strangers_are_those_that_no_export_admits(recovery: Path) -> None:
    starting = server(recovery)
    starting.exports[7] = Export(7, "/export/a", "/vol/a", ("10.0.0.1", "10.0.0.2"))
    starting._write_files(starting.exports)
    before = records(recovery)

    starting.admit(("10.0.0.1",))
    starting._write_files(starting.exports)

    assert before["v4recov"] == {NODE, GONE, "unreadable"}
    assert records(recovery)["v4recov"] == {NODE, "unreadable"}
    assert "Clients = 10.0.0.1;" in (recovery.parent / "run/exports.conf").read_text()


def test_without_exports_nobody_is_a_stranger(recovery: Path) -> None:
    server(recovery)._write_files({})

    assert GONE in records(recovery)["v4recov"]
