"""The file system of a bucket, put together from its parts."""

from moorfs.process import Around, Built


def build(around: Around) -> Built:
    raise NotImplementedError
