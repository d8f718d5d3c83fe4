"""Keeping and adopting: the operator on a real kube-apiserver, buckets on a real S3 engine."""

import secrets
from typing import Any

import pytest
from bed import Bed, condition, until
from botocore.exceptions import ClientError
from filled import Key, boto, bucket, key_of

from moorage import names
from moorage.actions import Manifest, Reference


async def kept(bed: Bed, name: str) -> Key:
    """The key that a Bucket had before it was deleted and its objects kept."""
    key = await bucket(bed, name, onDelete="Retain")
    await bed.delete("Bucket", name)
    await bed.gone("Bucket", name)
    return key


async def refused(bed: Bed, name: str, reason: str, kind: str = "Bucket") -> str:
    async def says() -> str:
        found = await bed.get(kind, name)
        provisioned = condition(found, "Provisioned")
        phase = (found or {}).get("status", {}).get("phase")
        return provisioned["message"] if provisioned.get("reason") == reason and phase == "FAILED" else ""

    return await until(says, lambda: bed._story(kind, name, reason))


def content(key: Key) -> bytes:
    return boto(key).get_object(Bucket=key["BUCKET"], Key="k")["Body"].read()


# Buckets.


async def test_a_kept_bucket_is_adopted_with_its_objects_and_the_old_key_stays_shut(bed: Bed) -> None:
    old = await kept(bed, "models")

    await bed.make("Bucket", "again", spec={"adopt": old["BUCKET"], "versioning": True})
    adopted = await bed.phase("again", "READY", "Bucket")

    new = await key_of(bed, "again")
    assert adopted["status"]["bucketName"] == new["BUCKET"] == old["BUCKET"]
    assert content(new) == b"precious"
    assert boto(new).get_bucket_versioning(Bucket=new["BUCKET"])["Status"] == "Enabled"
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        content(old)


async def test_deleting_says_how_the_kept_bucket_is_adopted(bed: Bed) -> None:
    key = await kept(bed, "models")

    events = await bed.cluster.list("events.k8s.io/v1", "Event", bed.namespace)

    (told,) = [each["note"] for each in events if each["reason"] == "Destroyed"]
    assert f"adopt: {key['BUCKET']}" in told


async def test_an_adopted_bucket_is_destroyed_like_any_other(bed: Bed, s3_server: Any) -> None:
    old = await kept(bed, "models")
    await bed.make("Bucket", "again", spec={"adopt": old["BUCKET"], "emptyOnDelete": True})
    await bed.phase("again", "READY", "Bucket")

    await bed.delete("Bucket", "again")
    await bed.gone("Bucket", "again")

    root = {**old, "AWS_ACCESS_KEY_ID": s3_server.access, "AWS_SECRET_ACCESS_KEY": s3_server.secret}
    assert old["BUCKET"] not in [each["Name"] for each in boto(root).list_buckets()["Buckets"]]


async def test_what_was_never_there_is_not_found_and_adopted_when_it_comes(bed: Bed, s3_server: Any) -> None:
    name = f"late-{secrets.token_hex(4)}"
    await bed.make("Bucket", "again", spec={"adopt": name})

    message = await refused(bed, "again", "AdoptNotFound")
    root = {"AWS_ENDPOINT_URL": s3_server.endpoint, "AWS_REGION": "us-east-1", "BUCKET": name}
    root |= {"AWS_ACCESS_KEY_ID": s3_server.access, "AWS_SECRET_ACCESS_KEY": s3_server.secret}
    boto(root).create_bucket(Bucket=name)
    untagged = await refused(bed, "again", "AdoptForbidden")
    tag = {"Key": names.TAG_NAMESPACE, "Value": bed.namespace}
    boto(root).put_bucket_tagging(Bucket=name, Tagging={"TagSet": [tag]})

    await bed.phase("again", "READY", "Bucket")
    assert f"StorageBackend object has no bucket {name}" in message
    assert f"bucket {name} does not say whose it is" in untagged


async def test_a_bucket_of_another_namespace_is_neither_adopted_nor_destroyed(bed: Bed, s3_server: Any) -> None:
    key = await kept(bed, "models")
    root = {**key, "AWS_ACCESS_KEY_ID": s3_server.access, "AWS_SECRET_ACCESS_KEY": s3_server.secret}
    theirs = [{"Key": names.TAG_NAMESPACE, "Value": "somebody-else"}, {"Key": names.TAG_UID, "Value": "gone"}]
    boto(root).put_bucket_tagging(Bucket=key["BUCKET"], Tagging={"TagSet": theirs})

    await bed.make("Bucket", "thief", spec={"adopt": key["BUCKET"], "onDelete": "Delete"})
    message = await refused(bed, "thief", "AdoptForbidden")
    secret = await bed.get("Secret", "thief-s3", "v1")
    await bed.delete("Bucket", "thief")
    await bed.gone("Bucket", "thief")

    assert "only a Bucket in its own namespace may adopt it" in message
    assert secret is None
    assert content(root) == b"precious"
    found = boto(root).get_bucket_tagging(Bucket=key["BUCKET"])["TagSet"]
    assert sorted(found, key=lambda tag: tag["Key"]) == theirs


async def test_a_bucket_in_use_is_adopted_when_its_bucket_object_is_gone(bed: Bed) -> None:
    key = await bucket(bed, "models", onDelete="Retain")
    await bed.make("Bucket", "again", spec={"adopt": key["BUCKET"]})

    message = await refused(bed, "again", "AdoptInUse")
    assert content(key) == b"precious"
    await bed.delete("Bucket", "models")
    await bed.gone("Bucket", "models")

    await bed.phase("again", "READY", "Bucket")
    assert content(await key_of(bed, "again")) == b"precious"
    assert f"belongs to Bucket {bed.namespace}/models" in message


