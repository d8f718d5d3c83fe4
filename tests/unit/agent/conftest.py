"""Fixtures of the tests that need a real XFS."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import xfspool

from moorage_operator.agent import format as formatting


@pytest.fixture
def plain_mkfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every host's mkfs.xfs can read the options that it brings for older kernels."""
    monkeypatch.setattr(formatting, "_OPTIONS", Path("/nonexistent"))


@pytest.fixture
def xfs(tmp_path: Path, plain_mkfs: None) -> Iterator[xfspool.Xfs]:
    with xfspool.pool_on_xfs(tmp_path, 3 * 2**30) as found:
        yield found
