"""Rounds: every mount once, turn about, each time mounted anew; and what they add up to.

What disturbs one mount disturbs its neighbours of the same round too, so shares are taken by round, then their median.
"""

import statistics
from collections.abc import Mapping, Sequence

Row = Mapping[str, float]
Rounds = Mapping[str, Sequence[Row]]  # of each mount


def medians(rounds: Sequence[Row]) -> dict[str, float | str]:
    """Of each figure."""
    return {name: round(statistics.median(row[name] for row in rounds), 1) for name in rounds[0]}


def shares(ours: Sequence[Row], theirs: Sequence[Row]) -> dict[str, float | str]:
    """How many times better ours are, by figure, as the median of the rounds; 0 where one of the two has none."""
    return {
        name: round(
            statistics.median(_share(name, mine[name], other[name]) for mine, other in zip(ours, theirs, strict=True)),
            2,
        )
        for name in ours[0]
        if name in theirs[0]
    }


def _share(name: str, mine: float, other: float) -> float:
    """Rates as they are; times, memory and calls the other way round."""
    less = name.endswith((" ms", "MiB", " s")) or name.startswith("S3 calls")
    return (other / mine if less else mine / other) if mine and other else 0.0
