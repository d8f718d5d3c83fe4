"""The mounter: the daemon that owns the FUSE processes of a node, apart from the CSI plugin, which may come and go."""
