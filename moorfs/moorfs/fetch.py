"""How the bytes of an object come into the cache when it is opened: all of a small one, some blocks of a big one."""

import contextlib
import errno
import os
from collections.abc import Generator

from moorfs.blocks import Blocks
from moorfs.means import Means, log, refused
from moorfs.partial import Partial
from moorfs.ports import Changed, FileError, FileNode, Local, Missing, Range, StoreError
from moorfs.stream import Stream
from moorfs.whole import Whole

_TRIES = 4


class Streamed:
    """An object that is read without the cache, because its disk is full. It cannot be written.

    `etag`, `size`: of the object; empty and None where they are not known, as after a takeover: the engine is asked
    when somebody reads, not before, since it may be down.
    """

    __slots__ = ("_etag", "_means", "_node", "_size", "_stream")

    def __init__(self, means: Means, node: FileNode, etag: str, size: int | None) -> None:
        self._means = means
        self._node = node
        self._etag = etag
        self._size = size
        self._stream = Stream(means, self._source)

    def _source(self) -> tuple[str, str, int]:
        if self._size is None:
            head = self._means.store.head(self._node.key)
            if self._etag not in ("", head.etag):
                raise Changed(errno.ESTALE, f"{self._node.key} is another object now")
            self._etag, self._size = head.etag, head.size
            self._node.etag, self._node.size = head.etag, head.size
        return self._node.key, self._etag, self._size

    def read(self, handle: int, offset: int, size: int) -> bytes:
        try:
            return self._stream.read(handle, offset, size)
        except (Changed, Missing):
            raise FileError(errno.ESTALE, f"{self._node.key} was changed by somebody else while it was read") from None

    def write(self, offset: int, data: memoryview) -> int:
        raise self._full()

    def truncate(self, size: int) -> None:
        raise self._full()

    def allocate(self, mode: int, offset: int, length: int) -> None:
        raise self._full()

    def set_mtime(self, mtime: int) -> None: ...

    def sync(self) -> None: ...

    def local(self) -> Local | None:
        """None: the node knows. StoreError: it does not, and the engine does not tell; with a size of 0 instead, the
        kernel would end who reads it."""
        self._source()
        return None

    @property
    def is_changed(self) -> bool:
        return False

    def quiet(self) -> None: ...

    def close(self) -> None:
        self._stream.close()

    remove = close

    def _full(self) -> FileError:
        return FileError(errno.ENOSPC, f"{self._node.key}: no room in the cache to write it")


def empty_whole(means: Means, node: FileNode) -> Whole:
    """A new cache file without bytes. Raises FileError (ENOSPC)."""
    path = means.path_of(node.id)
    try:
        means.with_room(lambda: _made(path))
    except OSError as error:
        raise refused(error, "making a cache file") from None
    return Whole(means, path)


def body_of(means: Means, node: FileNode, writes: bool) -> tuple[Whole | Partial | Streamed, str]:
    """The object's bytes, and its ETag. What the node knows of it is corrected when somebody wrote it meanwhile.

    Raises StoreError; FileError ENOSPC for a writer whose file does not fit into the cache. A reader gets it streamed.
    """
    for _ in range(_TRIES):
        try:
            return means.with_room(lambda: _body(means, node)), node.etag
        except (Changed, Missing):
            _learn(means, node)
        except StoreError:
            raise
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or writes:
                raise refused(error, f"fetching {node.key} into the cache") from None
            log.warning("%s: no room in the cache, reading it without", node.key)
            return Streamed(means, node, node.etag, node.size), node.etag
    raise FileError(errno.ESTALE, f"{node.key} changes too fast to be fetched")


def _learn(means: Means, node: FileNode) -> None:
    head = means.store.head(node.key)
    node.etag, node.size = head.etag, head.size


def _body(means: Means, node: FileNode) -> Whole | Partial:
    path = means.path_of(node.id)
    if node.size > means.settings.whole_up_to:
        return _partial(means, node, path)
    with _unless_it_fails(path + ".get"):
        fd = os.open(path + ".get", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if node.size:
                means.store.read(node.key, Range(fd, 0, node.size), 0, node.etag)
            os.utime(fd, ns=(node.mtime, node.mtime))
        finally:
            os.close(fd)
        os.rename(path + ".get", path)
    return Whole(means, path)


def _partial(means: Means, node: FileNode, path: str) -> Partial:
    """What an earlier open has fetched is still good if the object is the same."""
    blocks = known_blocks(path)
    if blocks and blocks.etag == node.etag and blocks.base == node.size:
        return Partial(means, node, path, blocks)
    with _unless_it_fails(path, path + ".map"):
        blocks = Blocks(path + ".map", node.etag, node.size, node.mtime, create=True)
        _made(path)
        os.truncate(path, node.size)
        body = Partial(means, node, path, blocks)
        try:
            body.probe()  # so it is known that the object is still the one we know of
        except BaseException:
            body.close()
            raise
    return body


def known_blocks(path: str) -> Blocks | None:
    """The map beside a cache file; None when there is none of use."""
    try:
        return Blocks(path + ".map")
    except (OSError, ValueError):
        return None


def _made(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))


@contextlib.contextmanager
def _unless_it_fails(*paths: str) -> Generator[None]:
    try:
        yield
    except BaseException:
        remove(*paths)
        raise


def remove(*paths: str) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
