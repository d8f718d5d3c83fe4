"""mkdir, mknod, symlink: names that are objects at once. Two calls: the lookup, and the object."""

import errno
import stat
import time

from moorfs.names import given
from moorfs.node import Folder, Leaf, Node
from moorfs.ports import Caller, Changed, Condition, Entry, FileError
from moorfs.volume import Volume, own

NEW = Condition(absent=True)
SPECIAL = (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
TARGET_MAX = 4095  # Linux, PATH_MAX without its NUL


class Making:
    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def mkdir(self, parent: int, name: bytes, mode: int, caller: Caller) -> Entry:
        kind = stat.S_IFDIR | stat.S_IMODE(mode)
        with self._volume.changing(parent) as folder:
            text = given(name, folder.key, folder=True)
            found = self._volume.finding.find(folder, text)
            if found is not None:
                return self._again(found, kind, caller)
            made = self._volume.tree.new_folder(kind)
            own(made, folder, kind, caller)
            self._store(folder.key + text + "/", b"", made)
            made.marker = True
            made.listed = made.since + self._volume.knowledge.belief.ttl
            return self._placed(made, folder, text)

    def mknod(self, parent: int, name: bytes, mode: int, device: int, caller: Caller) -> Entry:
        """Files, fifos, sockets and devices are empty objects with the type in their mode, as s3fs makes them."""
        kind = mode if stat.S_IFMT(mode) else stat.S_IFREG | mode
        if stat.S_IFMT(kind) not in SPECIAL:
            raise FileError(errno.EINVAL, "not a kind of file that mknod(2) makes")
        return self._leaf(parent, name, kind, b"", device, caller)

    def symlink(self, parent: int, name: bytes, target: bytes, caller: Caller) -> Entry:
        if len(target) > TARGET_MAX:
            raise FileError(errno.ENAMETOOLONG, f"a link's target has at most {TARGET_MAX} bytes")
        return self._leaf(parent, name, stat.S_IFLNK | 0o777, target, 0, caller)

    def _leaf(self, parent: int, name: bytes, mode: int, body: bytes, device: int, caller: Caller) -> Entry:
        with self._volume.changing(parent) as folder:
            text = given(name, folder.key)
            found = self._volume.finding.find(folder, text)
            if found is not None:
                return self._again(found, mode, caller)
            made = self._volume.tree.new_leaf(mode)
            own(made, folder, mode, caller)
            made.device, made.size = device, len(body)
            made.target = body if stat.S_ISLNK(mode) else None
            self._store(folder.key + text, body, made)
            return self._placed(made, folder, text)

    def _again(self, found: Node, mode: int, caller: Caller) -> Entry:
        """A request that comes again may find its own work."""
        if caller.resent and isinstance(found, Folder) == stat.S_ISDIR(mode) and found.kind == stat.S_IFMT(mode):
            return self._volume.entry(found)
        raise FileError(errno.EEXIST, "the name is there")

    def _store(self, key: str, body: bytes, made: Folder | Leaf) -> None:
        made.mtime = time.time_ns()  # so fine that nobody else has the same
        metadata = made.metadata(made.mtime)
        try:
            made.etag = self._volume.store.put(key, body, metadata, NEW)
        except Changed:
            head = self._volume.store.head(key)
            if head.metadata.get("mtime") != metadata["mtime"]:  # ours, if the engine's first answer was lost
                raise FileError(errno.EEXIST, f"{key} was just made by somebody else") from None
            made.etag = head.etag

    def _placed(self, made: Folder | Leaf, folder: Folder, name: str) -> Entry:
        self._volume.tree.place(made, folder, name)
        self._volume.changed(folder)
        return self._volume.entry(made)
