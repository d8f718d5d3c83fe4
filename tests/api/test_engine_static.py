"""Engine flavor s3: any server with a given credential. Here that is a versitygw whose admin API nobody asks."""

from typing import Any

import pytest
from bed import Bed
from s3engines.operated import backend_on, key_in, said
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


async def test_a_bucket_there_is_refused_until_the_backend_hands_its_key_on(bed: Bed, server: Server) -> None:
    backend = await backend_on(bed, server)
    await bed.make("Bucket", "keyless", spec={"backend": backend})
    await bed.phase("keyless", "FAILED", "Bucket")

    ready = await said(bed, "Bucket", "keyless", "Ready")
    assert "write shareCredential: true there" in ready["message"]


async def test_buckets_there_share_the_backends_key_and_say_so(bed: Bed, server: Server) -> None:
    backend = await backend_on(bed, server, shareCredential=True)
    await bed.make("Bucket", "handed", spec={"backend": backend, "emptyOnDelete": True})
    await bed.phase("handed", "READY", "Bucket")
    await bed.make("BucketKey", "none", spec={"buckets": [{"name": "handed"}]})
    await bed.phase("none", "FAILED", "BucketKey")

    key, bucket = await key_in(bed, "handed-s3")
    server.boto(key).put_object(Bucket=bucket, Key="k", Body=b"1")
    told = [await said(bed, *each, "KeysEnforced") for each in (("Bucket", "handed"), ("StorageBackend", backend))]
    refusal = await said(bed, "BucketKey", "none", "Ready")
    await bed.delete("BucketKey", "none")
    await bed.delete("Bucket", "handed")
    await bed.gone("Bucket", "handed")

    assert key == server.root
    assert [(each["status"], each["reason"]) for each in told] == [("False", "SharedCredential")] * 2
    assert "engine s3 has no keys" in refusal["message"]
    assert bucket not in [each["Name"] for each in server.boto().list_buckets()["Buckets"]]


async def test_what_a_bucket_asks_and_its_engine_lacks_is_refused_by_name(bed: Bed, server: Server) -> None:
    backend = await backend_on(bed, server, shareCredential=True)
    rotation = {"key": {"rotateAfter": "720h"}}
    for name, asked in (("bounded", {"quota": "1Gi"}), ("rotated", rotation)):
        await bed.make("Bucket", name, spec={"backend": backend, **asked})
        await bed.phase(name, "FAILED", "Bucket")

    messages = [(await said(bed, "Bucket", each, "Provisioned"))["message"] for each in ("bounded", "rotated")]
    assert "engine s3 has no quota" in messages[0]
    assert "engine s3 has no keys" in messages[1]
