"""Run every row and write build/bench.json; print a table. What was measured before and is not now stays.

`python -m bench [--part PART ...]`: all parts by default. A row that cannot be had is told at the end; the exit code
is 1 then.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from bench import clones, growth, many, memory, publish, ready, record, recovery, throughput
from bench.record import Figures
from cluster.command import CommandFailed
from cluster.provider import choose
from harness.kube import Kube, TimedOut, wait_for

NAMESPACE = "bench"
Row = Callable[[Kube, str], Figures]
PARTS: Mapping[str, Sequence[Row]] = {
    "ready": ready.ROWS,
    "publish": publish.ROWS,
    "shared": (*throughput.ROWS, *growth.ROWS, *clones.ROWS, *recovery.ROWS, *many.ROWS),
    "memory": memory.ROWS,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, dest="parts")
    parts: list[str] = parser.parse_args().parts or list(PARTS)
    kube = Kube(choose())
    kube.attempt("create", "namespace", NAMESPACE)
    wait_for("service account", lambda: kube.get("serviceaccount", "default", NAMESPACE), 30)
    failed: list[str] = []
    for row in (row for part in parts for row in PARTS[part]):
        print(f"· {row.__name__.replace('_', ' ')}", file=sys.stderr, flush=True)
        try:
            figures = row(kube, NAMESPACE)
        except (AssertionError, CommandFailed, TimedOut, EOFError) as error:
            failed.append(f"{row.__name__}: {error}")
            continue
        record.add(figures)
        record.table(figures)
    kube.attempt("delete", "namespace", NAMESPACE, "--wait=false")
    print("\n".join(f"not measured: {each}" for each in failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
