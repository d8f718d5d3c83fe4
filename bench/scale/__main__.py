"""`python -m bench.scale`: 5,000 volumes, 1,000 simulated nodes, one operator; the key `scale` of build/bench.json."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable

from bench import record
from bench.record import Figures
from bench.scale import rows
from bench.scale.bed import Bed, Size
from bench.scale.plane import Plane


def say(words: str) -> None:
    print(f"· scale: {words}", file=sys.stderr, flush=True)


async def measure(plane: Plane, size: Size, found: Callable[[Figures], None]) -> None:
    async with Bed(plane, size) as bed:
        for row in rows.ROWS:
            say(row.__name__.replace("_", " "))
            figures = await row(bed)
            found(figures)
            record.table(figures)


def leave(number: int, _: object) -> None:
    sys.exit(128 + number)


def main() -> int:
    signal.signal(signal.SIGTERM, leave)  # so that what was started is ended
    arguments = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    arguments.add_argument("--volumes", type=int, default=Size.volumes)
    arguments.add_argument("--nodes", type=int, default=Size.nodes)
    size = Size(**vars(arguments.parse_args()))
    figures: Figures = {}
    say("control plane and kwok")
    with Plane() as plane:
        asyncio.run(measure(plane, size, figures.update))
    record.write(scale={"machine": record.machine(), "rows": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
