"""The share agent: the process tree of one NFS server, which turns StorageVolumes into served shares."""
