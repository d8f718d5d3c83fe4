"""The root folder of a new volume, as mkfs.xfs is told to make it."""

import pytest

from moorage.model import RootFolder
from moorage.rootfolder import protofile, sticky_mode


@pytest.mark.parametrize(
    ("root", "line"),
    [
        (None, "d--777 0 0"),
        (RootFolder(), "d--777 0 0"),
        (RootFolder(mode="750", uid=1000, gid=2000), "d--750 1000 2000"),
        (RootFolder(mode="0700"), "d--700 0 0"),
        (RootFolder(mode="2775", gid=2000), "d-g775 0 2000"),
        (RootFolder(mode="1777"), "d--777 0 0"),
        (RootFolder(mode="0000", uid=2**31 - 1), "d--000 2147483647 0"),
    ],
)
def test_the_root_is_made_with_its_mode_and_owner(root: RootFolder | None, line: str) -> None:
    assert protofile(root) == f"/\n0 0\n{line}\n$\n"


@pytest.mark.parametrize(
    ("root", "mode"), [(None, ""), (RootFolder(mode="2777"), ""), (RootFolder(mode="1777"), "041777")]
)
def test_only_the_sticky_bit_is_written_afterwards(root: RootFolder | None, mode: str) -> None:
    assert sticky_mode(root) == mode