async def test_of_two_that_adopt_one_bucket_exactly_one_wins(bed: Bed) -> None:
    key = await kept(bed, "models")
    for name in ("one", "two"):
        await bed.make("Bucket", name, spec={"adopt": key["BUCKET"], "onDelete": "Retain"})

    async def decided() -> dict[str, str]:
        phases = {name: (await bed.get("Bucket", name) or {}).get("status", {}).get("phase") for name in ("one", "two")}
        return phases if sorted(phases.values(), key=str) == ["FAILED", "READY"] else {}

    phases = await until(decided, lambda: bed._story("Bucket", "one", "READY or FAILED"))

    winner = next(name for name, phase in phases.items() if phase == "READY")
    loser = next(name for name, phase in phases.items() if phase == "FAILED")
    assert f"belongs to Bucket {bed.namespace}/{winner}" in await refused(bed, loser, "AdoptInUse")
    assert content(await key_of(bed, winner)) == b"precious"


async def test_an_adoption_that_never_came_about_destroys_nothing(bed: Bed) -> None:
    key = await bucket(bed, "models")
    await bed.make("Bucket", "again", spec={"adopt": key["BUCKET"], "onDelete": "Delete"})
    await refused(bed, "again", "AdoptInUse")

    await bed.delete("Bucket", "again")
    await bed.gone("Bucket", "again")

    assert content(key) == b"precious"
    notes = await bed.cluster.list("events.k8s.io/v1", "Event", bed.namespace)
    assert any("was not adopted, and stays as it was" in each["note"] for each in notes)


async def test_a_bucket_whose_object_was_torn_away_is_adopted_and_its_old_key_ends(bed: Bed) -> None:
    key = await bucket(bed, "models")
    await bed.kill()
    await bed.cluster.merge(bed.ref("Bucket", "models"), {"metadata": {"finalizers": None}})
    await bed.delete("Bucket", "models")
    await bed.start()

    await bed.make("Bucket", "again", spec={"adopt": key["BUCKET"]})
    await bed.phase("again", "READY", "Bucket")

    assert content(await key_of(bed, "again")) == b"precious"
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        content(key)


async def test_the_bucket_of_an_object_volume_is_kept_with_it_and_shown_by_another(bed: Bed) -> None:
    await bed.make("StorageVolume", "own", spec={"type": "object", "onDelete": "Retain"})
    await bed.phase("own", "READY")
    key = await key_of(bed, "own")
    boto(key).put_object(Bucket=key["BUCKET"], Key="k", Body=b"precious")
    await bed.delete("StorageVolume", "own")
    await bed.gone("StorageVolume", "own")

    await bed.make("Bucket", "again", spec={"adopt": key["BUCKET"]})
    await bed.make("StorageVolume", "view", spec={"type": "object", "bucket": {"name": "again"}})

    volume = await bed.phase("view", "READY")
    assert volume["status"]["bucketName"] == key["BUCKET"]
    assert content(await key_of(bed, "again")) == b"precious"


# Shared volumes: the agent adopts, the operator says what it says.


async def test_a_refused_share_is_failed_with_the_agents_words_and_heals(bed: Bed) -> None:
    bed.agent_works = False
    spec = {"type": "shared", "size": "1Gi", "adopt": "aaaaaaaa"}
    await bed.make("StorageVolume", "data", spec=spec)
    volume = await bed.phase("data", "PROVISIONING")
    share = {"state": "Failed", "server": "moorage-nfs-0", "reason": "AdoptNotFound", "message": "no kept share"}
    metadata = {key: volume["metadata"][key] for key in ("name", "namespace", "uid")}
    body: Manifest = {"apiVersion": names.API_VERSION, "kind": "StorageVolume", "metadata": metadata}
    await bed.cluster.apply({**body, "status": {"share": share}}, sub="status", manager=names.AGENT_MANAGER)

    message = await refused(bed, "data", "AdoptNotFound", "StorageVolume")
    bed.agent_works = True

    await bed.phase("data", "READY")
    assert message == "no kept share"


async def test_a_kept_share_says_how_it_is_adopted(bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "1Gi", "onDelete": "Retain"})
    ready = await bed.phase("data", "READY")

    await bed.delete("StorageVolume", "data")
    await bed.gone("StorageVolume", "data")

    events = await bed.cluster.list("events.k8s.io/v1", "Event", bed.namespace)
    (told,) = [each["note"] for each in events if each["reason"] == "Destroyed"]
    assert f"adopt: {ready['status']['id']}" in told


async def test_a_volume_goes_to_the_server_that_lists_what_it_adopts(bed: Bed) -> None:
    one = {"id": "aaaaaaaa", "namespace": bed.namespace, "name": "x", "sizeBytes": 2**30}
    servers = [{"name": "moorage-nfs-0"}, {"name": "moorage-nfs-3", "kept": [one]}]
    body: Manifest = {"apiVersion": names.API_VERSION, "kind": "StorageBackend", "metadata": {"name": "shared"}}
    await bed.cluster.apply({**body, "status": {"servers": servers}}, sub="status", manager="moorage-agent-test")
    await bed.make("StorageVolume", "lost", spec={"type": "shared", "size": "1Gi", "adopt": "bbbbbbbb"})
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "1Gi", "adopt": "aaaaaaaa"})

    placed = await bed.phase("data", "PROVISIONING")

    message = await refused(bed, "lost", "AdoptNotFound", "StorageVolume")
    assert placed["status"]["placement"]["server"] == "moorage-nfs-3"
    assert "no server of StorageBackend shared has a kept share bbbbbbbb" in message
    lost = await bed.cluster.get(Reference(names.API_VERSION, "StorageVolume", "lost", bed.namespace))
    assert lost
    assert "placement" not in lost["status"]
