"""The bench's load: what it prints becomes medians and shares."""

from __future__ import annotations

import json
from pathlib import Path

from bench import load
from bench.throughput import TITLES, rows


def line(folder: str, speed: float) -> str:
    return json.dumps({"folder": folder, "write_MBps": speed, "stat_per_s": 10 * speed})


def test_shares_are_the_medians_of_the_rounds_own_shares() -> None:
    rounds = [(100, 100, 50), (50, 50, 30), (90, 400, 60)]  # the machine was slow in the second, mad in the third
    lines = [line(folder, speed) for speeds in rounds for folder, speed in zip(TITLES, speeds, strict=True)]

    figures = rows(["pulling the image", *lines])

    assert figures[TITLES["/moorage"]] == {"write_MBps": 90, "stat_per_s": 900}
    assert figures["Moorage : bare (1 is equal, more is faster)"] == {"write": 1.0, "stat": 1.0}
    assert figures["Moorage : peer (1 is equal, more is faster)"] == {"write": 1.67, "stat": 1.67}


def test_the_load_reads_back_what_it_wrote_and_leaves_nothing(tmp_path: Path) -> None:
    paths = [str(tmp_path / str(number)) for number in range(5)]

    load.stream_out(str(tmp_path / "file"), 3)
    load.stream_in(str(tmp_path / "file"))
    load.create(paths)
    load.each(load.ask, paths)()

    assert (tmp_path / "file").stat().st_size == 3 * load.STREAM
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0", "1", "2", "3", "4", "file"]
