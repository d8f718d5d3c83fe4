"""How long a writer waits when Ganesha is killed, as the crash checker sees it."""

from bench.ready import remove, until_ready
from bench.record import Figures
from harness import checker
from harness.install import NAMESPACE
from harness.kube import Kube
from harness.manifests import shared
from harness.processes import kill

KILLS = 2


def recovery(kube: Kube, namespace: str) -> Figures:
    """Writer and rival on two nodes; the server's process is killed while they run."""
    volume = shared("killed", "512Mi", namespace)
    until_ready(kube, namespace, [volume])
    server = (kube.get("StorageVolume", "killed", namespace) or {})["status"]["share"]["server"]
    nodes = sorted(n["metadata"]["name"] for n in kube.items("nodes") if not n["spec"].get("taints"))
    try:
        run = checker.start(kube, "killed", nodes[0], rival=nodes[1], namespace=namespace)
        for _ in range(KILLS):
            kill(kube, server, "ganesha.nfsd", NAMESPACE)
            run.wait_progress(100)
        seen = run.stop()
    finally:
        remove(kube, namespace, [volume])
    damage = seen.lost + seen.torn + seen.misplaced
    return {
        f"Ganesha killed {KILLS} times under a writer": {
            "longest_stall_s": round(seen.longest_stall, 2),
            "acknowledged": seen.acknowledged,
            "lost": damage,
            "errors": len(seen.errors),
            "lock_kept": str(seen.lock_kept),
        }
    }


ROWS = (recovery,)
