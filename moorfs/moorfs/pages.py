"""The names of a folder as one reader goes through them, page by page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moorfs.heads import Heads
from moorfs.listing import PART, Listing, Names, local
from moorfs.node import Folder, Node
from moorfs.ports import Listed
from moorfs.prefetch import Coming, Following


@dataclass(slots=True)
class Line:
    """One name: an object or (None) a folder; its node where that is known already."""

    name: str
    listed: Listed | None
    began: float
    node: Node | None = None


class Stream:
    """Keeps the page that is read and the one before it, and gets the one after it when the reader goes on.

    `fresh`: all names are known already; `plus`: the reader wants metadata too.
    """

    def __init__(self, listing: Listing, heads: Heads, folder: Folder, fresh: bool, plus: bool) -> None:
        self._listing = listing
        self._heads = heads
        self._folder = folder
        self.key = folder.key
        self.first = 0
        self._lines: list[Line] = []
        self._before = 0
        self._names: Names | None = None
        self._coming: Coming[Names] | None = None
        self._following: Following | None = None
        self._followed = range(0)
        self._first: Following | None = None
        if not fresh:
            self._names = self._listed(plus)
        self._lines = self._begin()

    def at(self, index: int, goes_on: bool = False) -> list[Line]:
        """The names from that place on, as far as they are known now; none: the end. `goes_on`: it is not the reader's
        first request, so that the next page is got for him, by another thread."""
        while index >= self.first + len(self._lines) and self._names is not None and self._names.token is not None:
            self._next(self._names)
        if goes_on and self._coming is None and self._names is not None and self._names.token is not None:
            self._coming = self._page_after(self._names)
        return self._lines[index - self.first :]

    def learn(self, index: int, count: int, node: Callable[[Line], Node], goes_on: bool) -> None:
        """The metadata of so many names from that place on; of one who goes on, of all names of the page."""
        lines = self.at(index)
        if goes_on and index + count - 1 not in self._followed:
            self._follow(range(index, index + len(lines)), [node(line) for line in lines])
        if self._following and index in self._followed:
            self._following.until(index + count - self._followed.start)
        if self._first:
            self._first.until(PART)
            self._first = None
        self._heads.all([node(line) for line in lines[:count]])

    def _follow(self, places: range, nodes: Sequence[Node]) -> None:
        self.stop()
        self._followed, self._following = places, Following(self._heads, nodes)

    def stop(self) -> None:
        """Nobody reads on."""
        for each in (self._first, self._following):
            if each:
                each.stop()

    def _listed(self, plus: bool) -> Names:
        """The first page. Metadata of its beginning, if any is wanted, is got while the engine lists the rest."""
        with self._folder.listing:
            known = list(self._folder.children.values())
            wanted = plus and (not known or bool(self._heads.lacking(known)))
            try:
                return self._listing.first(self._folder, self._learn_first if wanted else None)
            except BaseException:
                self.stop()
                raise

    def _learn_first(self, names: Names) -> None:
        children = self._folder.children
        known = (children.get(name) for name in sorted((*names.objects, *names.folders)))
        self._first = Following(self._heads, [node for node in known if node is not None])

    def _begin(self) -> list[Line]:
        if self._names is None or self._names.token is None:
            return [_line(child) for _, child in sorted(self._folder.children.items())]
        return _lines(self._names)

    def _page_after(self, names: Names) -> Coming[Names]:
        return Coming(self._heads, lambda: self._listing.page(self._folder, names.token, names.held))

    def _next(self, names: Names) -> None:
        coming, self._coming = self._coming or self._page_after(names), None
        self._names = coming.get()
        more = _lines(self._names)
        if self._names.token is None:
            more += [_line(child) for child in local(self._folder)]
        self.first += self._before
        self._lines = self._lines[self._before :] + more
        self._before = len(self._lines) - len(more)


def _line(node: Node) -> Line:
    return Line(node.name, None, 0.0, node)


def _lines(names: Names) -> list[Line]:
    found = [Line(name, listed, names.began) for name, listed in names.objects.items()]
    found += [Line(name, None, names.began) for name in names.folders]
    return sorted(found, key=lambda line: line.name)
