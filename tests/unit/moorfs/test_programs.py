"""Programs that rely on more than single calls: a database with a journal, archives, trees copied and removed."""

import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

Mounting = Callable[..., Any]
both = pytest.mark.parametrize("passthrough", [True, False], ids=["passthrough", "server"])


def _rows(path: str) -> int:
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("pragma integrity_check").fetchone() == ("ok",)
        return int(base.execute("select count(*) from t").fetchone()[0])


@both
def test_a_database_whose_server_dies_under_it(mount: Mounting, passthrough: bool) -> None:
    made = mount(passthrough=passthrough)

    def work() -> int:
        with closing(sqlite3.connect("base", timeout=30)) as base:
            base.execute("create table t (number integer primary key, text text)")
            for number in range(40):
                with base:
                    base.executemany("insert into t (text) values (?)", [(f"{number} {each}",) for each in range(20)])
                time.sleep(0.02)
        return _rows("base")

    job = made.begin(work)
    deaths = 0
    while job.running and deaths < 20:
        time.sleep(0.7)
        made.replace()
        deaths += 1

    assert job.result() == 800
    assert made.do(lambda: _rows("base")) == 800


def test_a_tree_is_packed_unpacked_copied_moved_and_removed(mount: Mounting, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(30):
        folder = source / f"d{number % 5}" / f"e{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_bytes(os.urandom(1000 * number))
    (source / "link").symlink_to("d1/e1")
    with tarfile.open(tmp_path / "tree.tar", "w") as archive:
        archive.add(source, "tree")

    def told(root: str | Path) -> list[tuple[str, int, bytes]]:
        files = sorted(each for each in Path(root).rglob("*") if each.is_file() and not each.is_symlink())
        return [(str(each.relative_to(root)), int(each.stat().st_mtime), each.read_bytes()) for each in files]

    def work() -> tuple[bool, bool, str, list[str]]:
        with tarfile.open(tmp_path / "tree.tar") as archive:
            archive.extractall(".", filter="data")
        shutil.copytree("tree", "copy", symlinks=True)
        shutil.move("copy", "moved")
        shutil.rmtree("tree/d1")
        same, link = told("moved") == told(source), os.readlink("moved/link")
        shutil.rmtree("tree")
        return same, os.path.exists("tree"), link, os.listdir(".")

    assert mount().do(work, 120) == (True, False, "d1/e1", ["moved"])
