"""`python -m harness.prepare [--keep]`: a cluster with the chart installed, for tests (fresh) or benchmarks (kept)."""

import sys

from cluster.provider import choose
from harness.install import install


def main() -> int:
    provider = choose()
    if "--keep" not in sys.argv[1:]:
        provider.delete()
    provider.create()
    print("· helm install", file=sys.stderr, flush=True)
    install(provider)
    return 0


if __name__ == "__main__":
    sys.exit(main())
