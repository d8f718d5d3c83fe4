"""The file system of a bucket, from settings, engine, files and the state log; and what goes on beside the requests."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_IFDIR

from moorage.errors import InvalidInput
from moorfs import recovery
from moorfs.attributes import Defaults
from moorfs.filesystem import BucketFileSystem
from moorfs.finding import Finding
from moorfs.glance import Glances
from moorfs.heads import Heads
from moorfs.journal import Journal, replay
from moorfs.knowledge import Belief, Knowledge
from moorfs.listing import Listing
from moorfs.moving import Mover
from moorfs.node import Folder, Leaf
from moorfs.ports import ROOT, FileNode, Files, StoreError
from moorfs.recovery import State, folded
from moorfs.tree import Tree
from moorfs.volume import Limits, Volume

log = logging.getLogger(__name__)
EVERY = 5.0
RESENT = 30.0
"""Seconds after a takeover by which the kernel has sent again whatever it sends again."""


@dataclass(frozen=True, slots=True)
class Look:
    """How the bucket is shown. `prefix`: what keys begin with: "", or ending in "/"."""

    prefix: str = ""
    belief: Belief = field(default_factory=Belief)
    defaults: Defaults = field(default_factory=Defaults)
    limits: Limits = field(default_factory=Limits)


def state_log(path: Path, takeover: bool, wait: Callable[[], None]) -> tuple[Journal, State]:
    """The log, and what an earlier process left in it. A new mount keeps only the renames that were under way.

    InvalidInput: a takeover cannot be, because there is no log, or one that this version does not know.
    """
    if takeover and not path.exists():
        raise InvalidInput(f"{path} is not there: abort the connection and mount anew")
    try:
        records, damaged = replay(path)
    except InvalidInput as error:
        if takeover:
            raise
        log.warning("%s; it is put aside", error)
        path.rename(path.with_suffix(".unknown"))
        records, damaged = [], 0
    if damaged:
        log.warning("%s: %d damaged lines are left out", path, damaged)
    state = folded(records)
    journal = Journal(path, wait)
    if not takeover:
        journal.compact(recovery.intents_only)
    return journal, state


def bucket_file_system(
    store: Glances, files: Files, journal: Journal, wait: Callable[[], None], look: Look
) -> BucketFileSystem:
    """Nothing is asked of the engine yet."""
    root = Folder(ROOT, None, look.prefix, S_IFDIR | look.defaults.folder_mode, wait)
    root.uid, root.gid, root.mtime = look.defaults.uid, look.defaults.gid, time.time_ns()
    tree = Tree(journal, root, wait, lambda leaf: _forgotten(files, leaf))
    knowledge = Knowledge(tree, look.belief, look.defaults)
    heads = Heads(store, knowledge, wait, store)
    listing = Listing(store, knowledge)
    mover = Mover(wait)
    finding = Finding(store, knowledge, heads, listing, mover)
    return BucketFileSystem(
        Volume(tree, store, files, journal, knowledge, heads, listing, finding, mover, look.limits, wait)
    )


def _forgotten(files: Files, leaf: Leaf) -> None:
    if leaf.file is not None:
        files.forget(leaf)
        leaf.file = None


def recover(system: BucketFileSystem, state: State, takeover: bool) -> None:
    """Before requests are served: what an earlier process left is ours. Of a new mount only unfinished renames."""
    system.renaming.pending = [(intent, serial in state.moved) for serial, intent in state.intents.items()]
    if not takeover:
        return
    volume = system.volume
    recovery.rebuild(state, volume.tree, volume.wait)
    asked: list[Leaf] = []

    def node(number: int) -> FileNode | None:
        found = volume.tree.known(number)
        if not isinstance(found, Leaf):
            return None
        asked.append(found)
        return found

    volume.files.restore(node, recovery.handles(state), recovery.marks(state))
    for leaf in asked:
        leaf.file = volume.files.of(leaf)
    claims = system.opening.claims
    claims.created = {made.unique: made.node for made in state.nodes.values() if made.unique}
    for handle in state.handles.values():
        unique = state.answered.get(handle.handle)
        if unique is None:
            claims.silent.setdefault(handle.node, []).append(handle.handle)
        else:
            claims.answered[unique] = (handle.node, handle.handle)


class Tending:
    """The state log is compacted when it is time, and what no resent request claimed is brought to an end."""

    def __init__(self, system: BucketFileSystem, every: float = EVERY, resent: float = RESENT) -> None:
        self._system = system
        self._every = every
        self._later = time.monotonic() + resent
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tending", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            for work in (self.compact, self.settle):
                try:
                    work()
                except Exception:
                    log.exception("it is tried again in %.0f s", self._every)

    def compact(self) -> None:
        journal = self._system.volume.journal
        if journal.due:
            journal.compact(recovery.live)

    def settle(self) -> None:
        """Raises StoreError when the engine does not let us finish a rename."""
        if time.monotonic() < self._later:
            return
        for node, handles in self._system.opening.claims.unclaimed():
            _release(self._system, node, handles)
        try:
            self._system.renaming.settle()
        except StoreError as error:
            log.warning("a rename is still unfinished: %s", error)


def _release(system: BucketFileSystem, node: int, handles: Iterable[int]) -> None:
    leaf = system.volume.tree.known(node)
    if isinstance(leaf, Leaf):
        for handle in handles:
            system.volume.file(leaf).release(handle)
        system.volume.tree.drop(leaf)
