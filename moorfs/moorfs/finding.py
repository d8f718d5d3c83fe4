"""One name: whether it is there, and what it is. Costs no call while what we know is fresh.

A folder that fits into one page is asked for as a whole: one call answers for all its names, missing ones too, until
the time of belief is over. In a bigger one a name is asked for by itself.
"""

import time

from moorfs.heads import Heads
from moorfs.knowledge import Knowledge
from moorfs.listing import Listing
from moorfs.moving import Mover
from moorfs.node import Folder, Leaf, Node, stale
from moorfs.ports import ObjectStore

NEAR = 100
"""Keys asked for when one name is sought: `a` comes before `a-1` and `a.txt`, and these come before `a/`."""
SOON = 1.0


class Finding:
    def __init__(self, store: ObjectStore, knowledge: Knowledge, heads: Heads, listing: Listing, mover: Mover) -> None:
        self._mover = mover
        self._store = store
        self._knowledge = knowledge
        self._heads = heads
        self._listing = listing

    def find(self, folder: Folder, name: str) -> Node | None:
        """The node of a name, with true attributes; None when there is none."""
        while True:
            self._mover.settled(folder)
            began = time.monotonic()
            found = self._find(folder, name)
            if not stale(folder, began):
                return found

    def _find(self, folder: Folder, name: str) -> Node | None:
        child = folder.children.get(name)
        if child is not None and self._knowledge.fresh(child):
            return self._told(child)
        if self._knowledge.listed(folder):
            return self._of_listing(folder, name)
        if child is not None and self._alone(folder):
            return self._told(child) if self.again(child) else self._by_name(folder, name)
        if folder.big or not self._listed(folder, name):
            return self._by_name(folder, name)
        return self._of_listing(folder, name)

    def _of_listing(self, folder: Folder, name: str) -> Node | None:
        """A listing tells of absent names only while it is believed: then no name that it has is forgotten."""
        until = folder.listed
        child = folder.children.get(name)
        if child is None and until <= time.monotonic():
            return self._by_name(folder, name)
        return self._told(child) if child is not None else None

    def _told(self, node: Node) -> Node | None:
        """With its metadata."""
        lacking = self._knowledge.lacks(node)
        return None if lacking and not self._heads.one(node, looked_up=True) else node

    @staticmethod
    def _alone(folder: Folder) -> bool:
        """A name that was known is asked for by itself; when another is wanted soon after, the listing serves both."""
        now = time.monotonic()
        soon = now - folder.asked < SOON
        folder.asked = now
        return folder.big or not soon

    def _listed(self, folder: Folder, name: str) -> bool:
        """Whether the folder's first page, of this moment, tells about the name."""
        asked = time.monotonic()
        with folder.listing:
            if folder.listed > asked:  # by another, while we waited
                return True
            if folder.big:
                return False
            names = self._listing.first(folder)
        return names.token is None or folder.key + name + "/" <= names.end

    def again(self, node: Node) -> bool:
        """Ask for what was known. Whether it is still there."""
        self._mover.settled(node)
        return self._folder_again(node) if isinstance(node, Folder) else self._heads.one(node)

    def _folder_again(self, folder: Folder) -> bool:
        began = time.monotonic()
        if folder.parent is None:
            return True
        if folder.marker is not False:
            self._heads.one(folder)
            if folder.marker:
                return True
        names = self._listing.first(folder)
        if names.empty and not stale(folder, began) and not any(_stays(child) for child in folder.children.values()):
            return not self._knowledge.saw_none(folder, began)
        folder.until = max(folder.until, began + self._knowledge.belief.ttl)
        return True

    def _by_name(self, folder: Folder, name: str) -> Node | None:
        began, key = time.monotonic(), folder.key + name
        page = self._store.list(key, "/", None, NEAR)
        last = max([each.key for each in page.objects[-1:]] + list(page.prefixes[-1:]), default="")
        there = key + "/" in page.prefixes
        if not there and page.token is not None and last < key + "/":
            more = self._store.list(key + "/", "/", None, 1)
            there = bool(more.objects or more.prefixes)
        if stale(folder, began):
            return None
        if there:
            return self._told(self._knowledge.saw_folder(folder, name, began))
        for listed in page.objects:
            if listed.key == key:
                return self._told(self._knowledge.saw_object(folder, name, listed, began))
        child = folder.children.get(name)
        stays = child is not None and not self._knowledge.saw_none(child, began)
        return child if stays else None


def _stays(node: Node) -> bool:
    return isinstance(node, Leaf) and node.busy
