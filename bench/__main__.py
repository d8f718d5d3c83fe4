"""Run every row and write build/bench.json; print a table. What `bench.scale` wrote there before stays."""

import sys

from bench import memory, publish, ready, record
from bench.record import Figures
from cluster.provider import choose
from harness.kube import Kube

NAMESPACE = "bench"


def main() -> int:
    bed = choose()
    kube = Kube(bed)
    kube.attempt("create", "namespace", NAMESPACE)
    rows: Figures = {}
    for row in (*ready.ROWS, *publish.ROWS, *memory.ROWS):
        print(f"· {row.__name__.replace('_', ' ')}", file=sys.stderr, flush=True)
        rows |= row(kube, NAMESPACE)
    kube.attempt("delete", "namespace", NAMESPACE, "--wait=false")
    record.write(machine=record.machine(), rows=rows)
    record.table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
