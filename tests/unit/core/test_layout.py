"""operator/ and csi/ are plain folders: an __init__.py there would hide the standard library's `operator`."""

from __future__ import annotations

import operator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("folder", ["operator", "csi"])
def test_the_folder_is_no_package(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder / "__init__.py").exists()


def test_operator_is_the_standard_librarys() -> None:
    assert operator.add(2, 3) == 5
