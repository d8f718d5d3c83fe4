"""A node as stat(2) shows it."""

from moorfs.node import Folder, Leaf, Node
from moorfs.ports import Attributes

BLOCK = 512


def attributes(node: Node) -> Attributes:
    """From the cache file where that is the truth, else as last heard of the engine.

    A folder has one link: its number of subfolders is not known, and 1 says so (as btrfs does).
    """
    if not isinstance(node, Leaf):
        mtime = max(node.mtime, node.worked) if isinstance(node, Folder) else node.mtime
        changed = max(mtime, node.changed)
        return Attributes(node.id, node.mode, 0, 0, 1, node.uid, node.gid, 0, mtime, changed, node.accessed or mtime)
    local = node.file.local() if node.file is not None else None  # first: it may correct what the node knows
    size, mtime, blocks = node.size, node.mtime, -(-node.size // BLOCK)
    if local is not None:
        size, mtime, blocks = local.size, local.mtime, local.blocks
    links = 0 if node.gone else 1
    return Attributes(
        node.id, node.mode, size, blocks, links, node.uid, node.gid, node.device, mtime,
        max(mtime, node.changed), node.accessed or mtime,
    )  # fmt: skip
