"""moorfs: a bucket as a file system, by the kernel's FUSE protocol on a file descriptor that another process keeps."""
