"""Keys of images: they follow contents, and nothing else."""

import os
import shutil
from pathlib import Path

import pytest

from cluster.imagekey import image_key

REF = "docker.io/moorage/moorage:0.1.0"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    (root / "core" / "deep").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM scratch\n")
    (root / "core" / "model.py").write_text("x = 1\n")
    (root / "core" / "deep" / "plan.py").write_text("y = 2\n")
    return root


def key(root: Path) -> str:
    return image_key(REF, root, [root / "core", root / "Dockerfile"])


def test_times_bytecode_and_the_place_of_the_clone_do_not_count(clone: Path, tmp_path: Path):
    before = key(clone)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(clone, elsewhere)
    (elsewhere / "core" / "__pycache__").mkdir()
    (elsewhere / "core" / "__pycache__" / "model.pyc").write_bytes(b"compiled")
    os.utime(elsewhere / "core" / "model.py", (1, 1))

    assert key(elsewhere) == before


def edit(root: Path) -> None:
    (root / "core" / "deep" / "plan.py").write_text("y = 3\n")


def rename(root: Path) -> None:
    (root / "core" / "model.py").rename(root / "core" / "models.py")


def add(root: Path) -> None:
    (root / "core" / "empty.py").touch()


def make_executable(root: Path) -> None:
    (root / "Dockerfile").chmod(0o755)


def swap(root: Path) -> None:
    (root / "core" / "model.py").write_text("y = 2\n")
    (root / "core" / "deep" / "plan.py").write_text("x = 1\n")


@pytest.mark.parametrize("change", [edit, rename, add, make_executable, swap])
def test_every_change_of_content_name_or_mode_changes_the_key(clone: Path, change):
    before = key(clone)

    change(clone)

    assert key(clone) != before


def test_the_same_content_under_another_reference_or_setting_is_another_image(clone: Path):
    inputs = [clone / "core"]
    keys = {
        image_key(REF, clone, inputs),
        image_key("docker.io/moorage/nfs-ganesha:0.1.0", clone, inputs),
        image_key(REF, clone, inputs, ["user=0"]),
    }

    assert len(keys) == 3


def test_a_tool_outside_the_clone_counts_by_its_name_and_content(clone: Path, tmp_path: Path):
    here, there = tmp_path / "tools-a" / "coredns", tmp_path / "tools-b" / "coredns"
    for tool in (here, there):
        tool.parent.mkdir()
        tool.write_bytes(b"program")

    assert image_key(REF, clone, [here]) == image_key(REF, clone, [there])

    there.write_bytes(b"program 2")
    assert image_key(REF, clone, [here]) != image_key(REF, clone, [there])
