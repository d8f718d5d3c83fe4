"""From a change of spec.size to df in a pod, and what a writer notices of it."""

import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

from bench.loadpod import first_node, loading
from bench.ready import remove, until_ready
from bench.record import Figures
from harness.kube import Kube
from harness.manifests import by_claim, shared

MIB = 2**20
SIZES = (320, 384, 448, 512, 576)  # MiB, one after the other, from 256


def growth(kube: Kube, namespace: str) -> Figures:
    volume = shared("grow", "256Mi", namespace)
    until_ready(kube, namespace, [volume])
    pod = loading("grow", namespace, first_node(kube), {"/data": by_claim("grow")}, "grow", "/data")
    kube.apply(pod)
    took: list[float] = []
    stalls: list[float] = []
    try:
        kube.wait_pod("grow", namespace)
        with following(kube, namespace, "grow") as log:
            word(log, "stall")  # of the first size
            for size in SIZES:
                start = time.monotonic()
                patch(kube, namespace, "grow", size)
                while int(word(log, "size")) < size * MIB:
                    word(log, "stall")
                took.append(time.monotonic() - start)
                stalls.append(float(word(log, "stall")))
    finally:
        kube.delete("pod", "grow", namespace)
        remove(kube, namespace, [volume])
    figures: dict[str, float | str] = {"worst_s": round(max(took), 2), "best_s": round(min(took), 2), "n": len(took)}
    return {"spec.size raised until df in a pod shows it": {**figures, "longest_write_meanwhile_s": max(stalls)}}


def patch(kube: Kube, namespace: str, name: str, size: int) -> None:
    change = f'{{"spec":{{"size":"{size}Mi"}}}}'
    kube("patch", "storagevolumes.moorage.dev", name, "-n", namespace, "--type=merge", "-p", change)


def word(log: IO[str], kind: str) -> str:
    """The value in the next line of this kind."""
    while line := log.readline():
        if line.startswith(kind):
            return line.split()[1]
    raise EOFError(f"the log ended before the next {kind}")


@contextmanager
def following(kube: Kube, namespace: str, pod: str) -> Generator[IO[str]]:
    """The pod's log, as it comes; for at most two minutes."""
    argv = ["timeout", "120", *kube.argv, "logs", "-f", pod, "-n", namespace]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.terminate()


ROWS = (growth,)
