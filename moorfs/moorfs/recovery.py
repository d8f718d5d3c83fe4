"""What the state log of an earlier process tells: for a takeover all of it, for a new mount the renames under way."""

import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from moorfs.node import Folder, Leaf, Node
from moorfs.ports import ROOT, Handle, Mark, Stamp
from moorfs.records import (
    Answered,
    Changed,
    Clean,
    Forgotten,
    Intent,
    Made,
    Moved,
    Opened,
    Record,
    Released,
    Settled,
    Unlinked,
)
from moorfs.tree import Tree


@dataclass(slots=True)
class State:
    """The log, folded. `answered`: the number of the request by handle. `intents`: whether the node moved since."""

    nodes: dict[int, Made] = field(default_factory=lambda: {})
    gone: set[int] = field(default_factory=lambda: set())
    handles: dict[int, Opened] = field(default_factory=lambda: {})
    answered: dict[int, int] = field(default_factory=lambda: {})
    marks: dict[int, Clean] = field(default_factory=lambda: {})
    intents: dict[int, Intent] = field(default_factory=lambda: {})
    moved: set[int] = field(default_factory=lambda: set())
    last_node: int = ROOT
    last_handle: int = 0

    def add(self, record: Record) -> None:
        _folds[type(record)](self, record)

    def records(self) -> Iterator[Record]:
        """The shortest log that tells the same."""
        yield from self.nodes.values()
        for number in self.gone:
            yield Unlinked(number)
        for number, handle in self.handles.items():
            yield handle
            if number in self.answered:
                yield Answered(self.answered[number], number)
        yield from self.marks.values()
        for serial, intent in self.intents.items():
            yield intent
            if serial in self.moved:
                yield Moved(intent.node, intent.parent, intent.name)


def folded(records: Iterable[Record]) -> State:
    state = State()
    for record in records:
        state.add(record)
    return state


def live(records: Iterable[Record]) -> Iterable[Record]:
    """For `Journal.compact`."""
    return folded(records).records()


def intents_only(records: Iterable[Record]) -> Iterable[Record]:
    """What is left of a log when its mount is gone: nobody knows its nodes and handles any more."""
    state = folded(records)
    return State(intents=state.intents, moved=state.moved).records()


def _made(state: State, record: Made) -> None:
    state.nodes[record.node] = record
    state.last_node = max(state.last_node, record.node)


def _moved(state: State, record: Moved) -> None:
    before = state.nodes.get(record.node)
    if before:
        state.nodes[record.node] = before._replace(parent=record.parent, name=record.name)
    mine = [each for each in state.intents.values() if each.node == record.node]
    state.moved.update(i.serial for i in mine if (i.parent, i.name) == (record.parent, record.name))


def _changed(state: State, record: Changed) -> None:
    before = state.nodes.get(record.node)
    if before:
        kept = {"mode": record.mode, "uid": record.uid, "gid": record.gid, "mtime": record.mtime}
        state.nodes[record.node] = before._replace(**kept)


def _forgotten(state: State, record: Forgotten) -> None:
    for known in (state.nodes, state.marks):
        known.pop(record.node, None)
    state.gone.discard(record.node)


def _opened(state: State, record: Opened) -> None:
    state.handles[record.handle] = record
    state.last_handle = max(state.last_handle, record.handle)


def _answered(state: State, record: Answered) -> None:
    if record.handle in state.handles:
        state.answered[record.handle] = record.unique


def _released(state: State, record: Released) -> None:
    state.handles.pop(record.handle, None)
    state.answered.pop(record.handle, None)


def _unlinked(state: State, record: Unlinked) -> None:
    if record.node in state.nodes:
        state.gone.add(record.node)


def _clean(state: State, record: Clean) -> None:
    state.marks[record.node] = record


def _intent(state: State, record: Intent) -> None:
    state.intents[record.serial] = record


def _settled(state: State, record: Settled) -> None:
    state.intents.pop(record.serial, None)
    state.moved.discard(record.serial)


_folds: dict[type[Record], Callable[[State, Record], None]] = {  # pyright: ignore[reportAssignmentType]
    Made: _made,
    Moved: _moved,
    Unlinked: _unlinked,
    Forgotten: _forgotten,
    Changed: _changed,
    Opened: _opened,
    Answered: _answered,
    Released: _released,
    Clean: _clean,
    Intent: _intent,
    Settled: _settled,
}


def rebuild(state: State, tree: Tree, wait: Callable[[], None]) -> None:
    """The nodes that the kernel knows, under the same numbers. Their metadata is read again when it is asked for."""
    made: dict[int, Node] = {ROOT: tree.root}
    for line in state.nodes.values():
        if line.node != ROOT:
            made[line.node] = _node(line, wait)
    for line in state.nodes.values():
        parent = made.get(line.parent)
        if line.node != ROOT and isinstance(parent, Folder):
            made[line.node].parent = parent
    for number in state.gone:
        made[number].gone = True
    for mark in state.marks.values():
        node = made.get(mark.node)
        if node is not None:
            node.etag = mark.etag
    tree.restore(node for number, node in made.items() if number != ROOT and node.parent is not None)
    tree.start_after(state.last_node)


def _node(line: Made, wait: Callable[[], None]) -> Node:
    kind = Folder if stat.S_ISDIR(line.mode) else Leaf
    node = kind(line.node, None, line.name, line.mode, wait)
    node.uid, node.gid, node.mtime, node.told = line.uid, line.gid, line.mtime, True
    if isinstance(node, Leaf):
        node.device = line.device
    return node


def handles(state: State) -> list[Handle]:
    """As `Files.restore` takes them."""
    return [Handle(h.handle, h.node, h.flags, h.direct, h.backing) for h in state.handles.values()]


def marks(state: State) -> list[Mark]:
    return [Mark(m.node, m.etag, Stamp(m.size, m.mtime, m.ctime)) for m in state.marks.values()]
