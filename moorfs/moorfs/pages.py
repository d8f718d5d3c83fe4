"""The names of a folder as one reader goes through them, page by page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moorfs.heads import Heads
from moorfs.listing import Listing, Names, local
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
    """Keeps the page that is read and the one before it, and gets the one after it when the reader goes on."""

    def __init__(self, listing: Listing, heads: Heads, folder: Folder, fresh: bool) -> None:
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
        self._load(fresh)

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
        self._heads.all([node(line) for line in lines[:count]])

    def _follow(self, places: range, nodes: Sequence[Node]) -> None:
        self.stop()
        self._followed, self._following = places, Following(self._heads, nodes)

    def stop(self) -> None:
        """Nobody reads on."""
        if self._following:
            self._following.stop()

    def _load(self, fresh: bool) -> None:
        folder = self._folder
        if not fresh:
            with folder.listing:
                self._names = self._listing.first(folder)
        if self._names is None or self._names.token is None:
            self._lines = [_line(child) for _, child in sorted(folder.children.items())]
        else:
            self._lines = _lines(self._names)

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
