"""Logical volumes in place of images. LVM is played by a program that keeps them as files; it and the real one were
given the same calls (in a user-mode-linux kernel, which has a device mapper)."""

import sys
from pathlib import Path

import pytest

from moorage.errors import MoorageError, NoCapacity
from moorage.model import RootFolder
from moorage.share import Wanted
from moorage_operator.agent import format
from moorage_operator.local.volumegroup import VolumeGroup

MIB = 2**20
EXTENT = 4 * MIB
WANTED = Wanted("abcd2345", "ns", "data", "uid", 300 * MIB, root=RootFolder(mode="0750"))
# Sizes are rounded up to whole extents, as LVM does it; free room is what the files leave of 1 GiB.
LVM = f"""#!{sys.executable}
import os, sys
from pathlib import Path
home, (command, flag, config, *rest) = Path(__file__).parent, sys.argv[1:]
assert flag == "--config" and "udev_sync=0" in config and "archive=0" in config, sys.argv
devices = home / "dev" / "vg0"
free = 2**30 - sum(each.stat().st_size for each in devices.iterdir()) if devices.exists() else 0
def sized(text): return -(-int(text.removesuffix("b")) // {EXTENT}) * {EXTENT}
def taking(need):
    if need > free:
        sys.exit("  Volume group \\"vg0\\" has insufficient free space (1 extents): 2 required.")
option = dict(zip(rest, rest[1:]))
if rest[-1].partition("/")[0] != "vg0" and command != "lvrename":
    sys.exit(f"  Volume group \\"{{rest[-1]}}\\" not found")
match command:
    case "lvcreate":
        taking(sized(option["--size"]))
        path = devices / option["--name"]
        assert not path.exists()
        path.touch()
        os.truncate(path, sized(option["--size"]))
    case "lvextend":
        path = devices / rest[-1].partition("/")[2]
        taking(sized(option["--size"]) - path.stat().st_size)
        os.truncate(path, sized(option["--size"]))
    case "lvrename":
        (devices / rest[1]).rename(devices / rest[2])
    case "lvremove":
        (devices / rest[-1].partition("/")[2]).unlink()
    case "vgs":
        print(f"  {{2**30}} {{free}}")
    case "lvs":
        print("  open" if (home / "held").exists() else "")
    case "vgchange" | "vgmknodes":
        pass
    case _:
        sys.exit(f"unknown: {{command}}")
"""


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VolumeGroup:
    monkeypatch.setattr(format, "_OPTIONS", Path("/nonexistent"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin")
    (tmp_path / "lvm").write_text(LVM)
    (tmp_path / "lvm").chmod(0o755)
    (tmp_path / "dev" / "vg0").mkdir(parents=True)
    found = VolumeGroup(tmp_path / "pool", "vg0", tmp_path / "dev")
    found.open()
    return found


def test_a_volume_is_a_formatted_logical_volume_with_its_record(group: VolumeGroup, tmp_path: Path) -> None:
    group.ensure_image(WANTED)
    group.ensure_image(WANTED)

    assert [each.name for each in (tmp_path / "dev" / "vg0").iterdir()] == ["moorage-abcd2345"]
    assert group.image("abcd2345").read_bytes()[:4] == b"XFSB"
    assert group.image_bytes("abcd2345") == 364 * MIB
    record = group.record("abcd2345")
    assert record and (record.size, record.sparse) == (300 * MIB, False)
    assert group.space() == (2**30, 2**30 - 364 * MIB)


def test_what_a_crash_left_unnamed_is_made_anew(group: VolumeGroup, tmp_path: Path) -> None:
    left = tmp_path / "dev" / "vg0" / "moorage.new-abcd2345"
    left.write_text("not formatted")

    assert group.unfinished("abcd2345") and group.image_bytes("abcd2345") == 0
    group.ensure_image(WANTED)

    assert not group.unfinished("abcd2345")
    assert group.image("abcd2345").read_bytes()[:4] == b"XFSB"


def test_it_grows_to_the_size_asked_and_not_to_the_end_of_its_extents(group: VolumeGroup) -> None:
    group.ensure_image(WANTED)

    group.enlarge("abcd2345", 401 * MIB)
    group.enlarge("abcd2345", 401 * MIB)

    assert group.image_bytes("abcd2345") == 404 * MIB
    assert group.growth(401 * MIB) == ("-D", str(401 * 256))


def test_a_full_group_is_no_capacity_and_changes_nothing(group: VolumeGroup, tmp_path: Path) -> None:
    group.ensure_image(WANTED)

    with pytest.raises(NoCapacity, match="volume group vg0 has not enough room"):
        group.enlarge("abcd2345", 2**31)
    with pytest.raises(NoCapacity):
        group.ensure_image(Wanted("zzzz2345", "ns", "z", "z", 2**31))

    assert [each.name for each in (tmp_path / "dev" / "vg0").iterdir()] == ["moorage-abcd2345"]
    assert group.image_bytes("abcd2345") == 364 * MIB


def test_whoever_has_it_open_is_seen(group: VolumeGroup, tmp_path: Path) -> None:
    group.ensure_image(WANTED)
    assert not group.in_use("abcd2345")
    (tmp_path / "held").touch()
    assert group.in_use("abcd2345")


def test_nothing_is_left_of_a_removed_one(group: VolumeGroup, tmp_path: Path) -> None:
    group.ensure_image(WANTED)
    group.ensure_absent("abcd2345")
    group.ensure_absent("abcd2345")

    assert list((tmp_path / "dev" / "vg0").iterdir()) == []
    assert group.ids() == set()


def test_a_node_without_the_group_is_told_what_to_do(group: VolumeGroup, tmp_path: Path) -> None:
    with pytest.raises(MoorageError, match=r"LVM volume group other cannot be used on this node .*vgcreate"):
        VolumeGroup(tmp_path / "pool2", "other", tmp_path / "dev").open()
