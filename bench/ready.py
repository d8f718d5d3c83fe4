"""From `kubectl apply` to READY."""

import time

from bench.record import Figures
from harness.kube import Kube
from harness.manifests import Object, shared, volume


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)


def spread(values: list[float]) -> dict[str, float | str]:
    return {"p50_s": percentile(values, 0.5), "p99_s": percentile(values, 0.99), "n": len(values)}


def until_ready(kube: Kube, namespace: str, objects: list[Object], timeout: float = 120) -> float:
    """Seconds from just before `kubectl apply` until `kubectl wait` saw each READY; both calls are in it."""
    named = [f"storagevolumes.moorage.dev/{each['metadata']['name']}" for each in objects]
    start = time.monotonic()
    kube.apply(*objects)
    limit = f"--timeout={timeout:.0f}s"
    kube("wait", "--for=jsonpath={.status.phase}=READY", *named, "-n", namespace, limit, timeout=timeout + 10)
    return time.monotonic() - start


def remove(kube: Kube, namespace: str, objects: list[Object]) -> None:
    names = [each["metadata"]["name"] for each in objects]
    kube("delete", "storagevolumes.moorage.dev", *names, "-n", namespace, "--timeout=120s", timeout=130)


def apply_to_ready(kube: Kube, namespace: str) -> Figures:
    """One shared volume at a time, then one object volume at a time."""
    rows: Figures = {}
    for kind, size in (("shared", {"size": "256Mi"}), ("object", {})):
        took: list[float] = []
        for i in range(8):
            thing = volume(f"one-{kind}-{i}", namespace, type=kind, **size)
            took.append(until_ready(kube, namespace, [thing]))
            remove(kube, namespace, [thing])
        rows[f"apply to READY, {kind}, one at a time"] = spread(took)
    return rows


def apply_many_to_ready(kube: Kube, namespace: str) -> Figures:
    """Forty shared volumes in one apply."""
    many = [shared(f"many-{i}", "256Mi", namespace) for i in range(40)]
    took = until_ready(kube, namespace, many, 300)
    remove(kube, namespace, many)
    return {"apply to READY, shared, 40 at once": {"all_s": round(took, 3)}}


ROWS = (apply_to_ready, apply_many_to_ready)
