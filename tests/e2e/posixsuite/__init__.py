"""`make posix`: pjdfstest and fsx on volumes and, to know the suites, on a plain XFS; writes docs/posix.md."""
