"""Engine flavor versitygw, the embedded one: the stories that all engines with keys are asked. More is in
test_s3_engine.py."""

from typing import Any

import pytest
from s3engines.server import Server
from s3engines.stories import *  # noqa: F403

from moorage.bucketpolicy import Grant
from moorage.model import Access
from moorage.sigv4 import Key


@pytest.fixture(scope="session")
def server(s3_server: Any) -> Server:
    return Server("versitygw", s3_server.endpoint, Key(s3_server.access, s3_server.secret), s3_server.admin_endpoint)


async def test_a_user_that_is_gone_does_not_keep_others_out(server: Server) -> None:
    """versitygw refuses a policy that names an unknown user."""
    kept, gone = Key("MOKEPTKEPTKEPTKEPTKE", "k" * 40), "MOGONEGONEGONEGONEGO"
    async with server.opened() as engine:
        await engine.ensure_bucket("half-gone")
        await engine.ensure_key(kept, (Grant("half-gone"),))
        await engine.ensure_access("half-gone", {kept.access: Access.ReadWrite, gone: Access.ReadOnly})

        assert await engine.key_works(kept, "half-gone")
