"""`make posix`: pjdfstest and fsx on a shared volume and, to know the suites, on a plain XFS; writes docs/posix.md."""
