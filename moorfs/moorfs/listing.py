"""Folders by their listings: page by page, as names that a file system can hold."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from moorfs.knowledge import Knowledge
from moorfs.names import HIDDEN, unfit
from moorfs.node import Folder, Leaf, Node, stale
from moorfs.ports import Listed, ObjectStore, Page

PAGE = 1000  # S3: most keys of one answer
PART = 256
"""Keys that are asked for first where somebody has work for them at once, while the engine lists the others."""


@dataclass(slots=True)
class Names:
    """What a page has: objects by name, folders. `held`: objects of whom only the next page tells whether a folder has
    the same name (`a` comes before `a-1`, and that before `a/`). `end`: the last key.

    `empty`: no key at all; `filled`: keys besides the folder's marker, though they may have no name here.
    """

    began: float
    objects: dict[str, Listed] = field(default_factory=lambda: {})
    folders: list[str] = field(default_factory=lambda: [])
    held: dict[str, Listed] = field(default_factory=lambda: {})
    token: str | None = None
    end: str = ""
    empty: bool = True
    filled: bool = False

    def go_on(self, more: "Names") -> None:
        """With the next page, which was asked for with what is held here."""
        self.objects |= more.objects
        self.folders += more.folders
        self.held, self.token = more.held, more.token
        self.end = more.end or self.end
        self.filled = self.filled or more.filled


class Listing:
    """`skipped` counts the keys that have no name here, by reason; a key counts each time it is met."""

    def __init__(self, store: ObjectStore, knowledge: Knowledge) -> None:
        self._store = store
        self._knowledge = knowledge
        self.skipped: Counter[str] = Counter()

    def first(self, folder: Folder, early: Callable[[Names], None] | None = None) -> Names:
        """Ask for the first page and put it into the tree. When it is all, the folder is known completely now.

        `early` is told of its beginning as soon as that is in the tree; not where the beginning is all.
        """
        changes = folder.changes
        names = self.page(folder, most=PART if early else PAGE)
        self.put(folder, names)
        if early and names.token is not None:
            early(names)
            rest = self.page(folder, names.token, names.held, PAGE - PART)
            self.put(folder, rest)
            names.go_on(rest)
        if stale(folder, names.began):
            return names
        folder.big = names.token is not None
        if not folder.big and changes == folder.changes:
            self._complete(folder, names)
        return names

    def page(
        self, folder: Folder, token: str | None = None, held: dict[str, Listed] | None = None, most: int = PAGE
    ) -> Names:
        """One page. Raises StoreError."""
        began = time.monotonic()
        return self._names(folder, self._store.list(folder.key, "/", token, most), began, held or {})

    def _names(self, folder: Folder, page: Page, began: float, held: dict[str, Listed]) -> Names:
        prefix = folder.key
        names = Names(began, dict(held), token=page.token, empty=not (page.objects or page.prefixes))
        names.filled = any(each.key != prefix for each in page.objects) or bool(page.prefixes)
        names.end = max([each.key for each in page.objects[-1:]] + list(page.prefixes[-1:]), default="")
        for each in page.objects:
            if each.key == prefix:
                folder.marker = True
            elif self._fits(each.key[len(prefix) :]):
                names.objects[each.key[len(prefix) :]] = each
        names.folders = [p[len(prefix) : -1] for p in page.prefixes if self._fits(p[len(prefix) : -1])]
        for name in names.folders:
            if names.objects.pop(name, None):
                self.skipped[HIDDEN] += 1
        if page.token is not None:
            names.held = {n: each for n, each in names.objects.items() if each.key + "/" > names.end}
            for name in names.held:
                del names.objects[name]
        return names

    def _fits(self, name: str) -> bool:
        reason = unfit(name)
        if reason:
            self.skipped[reason] += 1
        return not reason

    def put(self, folder: Folder, names: Names) -> None:
        """Into the tree, unless the folder has moved meanwhile."""
        if stale(folder, names.began):
            return
        for name in names.folders:
            self._knowledge.saw_folder(folder, name, names.began)
        for name, listed in names.objects.items():
            self._knowledge.saw_object(folder, name, listed, names.began)

    def _complete(self, folder: Folder, names: Names) -> None:
        there = {*names.objects, *names.folders}
        until = names.began + self._knowledge.belief.ttl
        for child in list(folder.children.values()):
            if child.name not in there and child.until <= until:  # else it was seen since
                self._knowledge.saw_none(child, names.began)
        self._knowledge.tree.listed(folder, there, until)


def local(folder: Folder) -> Iterable[Node]:
    """Files that no listing has yet: made here and not stored."""
    return [each for each in list(folder.children.values()) if isinstance(each, Leaf) and each.busy and not each.etag]
