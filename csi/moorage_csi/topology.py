"""Where volumes can be reached (CSI spec, Topology): each node is a place of its own, named by a label."""

from moorage import names
from moorage.errors import InvalidInput
from moorage_csi.proto import csi_pb2 as csi

KEY = names.TOPOLOGY_NODE


def of(node: str) -> csi.Topology:
    """The place of a node. The kubelet makes a label of it, whose value is shorter than a node's name may be."""
    return csi.Topology(segments={KEY: names.topology_value(node)})


def values(wanted: csi.TopologyRequirement | None) -> tuple[str, ...]:
    """The places where a volume shall be usable, the best first; none when it does not matter.

    Raises InvalidInput for a place that this driver does not know.
    """
    if wanted is None:
        return ()
    places = (*wanted.preferred, *wanted.requisite)
    unknown = sorted({key for place in places for key in place.segments if key != KEY})
    if unknown:
        raise InvalidInput(f"topology key {', '.join(unknown)} is not known in allowedTopologies; allowed: {KEY}")
    return tuple(dict.fromkeys(place.segments[KEY] for place in places if KEY in place.segments))


def value(place: csi.Topology | None) -> str:
    """The one place that is meant; empty for all."""
    found = values(csi.TopologyRequirement(requisite=[place])) if place is not None else ()
    return found[0] if found else ""
