"""The pods that use volumes: who, on which node, how far; kept small, for there are many."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from moorage.holders import PodState, Use, Uses

Name = tuple[str, str]  # namespace, name
NOBODY = Uses()


@dataclass(frozen=True, slots=True)
class Stir:
    """Whom the change of a pod concerns.

    `moved`: ways of use for which a node now stands otherwise (somebody waits for the mount there, has it, leaves).
    `counted`: ways of which only the number of pods has changed. `attachments`: uids of those whose holder pod it is.
    """

    moved: frozenset[Use] = frozenset()
    counted: frozenset[Use] = frozenset()
    attachments: frozenset[str] = frozenset()


NO_STIR = Stir()


class Pods:
    """Pods count as users from when they have a node until they have finished."""

    def __init__(self) -> None:
        self._pods: dict[Name, Uses] = {}
        self._users: dict[Use, dict[str, set[Name]]] = {}  # by node
        self._holders: defaultdict[str, set[Name]] = defaultdict(set)  # by the attachment's uid

    def __len__(self) -> int:
        return len(self._pods)

    def __iter__(self) -> Iterator[Name]:
        return iter(self._pods)

    def items(self) -> Iterable[tuple[Name, Uses]]:
        return self._pods.items()

    def put(self, pod: Name, after: Uses) -> Stir:
        """What is known of a pod now; `NOBODY` when it is gone or uses nothing."""
        before = self._pods.get(pod, NOBODY)
        if before == after:
            if after != NOBODY:
                self._pods[pod] = after  # a newer look, perhaps at another pod of this name
            return NO_STIR
        spots = [(way, node) for way in _ways(before) | _ways(after) for node in {before.node, after.node} - {""}]
        stood = [self.standing(*each) for each in spots]
        self._take_out(pod, before)
        self._put_in(pod, after)
        moved = {way for (way, node), was in zip(spots, stood, strict=True) if self.standing(way, node) != was}
        counted = (_ways(before) ^ _ways(after)) - moved
        attachments = frozenset({before.attachment, after.attachment} - {""})
        return Stir(frozenset(moved), frozenset(counted), attachments)

    def users(self, ways: Iterable[Use]) -> dict[Name, Uses]:
        """The pods that use any of these ways; holder pods are none."""
        return {pod: self._pods[pod] for way in ways for pods in self._users.get(way, {}).values() for pod in pods}

    def holders(self, attachment_uid: str) -> Mapping[Name, Uses]:
        """The pods that hold an attachment's mount on nodes."""
        return {pod: self._pods[pod] for pod in self._holders.get(attachment_uid, ())}

    def standing(self, way: Use, node: str) -> PodState | None:
        """How far the furthest pod on the node is; None when nobody there uses it."""
        pods = self._users.get(way, {}).get(node, ())
        states = {self._pods[pod].state for pod in pods}
        return next((each for each in (PodState.running, PodState.waiting, PodState.leaving) if each in states), None)

    def _take_out(self, pod: Name, uses: Uses) -> None:
        self._pods.pop(pod, None)
        if uses.attachment:
            _discard(self._holders, uses.attachment, pod)
        for way in _ways(uses):
            _discard(self._users[way], uses.node, pod)
            if not self._users[way]:
                del self._users[way]

    def _put_in(self, pod: Name, uses: Uses) -> None:
        if uses == NOBODY:
            return
        self._pods[pod] = uses
        if uses.attachment:
            self._holders[uses.attachment].add(pod)
        for way in _ways(uses):
            self._users.setdefault(way, {}).setdefault(uses.node, set()).add(pod)


def _ways(uses: Uses) -> frozenset[Use]:
    """Ways of use that count: a pod that holds an attachment's mount is no user of the volume."""
    return frozenset() if uses.attachment else uses.uses


def _discard(groups: dict[str, set[Name]], key: str, pod: Name) -> None:
    groups[key].discard(pod)
    if not groups[key]:
        del groups[key]
