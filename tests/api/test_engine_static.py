"""Engine flavor s3: any server with a given credential. Here that is a versitygw whose admin API nobody asks."""

from typing import Any

import pytest
from s3engines.server import Server

from moorage.bucketowner import Owner
from moorage.bucketpolicy import Grant
from moorage.bucketsettings import BucketSettings
from moorage.errors import NotOffered
from moorage.model import CorsRule, LifecycleRule, Method
from moorage.sigv4 import Key


@pytest.fixture(scope="session")
def server(s3_server: Any) -> Server:
    return Server("s3", s3_server.endpoint, Key(s3_server.access, s3_server.secret))


async def test_buckets_are_made_owned_and_removed(server: Server) -> None:
    owner = Owner("team", "plain", "uid")
    async with server.opened() as engine:
        await engine.ensure_bucket("plain-1")
        await engine.put_tags("plain-1", owner.tags)
        changed = await engine.ensure_settings("plain-1", BucketSettings(versioning=True))
        server.boto().put_object(Bucket="plain-1", Key="k", Body=b"1")
        told = Owner.of(await engine.tags("plain-1") or {})
        await engine.remove_bucket("plain-1")

        assert (changed, told, await engine.tags("plain-1")) == (("versioning",), owner, None)


async def test_it_makes_no_keys_and_says_what_to_do(server: Server) -> None:
    async with server.opened() as engine:
        with pytest.raises(NotOffered, match="shareCredential: true"):
            await engine.ensure_key(server.root, (Grant("plain-2"),))


async def test_its_own_key_is_handed_on_when_the_backend_says_so_and_no_other(server: Server) -> None:
    async with server.opened(shareCredential=True) as engine:
        await engine.ensure_bucket("plain-3")
        await engine.ensure_key(server.root, (Grant("plain-3"),))

        assert await engine.key_works(server.root, "plain-3")
        with pytest.raises(NotOffered):
            await engine.ensure_key(Key("MOOTHER", "x" * 40), (Grant("plain-3"),))


async def test_access_is_nobodys_but_roots_and_public_reading_comes_when_asked(server: Server) -> None:
    async with server.opened(shareCredential=True) as engine:
        await engine.ensure_bucket("plain-4")
        owner = {server.root.access: "ReadWrite"}

        assert [await engine.ensure_access("plain-4", owner, public) for public in (False, True, True, False)] == [  # type: ignore[arg-type]
            False, True, False, True,
        ]  # fmt: skip


async def test_what_its_administrator_says_that_it_lacks_is_refused(server: Server) -> None:
    cors = BucketSettings(cors=(CorsRule(origins=("*",), methods=(Method.GET,)),))
    async with server.opened(lacks=["cors"]) as engine:
        await engine.ensure_bucket("plain-5")
        with pytest.raises(NotOffered, match="engine s3 has no cors"):
            await engine.ensure_settings("plain-5", cors)
    async with server.opened() as engine:
        assert await engine.ensure_settings("plain-5", cors) == ("cors",)


async def test_a_probe_says_what_is_wrong(server: Server) -> None:
    stranger = Server("s3", server.endpoint, Key(server.root.access, "wrong" * 8))
    async with server.opened() as engine, stranger.opened() as wrong:
        found = [await engine.probe(), await wrong.probe()]

    assert [each.reason if each else None for each in found] == [None, "CredentialsRefused"]


async def test_what_the_server_turns_out_to_lack_is_refused_too(server: Server) -> None:
    asked = BucketSettings(lifecycle=(LifecycleRule(expire_days=1),))
    async with server.opened() as engine:
        await engine.ensure_bucket("plain-6")
        with pytest.raises(NotOffered, match="this server has not all of these settings: leave it out"):
            await engine.ensure_settings("plain-6", asked)
