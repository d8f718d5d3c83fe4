"""Engine flavor versitygw, the embedded one: the stories that all engines with keys are asked. More is in
test_s3_engine.py."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bed import until
from s3engines import versity
from s3engines.server import Server
from s3engines.stories import *  # noqa: F403

from moorage.bucketpolicy import Grant
from moorage.model import Access
from moorage.sigv4 import Key
from moorage_operator.engines.protocol import ObjectEngine


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


async def test_a_second_server_on_the_same_data_forgets_a_revoked_key_in_the_caches_time(
    tmp_path: Path, versitygw_program: Path
) -> None:
    key = Key("MOTWOTWOTWOTWOTWOTWO", "t" * 40)
    with ExitStack() as stack:
        first = versity.start(tmp_path, stack, "--iam-cache-ttl=2", program=versitygw_program)
        second = versity.start(tmp_path, stack, "--iam-cache-ttl=2", program=versitygw_program, root=first.root)
        async with first.opened() as engine, second.opened() as other:
            await engine.ensure_bucket("shared-data")
            await engine.ensure_key(key, (Grant("shared-data"),))
            await engine.ensure_access("shared-data", {key.access: Access.ReadWrite})
            alive = await other.key_works(key, "shared-data")
            await engine.remove_key(key.access)
            gone_here = not await engine.key_works(key, "shared-data")
            gone_there = await until(lambda: refused_by(other, key), lambda: still_open(key))

            assert (alive, gone_here, gone_there) == (True, True, True)


async def refused_by(engine: ObjectEngine, key: Key) -> bool:
    return not await engine.key_works(key, "shared-data")


async def still_open(key: Key) -> str:
    return f"the second server still knows {key.access}"
