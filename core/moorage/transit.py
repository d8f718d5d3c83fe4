"""What is on its way to a node, or off it: ATTACHING and DETACHING, the same for volumes of all types and for buckets.

Derived from the pods of each node and from the phases of the attachments. ATTACHING wins; both leave it usable.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moorage import conditions
from moorage.conditions import Verdict, lifecycle, no, yes
from moorage.holders import PodState, Uses
from moorage.model import Phase

Users = Mapping[tuple[str, str], Uses]  # by the pods' namespaces and names
_WORDS = {Phase.ATTACHING: ("attaching on", "waits for it"), Phase.DETACHING: ("detaching from", "is leaving")}


@dataclass(frozen=True, slots=True)
class SeenAttachment:
    """A StorageAttachment of a volume: `name` is "namespace/name"."""

    name: str
    phase: Phase | None = None


def ready(users: Users, attachments: Iterable[SeenAttachment], otherwise: str) -> Verdict:
    """The Ready condition of something usable: READY with `otherwise` as message, or on its way, saying where."""
    moving = tuple(attachments)
    for phase, state in ((Phase.ATTACHING, PodState.waiting), (Phase.DETACHING, PodState.leaving)):
        message = _story(phase, _pods(users, state), sorted(each.name for each in moving if each.phase == phase))
        if message:
            return lifecycle(phase, message, usable=True)
    return lifecycle(Phase.READY, otherwise)


def attached(users: Users) -> Verdict:
    """The Attached condition."""
    if not users:
        return no(conditions.ATTACHED, "NotAttached", "no pod uses it")
    return yes(conditions.ATTACHED, "InUse", "1 pod uses it" if len(users) == 1 else f"{len(users)} pods use it")


def _pods(users: Users, state: PodState) -> list[tuple[str, str]]:
    """(node, pod) of the pods in that state, on nodes that stand so: somebody waits and nobody has it; all leave."""
    stands: dict[str, set[PodState]] = {}
    for each in users.values():
        stands.setdefault(each.node, set()).add(each.state)
    better = {PodState.waiting: {PodState.running}, PodState.leaving: {PodState.running, PodState.waiting}}[state]
    nodes = {node for node, states in stands.items() if state in states and not states & better}
    return sorted(
        (each.node, f"{namespace}/{name}")
        for (namespace, name), each in users.items()
        if each.node in nodes and each.state == state
    )


def _story(phase: Phase, pods: list[tuple[str, str]], attachments: list[str]) -> str:
    """One example and how many more, or nothing."""
    more = len(pods) + len(attachments) - 1
    rest = f" (and {more} more)" if more > 0 else ""
    if pods:
        (node, pod), (moves, does) = pods[0], _WORDS[phase]
        return f"{moves} {node}: pod {pod} {does}{rest}"
    return f"StorageAttachment {attachments[0]} is {phase.value.lower()}{rest}" if attachments else ""
