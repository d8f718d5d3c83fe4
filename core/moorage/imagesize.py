"""How large the image of a share is, and what that leaves on the pool.

The image is the size asked plus 64 MiB, and mkfs.xfs is told to make a log of exactly 64 MiB inside it. XFS
counts every block but the log in statfs (`f_blocks = sb_dblocks - sb_logblocks`), so `df` shows the size asked, to
the byte when it is a multiple of 4 KiB (it is rounded up to one). A grown file system drops a last allocation group
of fewer than 64 blocks, so the grown image gets that much more where needed: never less than asked.
"""

BLOCK = 4096
LOG_BYTES = 64 * 2**20
SMALLEST = 256 * 2**20  # mkfs.xfs refuses file systems under 300 MB; the log is 64 MiB of that
POOL_RESERVE = 16 * 2**20  # left for share.json files and the NFS recovery records
SMALLEST_GROUP = 64 * BLOCK  # XFS_MIN_AG_BLOCKS of the kernel's growfs
_MAPPED = 128  # bytes of data per byte of its map, when each block is an extent of its own (16 bytes, half-full nodes)


def usable_bytes(size: int) -> int:
    """The size that a share of `size` bytes gets: whole blocks, and never under the smallest file system."""
    return max(-(-size // BLOCK) * BLOCK, SMALLEST)


def image_bytes(size: int) -> int:
    """Bytes of a fresh image for `size` usable bytes."""
    return usable_bytes(size) + LOG_BYTES


def grown_image_bytes(size: int, group_bytes: int) -> int:
    """Bytes that an image with allocation groups of `group_bytes` must have to show `size` usable bytes."""
    target = image_bytes(size)
    last = target % group_bytes
    return target - last + SMALLEST_GROUP if 0 < last < SMALLEST_GROUP else target


def group_bytes(superblock: bytes) -> int:
    """Size of an allocation group, from the first 96 bytes of an XFS file system (xfs_dsb: big endian)."""
    if superblock[:4] != b"XFSB":
        raise ValueError("the image does not begin with an XFS superblock")
    block_size = int.from_bytes(superblock[4:8], "big")
    return block_size * int.from_bytes(superblock[84:88], "big")


def superblock_uuid(superblock: bytes) -> bytes:
    """The UUID of a file system, from the first 96 bytes of it (sb_uuid of xfs_dsb)."""
    if superblock[:4] != b"XFSB":
        raise ValueError("the image does not begin with an XFS superblock")
    return superblock[32:48]


def copies_bytes(shared: int) -> int:
    """Bytes that the pool needs to copy `shared` bytes block by block, and to note where each block lies."""
    return shared + -(-shared // _MAPPED)


def room(free: int) -> int:
    """Usable bytes of the largest share that would still fit on a pool with `free` bytes."""
    return max(0, free - POOL_RESERVE - LOG_BYTES)


# Pools that promise more than they hold.

_NEARLY_FULL = 10  # one part in so many is free
_FEW = 10 * 2**30
_SPARE = 32  # one part in so many, at most a log's worth
WASTE = 256 * 2**20  # bytes of deleted files that are worth giving back to the pool


def overfull(total: int, free: int, before: bool) -> bool:
    """Whether a pool of `total` bytes has less than a tenth free, or 10 GiB if that is less. A quarter more ends it."""
    least = min(total // _NEARLY_FULL, _FEW)
    return free < (least + least // 4 if before else least)


def spare_bytes(total: int) -> int:
    """What such a pool of `total` bytes keeps for replaying logs: none is larger than its log, most are far smaller."""
    return min(LOG_BYTES, total // _SPARE // BLOCK * BLOCK)


def waste(allocated: int, used: int) -> int:
    """Bytes that a sparse image takes on the pool beyond its `used` bytes and its log: most were once in files."""
    return max(0, allocated - used - LOG_BYTES)
