"""The local agent: one node's own disk, which turns StorageVolumes into file systems mounted on that node."""
