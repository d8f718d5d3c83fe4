"""`make posix`: pjdfstest and fsx on a shared and a local volume and, to know the suites, on a plain XFS; writes docs/posix.md."""
