"""Random operations compared with a local disk, for a short time; `python -m compare` does it for long."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from compare import compared
from s3engine import Engine

Mounting = Callable[..., Any]
SECONDS = 8.0


@pytest.mark.parametrize("passthrough", [True, False], ids=["passthrough", "server"])
def test_random_operations_do_what_they_do_on_a_local_disk(
    mount: Mounting, engine: Engine, tmp_path: Path, passthrough: bool
) -> None:
    made = mount(passthrough=passthrough)

    counts = compared(made, engine, tmp_path / "local", seed=1, seconds=SECONDS)

    assert counts["objects"] > 0
    assert "Traceback" not in made.log


@pytest.mark.parametrize("passthrough", [True, False], ids=["passthrough", "server"])
def test_they_do_so_while_the_server_dies_every_second(
    mount: Mounting, engine: Engine, tmp_path: Path, passthrough: bool
) -> None:
    made = mount(passthrough=passthrough)

    counts = compared(made, engine, tmp_path / "local", seed=2, seconds=SECONDS, kills=1.0)

    assert counts["objects"] > 0
    assert counts["deaths"] > 0
    assert "Traceback" not in made.log


def test_they_do_so_on_an_old_kernel_while_servers_hand_over(mount: Mounting, engine: Engine, tmp_path: Path) -> None:
    made = mount(passthrough=False, resend=False)

    counts = compared(made, engine, tmp_path / "local", seed=4, seconds=SECONDS, kills=1.0)

    assert counts["objects"] > 0
    assert counts["deaths"] > 0
    assert "Traceback" not in made.log


def test_random_operations_on_files_of_several_parts(mount: Mounting, engine: Engine, tmp_path: Path) -> None:
    made = mount(passthrough=False, multipart_from=5 << 20, part_size=5 << 20)

    counts = compared(made, engine, tmp_path / "local", seed=3, seconds=SECONDS, most=12 << 20)

    assert counts["objects"] > 0
