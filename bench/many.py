"""Many volumes on one server: how fast they come and go, and what they cost its memory."""

import time

from bench.memory import SCRIPT
from bench.ready import remove, until_ready
from bench.record import Figures
from harness.install import NAMESPACE
from harness.kube import Kube
from harness.manifests import shared

COUNT = 200
SERVER = "moorage-nfs-0"
WATCHED = {"ganesha.nfsd": "ganesha_MiB", "moorage-agent": "agent_MiB", "python3": "agent_MiB", "python": "agent_MiB"}


def many(kube: Kube, namespace: str) -> Figures:
    before = resident(kube)
    volumes = [shared(f"v{number:03}", "256Mi", namespace) for number in range(COUNT)]
    try:
        took = until_ready(kube, namespace, volumes, 300)
        full = resident(kube)
    finally:
        start = time.monotonic()
        remove(kube, namespace, volumes)
        gone = time.monotonic() - start
    return {
        f"{COUNT} shared volumes on one server, all READY": {
            "all_s": round(took, 1),
            "per_s": round(COUNT / took, 1),
            "deleted_s": round(gone, 1),
        },
        "resident memory of the server before": before,
        f"resident memory of the server with {COUNT} volumes": full,
    }


def resident(kube: Kube) -> dict[str, float | str]:
    """MiB of Ganesha and of the share agent."""
    found: dict[str, float | str] = {}
    for line in kube.exec(SERVER, "sh", "-c", SCRIPT, namespace=NAMESPACE).splitlines():
        name, _, kib = line.strip().partition(" ")
        if name in WATCHED and kib.strip().isdigit():
            found[WATCHED[name]] = round(int(kib) / 1024, 1)
    return found


ROWS = (many,)
