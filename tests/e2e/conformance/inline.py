"""Volumes for the suite's cases of inline volumes.

Our inline volumes name a StorageVolume of the pod's own namespace. The suite makes a namespace for each case and knows
only the attributes of the driver file, so this puts the two StorageVolumes that the files name into each of those.
"""

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager

from cluster.command import CommandFailed
from harness.kube import Kube
from harness.manifests import Object, volume

VOLUMES = ("first", "second")  # after the type and a dash, as in external-storage/*.yaml
PAUSE = 0.5  # seconds between two looks
_SELECTOR = "e2e-framework=ephemeral"  # the label that the suite's framework gives its namespaces

log = logging.getLogger(__name__)


@contextmanager
def volumes(kube: Kube, kind: str) -> Generator[None]:
    """While the context lasts, each namespace of an inline case gets its volumes."""
    done, ended = set[str](), threading.Event()

    def work() -> None:
        while not ended.wait(PAUSE):
            try:
                _provide(kube, kind, done)
            except CommandFailed as error:  # a namespace that is gone already, or an API server that is busy
                log.warning("%s", error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)


def _provide(kube: Kube, kind: str, done: set[str]) -> None:
    for found in kube.items("namespaces", selector=_SELECTOR):
        name = found["metadata"]["name"]
        if name not in done and found["status"]["phase"] == "Active":
            kube.apply(*(_volume(f"{kind}-{each}", name, kind) for each in VOLUMES))
            done.add(name)


def _volume(name: str, namespace: str, kind: str) -> Object:
    size = {"size": "256Mi"} if kind == "shared" else {}
    return volume(name, namespace, type=kind, claim="None", **size)
