"""Where volumes can be reached (CSI spec, Topology): each node is a place of its own, named by a label."""

import hashlib
import re

from moorage import names
from moorage.errors import InvalidInput
from moorage_csi.proto import csi_pb2 as csi

KEY = f"topology.{names.GROUP}/node"
_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def of(node: str) -> csi.Topology:
    """The place of a node. The kubelet makes a label of it, whose value is shorter than a node's name may be."""
    value = node if _VALUE.fullmatch(node) else hashlib.sha256(node.encode()).hexdigest()[:32]
    return csi.Topology(segments={KEY: value})


def check(wanted: csi.TopologyRequirement | None) -> None:
    """Raises InvalidInput for a place that this driver does not know."""
    if wanted is None:
        return
    places = (*wanted.requisite, *wanted.preferred)
    unknown = sorted({key for place in places for key in place.segments if key != KEY})
    if unknown:
        raise InvalidInput(f"topology key {', '.join(unknown)} is not known in allowedTopologies; allowed: {KEY}")
