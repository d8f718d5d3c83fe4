"""The nodes whose disks local volumes are on: gone from the cluster, or only not there at the moment.

A node that is not Ready comes back with its disk. One whose Node object was removed is taken for gone, until a node of
that name joins again: with the same disk, its volumes are served again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from moorage.actions import Problem
from moorage.model import Placement, StorageBackend
from moorage.nodegroup import NodeSeen


def problem(placed: Placement) -> Problem:
    """Of a volume on the disk of a node that was removed."""
    text = f"node {placed.server}, whose disk the volume is on, was removed from the cluster"
    cure = "let the node join again under this name with its disk, or delete the volume and make it anew elsewhere"
    return Problem("NodeGone", f"{text}: {cure}")


@dataclass(frozen=True, slots=True)
class Silent(Mapping[str, str]):
    """The servers of a local backend where nothing can be placed now, and why. A view: of a thousand nodes few are
    asked for."""

    backend: StorageBackend
    nodes: Mapping[str, NodeSeen]

    def __getitem__(self, server: str) -> str:
        if why := _why(self.backend, self.nodes.get(server)):
            return why
        raise KeyError(server)

    def __iter__(self) -> Iterator[str]:
        return (each.name for each in self.backend.status.servers if each.name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def vanished(backend: StorageBackend, nodes: Mapping[str, NodeSeen]) -> tuple[str, ...]:
    """The entries in status.servers of a local backend that no node stands behind any more."""
    if not backend.spec.engine.local:
        return ()
    return tuple(each.name for each in backend.status.servers if each.name not in nodes)


def _why(backend: StorageBackend, node: NodeSeen | None) -> str:
    if node is None:
        return "the node was removed from the cluster"
    if node.leaving:
        return "the node is being removed from the cluster"
    if not node.ready:
        return "the node is not Ready"
    wanted = backend.spec.node_selector or {}
    return "" if wanted.items() <= node.labels.items() else "the node is not of the backend's nodeSelector"
