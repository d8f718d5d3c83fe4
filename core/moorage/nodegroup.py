"""The nodes of an attachment: which belong to the group, which hold the mount, and why one lags."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from moorage.actions import Manifest, part
from moorage.consent import matches
from moorage.model import LabelSelector

TROUBLE_MAX = 200  # characters of one node's reason


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """What is kept of a node. One that is being deleted is in no group."""

    name: str
    labels: dict[str, str] = field(default_factory=dict[str, str])
    ready: bool = True
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class HolderPod:
    """The pod that holds the mount on a node. `trouble`: why it is not ready, in words; empty when it is."""

    name: str
    node: str
    ready: bool = False
    leaving: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Rival:
    """Another attachment that wants the same path on nodes. `mounted`: its DaemonSet exists already."""

    name: str
    created: str
    mounted: bool
    nodes: frozenset[str]


def node_seen(node: Manifest) -> NodeSeen:
    metadata = node["metadata"]
    found: list[Manifest] = part(node, "status").get("conditions") or []
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in found)
    return NodeSeen(metadata["name"], dict(metadata.get("labels") or {}), ready, "deletionTimestamp" in metadata)


def members(selector: LabelSelector, nodes: Iterable[NodeSeen]) -> tuple[NodeSeen, ...]:
    """The nodes of the group, by name."""
    found = (each for each in nodes if not each.leaving and matches(selector, each.labels))
    return tuple(sorted(found, key=lambda node: node.name))


def is_within(topology: Mapping[str, str] | None, node: NodeSeen) -> bool:
    """Whether the node can use a volume of this `status.topology`."""
    return not topology or topology.items() <= node.labels.items()


def labels_text(topology: Mapping[str, str]) -> str:
    """Labels as people write them: pool=gpu,zone=a."""
    return ",".join(f"{key}={value}" for key, value in sorted(topology.items()))


def trouble(status: Manifest) -> str:
    """Why a holder pod with this status is not ready, in words."""
    containers: list[Manifest] = status.get("containerStatuses") or []
    state = part(containers[0], "state") if containers else {}
    if "running" in state:
        return "the mount does not answer"
    said = part(state, "waiting") or part(state, "terminated")
    if said.get("reason") == "ContainerCreating" or not said:
        return f"its pod is {status.get('phase') or 'Pending'}: the volume is being mounted, or the image pulled"
    text = ": ".join(part_ for part_ in (said.get("reason"), said.get("message")) if part_)
    return text if len(text) <= TROUBLE_MAX else text[: TROUBLE_MAX - 1] + "…"


def holding(nodes: Iterable[NodeSeen], pods: Iterable[HolderPod]) -> frozenset[str]:
    """The nodes on which the mount is there and answers."""
    ready = {each.node for each in pods if each.ready and not each.leaving}
    return frozenset(each.name for each in nodes if each.name in ready)


def why_lagging(node: NodeSeen, pods: Iterable[HolderPod], rivals: Iterable[Rival]) -> str:
    """Why the mount is not on the node, in words."""
    if not node.ready:
        return "the node is not Ready"
    there = [each for each in pods if each.node == node.name]
    rival = next((each for each in rivals if node.name in each.nodes and each.mounted), None)
    if rival and not any(each.ready for each in there):
        return f"StorageAttachment {rival.name} has the same path there"
    if not there:
        return "there is no holder pod yet"
    staying = next((each for each in there if not each.leaving), None)
    if staying is None:
        return f"its earlier holder pod {there[0].name} is still leaving"
    return f"{staying.trouble or 'its pod is starting'} (pod {staying.name})"


def taken_by(
    mine: tuple[str, str], nodes: Iterable[NodeSeen], rivals: Iterable[Rival]
) -> tuple[Rival, frozenset[str]] | None:
    """The rival that keeps an attachment (`mine`: created, name) without mounts from getting any, and on which nodes.

    Who has mounts keeps them, so that no label on a node tears a mount away; of two without, the older wins.
    """
    own = {each.name for each in nodes}
    for each in sorted(rivals, key=lambda rival: (rival.created, rival.name)):
        both = own & each.nodes
        if both and (each.mounted or (each.created, each.name) < mine):
            return each, frozenset(both)
    return None
