"""Which images, and which layers, the nodes of a running cluster hold; and bringing them what changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .golden import Archived, Record
from .layers import contents, write_missing
from .layout import NODES, Node
from .progress import say
from .state import State


class Stock:
    """The images of a cluster's nodes, which are the same on all of them. `pour` brings an archive into one node."""

    def __init__(self, state: State, pour: Callable[[Node, Path], None]) -> None:
        self.state, self.pour = state, pour

    def begin(self, golden: Path) -> None:
        """The nodes start with what is in the golden directory."""
        record = Record.read(golden)
        if record is not None:
            self.state.note("images", json.dumps(record.images))
            self.state.note("layers", json.dumps(record.layers))

    def renew(self, images: Sequence[Archived]) -> None:
        """Load the images that the nodes lack, or that changed since they were loaded."""
        known: dict[str, str] = json.loads(self.state.facts().get("images", "{}"))
        for image in images:
            if known.get(image.ref) != image.key:
                say(f"loading {image.ref}{' anew: it changed' if image.ref in known else ''}")
                self.load(image.archive)
                known[image.ref] = image.key
                self.state.note("images", json.dumps(known))

    def load(self, archive: Path) -> None:
        """Into all nodes at once, only the layers that they lack."""
        known: dict[str, list[str]] = json.loads(self.state.facts().get("layers", "{}"))
        self.state.load.mkdir(exist_ok=True)
        file = self.state.load / f"{archive.stem}-{os.getpid()}.tar"
        write_missing(archive, {digest for layers in known.values() for digest in layers}, file)
        try:
            at_once(lambda node: self.pour(node, file))
        finally:
            file.unlink()
        # layers of an image's last version are thrown away in the nodes, unless this one has them too
        known |= {image.ref: [digest for digest, _ in image.layers] for image in contents(archive)}
        self.state.note("layers", json.dumps(known))


def at_once(act: Callable[[Node], None]) -> None:
    """Do it for all nodes side by side; the first failure is raised."""
    with ThreadPoolExecutor(len(NODES)) as pool:
        for job in [pool.submit(act, node) for node in NODES]:
            job.result()
