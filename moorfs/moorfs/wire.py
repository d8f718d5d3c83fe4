"""The FUSE protocol as bytes: opcodes, flags and structs.

Source: include/uapi/linux/fuse.h, protocol 7.45 (Linux 6.18); each struct has the name it has there. Numbers are in
the byte order of the machine, structs have no padding but the named one. The comments say since which minor version
a kernel knows what is younger than 7.31 (Linux 5.4), the oldest that we serve.
"""

from struct import Struct

MAJOR, MINOR, OLDEST_MINOR = 7, 45, 31
PAGE = 4096
RESENT = 1 << 63  # FUSE_UNIQUE_RESEND (7.40): the request went to a process that died before it answered

# enum fuse_opcode
LOOKUP, FORGET, GETATTR, SETATTR, READLINK, SYMLINK = 1, 2, 3, 4, 5, 6
MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, OPEN, READ, WRITE, STATFS, RELEASE = 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18
FSYNC, SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR, FLUSH, INIT, OPENDIR, READDIR = 20, 21, 22, 23, 24, 25, 26, 27, 28
RELEASEDIR, FSYNCDIR, GETLK, SETLK, SETLKW, ACCESS, CREATE, INTERRUPT, BMAP = 29, 30, 31, 32, 33, 34, 35, 36, 37
DESTROY, IOCTL, POLL, NOTIFY_REPLY, BATCH_FORGET, FALLOCATE, READDIRPLUS, RENAME2 = 38, 39, 40, 41, 42, 43, 44, 45
LSEEK, COPY_FILE_RANGE, SETUPMAPPING, REMOVEMAPPING, SYNCFS, TMPFILE = 46, 47, 48, 49, 50, 51
STATX, COPY_FILE_RANGE_64 = 52, 53

NAMES = {
    LOOKUP: "lookup", FORGET: "forget", GETATTR: "getattr", SETATTR: "setattr", READLINK: "readlink",
    SYMLINK: "symlink", MKNOD: "mknod", MKDIR: "mkdir", UNLINK: "unlink", RMDIR: "rmdir", RENAME: "rename",
    LINK: "link", OPEN: "open", READ: "read", WRITE: "write", STATFS: "statfs", RELEASE: "release", FSYNC: "fsync",
    SETXATTR: "setxattr", GETXATTR: "getxattr", LISTXATTR: "listxattr", REMOVEXATTR: "removexattr", FLUSH: "flush",
    INIT: "init", OPENDIR: "opendir", READDIR: "readdir", RELEASEDIR: "releasedir", FSYNCDIR: "fsyncdir",
    GETLK: "getlk", SETLK: "setlk", SETLKW: "setlkw", ACCESS: "access", CREATE: "create", INTERRUPT: "interrupt",
    BMAP: "bmap", DESTROY: "destroy", IOCTL: "ioctl", POLL: "poll", NOTIFY_REPLY: "notify_reply",
    BATCH_FORGET: "batch_forget", FALLOCATE: "fallocate", READDIRPLUS: "readdirplus", RENAME2: "rename2",
    LSEEK: "lseek", COPY_FILE_RANGE: "copy_file_range", SETUPMAPPING: "setupmapping",
    REMOVEMAPPING: "removemapping", SYNCFS: "syncfs", TMPFILE: "tmpfile", STATX: "statx",
    COPY_FILE_RANGE_64: "copy_file_range_64",
}  # fmt: skip

# Flags of INIT, both ways; those from bit 32 on travel in flags2 (7.36)
ASYNC_READ, ATOMIC_O_TRUNC, BIG_WRITES = 1 << 0, 1 << 3, 1 << 5
DO_READDIRPLUS, READDIRPLUS_AUTO, ASYNC_DIO, PARALLEL_DIROPS = 1 << 13, 1 << 14, 1 << 15, 1 << 18
ABORT_ERROR, MAX_PAGES, INIT_EXT = 1 << 21, 1 << 22, 1 << 30
HAS_EXPIRE_ONLY = 1 << 35  # 7.38
PASSTHROUGH, HAS_RESEND = 1 << 37, 1 << 39  # 7.40

# Flags of an open file (fuse_open_out.open_flags)
FOPEN_KEEP_CACHE, FOPEN_NOFLUSH, FOPEN_PASSTHROUGH = 1 << 1, 1 << 5, 1 << 7

