"""From `kubectl apply` to READY, taken from the API server's own times and watch."""

import json
import subprocess
import time

from harness.kube import Kube
from harness.manifests import Object, shared, volume

Figures = dict[str, dict[str, float | str]]


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)


def spread(values: list[float]) -> dict[str, float | str]:
    return {"p50_s": percentile(values, 0.5), "p99_s": percentile(values, 0.99), "n": len(values)}


def until_ready(kube: Kube, namespace: str, objects: list[Object], timeout: float = 120) -> dict[str, float]:
    """Seconds from just before the apply until a watch shows each object READY."""
    argv = [
        *kube.argv,
        "get",
        "storagevolumes.moorage.dev",
        "-n",
        namespace,
        "--watch-only",
        "-o",
        "json",
    ]
    watch = subprocess.Popen([*argv, "--output-watch-events"], stdout=subprocess.PIPE, text=True)
    time.sleep(1.0)  # the watch is on; there is no event that says so
    waiting = {each["metadata"]["name"] for each in objects}
    took: dict[str, float] = {}
    start = time.monotonic()
    kube.apply(*objects)
    try:
        assert watch.stdout is not None
        decoder, text = json.JSONDecoder(), ""
        for line in watch.stdout:
            text += line
            if line.rstrip() != "}":
                continue
            event, end = decoder.raw_decode(text)
            text = text[end:].lstrip()
            name = event["object"]["metadata"]["name"]
            if event["object"].get("status", {}).get("phase") == "READY" and name in waiting and name not in took:
                took[name] = time.monotonic() - start
            if len(took) == len(waiting) or time.monotonic() - start > timeout:
                break
    finally:
        watch.kill()
        watch.wait(10)
    return took


def remove(kube: Kube, namespace: str, objects: list[Object]) -> None:
    names = [each["metadata"]["name"] for each in objects]
    kube("delete", "storagevolumes.moorage.dev", *names, "-n", namespace, "--timeout=120s", timeout=130)


def apply_to_ready(kube: Kube, namespace: str) -> Figures:
    """One shared volume at a time, then one object volume at a time."""
    rows: Figures = {}
    for kind, size in (("shared", {"size": "256Mi"}), ("object", {})):
        took: list[float] = []
        for i in range(10):
            thing = volume(f"one-{kind}-{i}", namespace, type=kind, **size)
            took += until_ready(kube, namespace, [thing]).values()
            remove(kube, namespace, [thing])
        rows[f"apply to READY, {kind}, one at a time"] = spread(took)
    return rows


def apply_many_to_ready(kube: Kube, namespace: str) -> Figures:
    """Forty shared volumes in one apply."""
    many = [shared(f"many-{i}", "256Mi", namespace) for i in range(40)]
    took = until_ready(kube, namespace, many, 300)
    remove(kube, namespace, many)
    return {"apply to READY, shared, 40 at once": spread(list(took.values())) | {"all_s": round(max(took.values()), 3)}}


ROWS = (apply_to_ready, apply_many_to_ready)
