"""Engine flavor rgw on a real Ceph."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from s3engines import ceph
from s3engines.extras import *  # noqa: F403
from s3engines.measure import ASK, measured
from s3engines.server import Server
from s3engines.stories import *  # noqa: F403

from moorage.features import ROWS, Feature
from moorage.model import S3Flavor


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ExitStack() as stack:
        yield ceph.start(tmp_path_factory.mktemp("rgw"), stack)


def test_the_row_is_what_the_server_does(server: Server) -> None:
    row = ROWS[S3Flavor.rgw] & frozenset(ASK)

    assert row <= measured(server) <= row | {Feature.conditional_writes}
