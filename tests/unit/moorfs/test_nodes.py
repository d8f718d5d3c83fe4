"""Two mounts of one bucket at random; `nodes` tells how, and runs it for longer."""

from pathlib import Path

import nodes
import s3engine


def test_what_one_node_has_closed_the_other_sees_and_goes_on_with(tmp_path: Path, engine: s3engine.Engine) -> None:
    counts = nodes.compared(tmp_path, engine, 5, 15)
    assert counts["objects"] > 3
