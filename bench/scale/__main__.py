"""`python -m bench.scale`: 5,000 volumes, 1,000 simulated nodes, one operator; the key `scale` of build/bench.json."""

import asyncio
import signal
import sys
from collections.abc import Callable

from bench import record
from bench.record import Figures
from bench.scale import rows
from bench.scale.bed import Bed
from bench.scale.plane import Plane


def say(words: str) -> None:
    print(f"· scale: {words}", file=sys.stderr, flush=True)


async def measure(plane: Plane, found: Callable[[Figures], None]) -> None:
    async with Bed(plane) as bed:
        for row in rows.ROWS:
            say(row.__name__.replace("_", " "))
            figures = await row(bed)
            found(figures)
            record.table(figures)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    figures: Figures = {}
    say("control plane and kwok")
    with Plane() as plane:
        asyncio.run(measure(plane, figures.update))
    record.write(scale={"machine": record.machine(), "rows": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
