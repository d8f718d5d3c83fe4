"""Engine flavor minio on a real MinIO."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from s3engines import minio
from s3engines.extras import *  # noqa: F403
from s3engines.server import Server
from s3engines.stories import *  # noqa: F403


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ExitStack() as stack:
        yield minio.start(tmp_path_factory.mktemp("minio"), stack)
