"""Mounts of a FUSE connection of our own."""

import os
from pathlib import Path

from moorage_csi import mounts
from moorage_csi.mounter import connection


def test_the_kernel_is_let_read_a_mib_ahead(tmp_path: Path, private_mounts: None) -> None:
    device = connection.open_mounted(str(tmp_path), "fuse.moorfs", "models")

    found = mounts.at(str(tmp_path))

    assert found is not None
    assert Path(f"/sys/class/bdi/{found.device}/read_ahead_kb").read_text().strip() == "1024"
    os.close(device)
