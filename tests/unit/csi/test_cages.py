"""Programs of the mounter in control groups, on a folder that looks like each version's."""

from pathlib import Path

from moorage_csi.mounter.cages import Cages

MIB = 2**20


def test_version_2_moves_the_mounter_aside_first(tmp_path: Path) -> None:
    for name, text in (
        ("cgroup.controllers", "memory pids"),
        ("cgroup.subtree_control", ""),
        ("cgroup.procs", "1\n7\n"),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "mounter").mkdir()

    Cages(64 * MIB, tmp_path).hold("abc", 42)

    assert (tmp_path / "mounter/cgroup.procs").read_text() == "7"  # the last of them
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"
    assert (tmp_path / "abc/memory.max").read_text() == str(64 * MIB)
    assert (tmp_path / "abc/cgroup.procs").read_text() == "42"


def test_version_1_has_a_hierarchy_for_memory(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()

    Cages(64 * MIB, tmp_path).hold("abc", 42)

    assert (tmp_path / "memory/abc/memory.limit_in_bytes").read_text() == str(64 * MIB)
    assert (tmp_path / "memory/abc/cgroup.procs").read_text() == "42"


def test_without_a_limit_nothing_is_made(tmp_path: Path) -> None:
    Cages(0, tmp_path).hold("abc", 42)

    assert list(tmp_path.iterdir()) == []


def test_where_it_cannot_be_the_program_runs_all_the_same(tmp_path: Path) -> None:
    Cages(MIB, tmp_path / "none").hold("abc", 42)
