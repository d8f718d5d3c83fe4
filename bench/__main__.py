"""Run every row and write build/bench.json; print a table."""

import json
import platform
import sys
import time
from pathlib import Path

from bench import memory, publish, ready
from cluster.provider import choose
from harness.kube import Kube

OUT = Path(__file__).resolve().parents[1] / "build" / "bench.json"
NAMESPACE = "bench"


def main() -> int:
    bed = choose()
    kube = Kube(bed)
    kube.attempt("create", "namespace", NAMESPACE)
    rows: dict[str, dict[str, float | str]] = {}
    for row in (*ready.ROWS, *publish.ROWS, *memory.ROWS):
        print(f"· {row.__name__.replace('_', ' ')}", file=sys.stderr, flush=True)
        rows |= row(kube, NAMESPACE)
    kube.attempt("delete", "namespace", NAMESPACE, "--wait=false")
    OUT.parent.mkdir(exist_ok=True)
    machine = {"kernel": platform.release(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    OUT.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    for name, figures in rows.items():
        print(f"{name:48} " + "  ".join(f"{key} {value}" for key, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
