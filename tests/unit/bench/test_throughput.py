"""The bench's load: what it prints becomes medians and shares."""

from __future__ import annotations

import json
import random
from pathlib import Path

from bench import load
from bench.throughput import NOTE, TITLES, interval, rows


def line(folder: str, speed: float) -> str:
    return json.dumps({"folder": folder, "write_MBps": speed, "stat_per_s": 10 * speed})


def test_shares_are_the_medians_of_the_rounds_own_shares() -> None:
    # the machine was slow in the second round, mad in the third
    rounds = [(100, 100, 50, 100), (50, 50, 30, 40), (90, 400, 60, 100)]
    lines = [line(folder, speed) for speeds in rounds for folder, speed in zip(TITLES, speeds, strict=True)]

    figures = rows(["pulling the image", *lines])

    assert figures[TITLES["/moorage"]] == {"write_MBps": 90, "stat_per_s": 900}
    shares = {name: figures[f"Moorage : {name} {NOTE}"] for name in ("bare", "peer", "twin")}
    assert shares["bare"] == dict.fromkeys(("write", "stat"), "1.00 (0.23-1.00)")
    assert shares["peer"] == dict.fromkeys(("write", "stat"), "1.67 (1.50-2.00)")
    assert shares["twin"] == dict.fromkeys(("write", "stat"), "1.00 (0.90-1.25)")


def test_the_interval_holds_the_true_median_nineteen_times_of_twenty() -> None:
    chance = random.Random(7)  # noqa: S311
    found = [interval([chance.lognormvariate(0, 0.4) for _ in range(80)]) for _ in range(2000)]

    held = sum(low <= 1 <= high for low, high in found)

    assert 0.94 <= held / len(found) <= 0.98


def test_the_load_reads_back_what_it_wrote_and_leaves_nothing(tmp_path: Path) -> None:
    paths = [str(tmp_path / str(number)) for number in range(5)]

    load.stream_out(str(tmp_path / "file"), 3)
    load.stream_in(str(tmp_path / "file"))
    load.create(paths)
    load.each(load.ask, paths)()

    assert (tmp_path / "file").stat().st_size == 3 * load.STREAM
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0", "1", "2", "3", "4", "file"]
