"""When parts of a new file may go out before it is closed: see `early`."""

from typing import TYPE_CHECKING

from moorfs.dirty import stamp_of
from moorfs.early import Early, without_mtime
from moorfs.whole import Whole

if TYPE_CHECKING:
    from moorfs.content import Content


class Growth:
    """Of one file. `early`: the upload that has begun."""

    __slots__ = ("_file", "_means", "_size", "early")

    def __init__(self, file: "Content") -> None:
        self._file = file
        self._means = file.means
        self.early: Early | None = None
        self._size = 0

    def taken(self) -> Early | None:
        """What has begun, for who finishes it."""
        early, self.early = self.early, None
        return early

    def wrote(self, offset: int, length: int) -> None:
        """Bytes passed by us: of a new file they may go out before it is closed."""
        self.writes(offset, length)
        if self.early is None and offset + length >= self._means.settings.multipart_from:
            with self._file.lock:
                if self.early is None and self._may_be:
                    self._begin(offset + length)

    def writes(self, offset: int, length: int) -> None:
        """Before bytes are written, as after: a part that goes out between the two goes out again."""
        early = self.early
        if early is not None:
            early.wrote(offset, length)

    def grew(self) -> bool:
        """A look at a file that the kernel writes by itself; whether it is longer than at the last look."""
        with self._file.lock:
            body = self._file.body
            if not isinstance(body, Whole) or not self._may_be:
                return False
            size = stamp_of(body.fd).size
            if self.early is not None:
                self.early.grew(size)
            elif size >= self._means.settings.multipart_from:
                self._begin(size)
            grown, self._size = size > self._size, size
            return grown

    def give_up(self) -> None:
        """The file was cut, or got another name."""
        early = self.taken()
        if early is not None:
            early.abandon()

    @property
    def _may_be(self) -> bool:
        file = self._file
        new = isinstance(file.body, Whole) and file.body.mark is None
        return (
            new
            and self._means.settings.early
            and not file.saving.pins
            and not file.node.gone
            and file.handles.writers > 0
        )

    def _begin(self, size: int) -> None:
        file = self._file
        body = file.body
        if not isinstance(body, Whole):
            return
        metadata = without_mtime(file.saving.goal(file.node.mtime).metadata)
        self.early = Early(self._means, file.node.key, metadata, body.path)
        self.early.grew(size)