# Which fields of fuse_setattr_in count
FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE = 1 << 0, 1 << 1, 1 << 2, 1 << 3
FATTR_ATIME, FATTR_MTIME, FATTR_FH, FATTR_ATIME_NOW, FATTR_MTIME_NOW = 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8

GETATTR_FH = 1 << 0  # fuse_getattr_in.getattr_flags

# enum fuse_notify_code: in `error` of a header with unique 0
NOTIFY_INVAL_INODE, NOTIFY_INVAL_ENTRY, NOTIFY_RESEND = 2, 3, 7  # resend: 7.40

# ioctls of /dev/fuse: _IOW(229, 1, struct fuse_backing_map), _IOW(229, 2, uint32_t) (7.40)
DEV_IOC_BACKING_OPEN, DEV_IOC_BACKING_CLOSE = 0x4010E501, 0x4004E502

IN_HEADER = Struct("=IIQQIIIHH")  # len opcode unique nodeid uid gid pid total_extlen padding
OUT_HEADER = Struct("=IiQ")  # len error unique

INIT_IN = Struct("=IIII")  # major minor max_readahead flags; then, with INIT_EXT: flags2 unused[11]
INIT_IN_FLAGS2 = Struct("=I")
# major minor max_readahead flags max_background congestion_threshold max_write time_gran max_pages map_alignment
# flags2 max_stack_depth request_timeout unused[11]
INIT_OUT = Struct("=IIIIHHIIHHIIH22x")

ATTR = Struct("=QQQQQQIIIIIIIIII")
# ino size blocks atime mtime ctime atimensec mtimensec ctimensec mode nlink uid gid rdev blksize flags
ENTRY_OUT = Struct("=QQQQII")  # nodeid generation entry_valid attr_valid entry_valid_nsec attr_valid_nsec; then attr
ATTR_OUT = Struct("=QII")  # attr_valid attr_valid_nsec dummy; then attr
OPEN_OUT = Struct("=QIi")  # fh open_flags backing_id (padding before 7.40)
WRITE_OUT = Struct("=II")  # size padding
KSTATFS = Struct("=QQQQQIIII24x")  # blocks bfree bavail files ffree bsize namelen frsize padding spare[6]
DIRENT = Struct("=QQII")  # ino off namelen type; then the name, filled up to 8 bytes

FORGET_IN = Struct("=Q")  # nlookup
BATCH_FORGET_IN = Struct("=II")  # count dummy; then `count` of:
FORGET_ONE = Struct("=QQ")  # nodeid nlookup
GETATTR_IN = Struct("=IIQ")  # getattr_flags dummy fh
SETATTR_IN = Struct("=IIQQQQQQIIIIIIII")
# valid padding fh size lock_owner atime mtime ctime atimensec mtimensec ctimensec mode unused4 uid gid unused5
MKNOD_IN = Struct("=IIII")  # mode rdev umask padding
MKDIR_IN = Struct("=II")  # mode umask
RENAME_IN = Struct("=Q")  # newdir
RENAME2_IN = Struct("=QII")  # newdir flags padding
OPEN_IN = Struct("=II")  # flags open_flags
CREATE_IN = Struct("=IIII")  # flags mode umask open_flags
READ_IN = Struct("=QQIIQII")  # fh offset size read_flags lock_owner flags padding (READ, READDIR, READDIRPLUS)
WRITE_IN = Struct("=QQIIQII")  # fh offset size write_flags lock_owner flags padding
HANDLE_IN = Struct("=Q")  # fh: how RELEASE, FLUSH, FSYNC and RELEASEDIR begin
FALLOCATE_IN = Struct("=QQQII")  # fh offset length mode padding
INTERRUPT_IN = Struct("=Q")  # unique

NOTIFY_INVAL_INODE_OUT = Struct("=Qqq")  # ino off len
NOTIFY_INVAL_ENTRY_OUT = Struct("=QII")  # parent namelen flags; then the name and a NUL
BACKING_MAP = Struct("=iIQ")  # fd flags padding
BACKING_ID = Struct("=I")


def names(data: memoryview, count: int) -> list[bytes]:
    """The `count` NUL-ended names (or link targets) that `data` begins with."""
    return bytes(data).split(b"\0", count)[:count]
