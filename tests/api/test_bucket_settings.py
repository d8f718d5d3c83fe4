"""What a Bucket's spec says, on a real engine: settings, drift, locks, what is in it, deletion. boto3 is the judge."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from bed import Bed, condition, until
from botocore.exceptions import ClientError
from filled import Key, boto, bucket, key_of

from moorage import names
from moorage.actions import Manifest, Reference, part

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")

LOCK = {"mode": "Governance", "days": 3}


def as_root(key: Key, server: Any) -> Any:
    return boto({**key, "AWS_ACCESS_KEY_ID": server.access, "AWS_SECRET_ACCESS_KEY": server.secret})


async def ready(bed: Bed, **spec: Any) -> Key:
    await bed.make("Bucket", "models", spec=spec)
    await bed.phase("models", "READY", "Bucket")
    return await key_of(bed, "models")


async def becomes(bed: Bed, check: Callable[[], Any], what: str) -> Any:
    async def found() -> Any:
        return check()

    return await until(found, lambda: bed._story("Bucket", "models", what))


async def says(bed: Bed, type: str, reason: str, name: str = "models") -> str:
    async def reached() -> str:
        found = condition(await bed.get("Bucket", name), type)
        return f"{reason}: {found['message']}" if found.get("reason") == reason else ""

    return await until(reached, lambda: bed._story("Bucket", name, f"{type} {reason}"))


async def notes(bed: Bed, reason: str) -> list[str]:
    events = await bed.cluster.list("events.k8s.io/v1", "Event", bed.namespace)
    return [each["note"] for each in events if each["reason"] == reason]


async def change(bed: Bed, **spec: Any) -> None:
    await bed.cluster.merge(bed.ref("Bucket", "models"), {"spec": spec})


async def status(bed: Bed) -> Manifest:
    return part(await bed.get("Bucket", "models"), "status")


async def shows(bed: Bed, field: str, right: Callable[[Any], Any]) -> None:
    async def shown() -> bool:
        return bool(right((await status(bed)).get(field)))

    await until(shown, lambda: bed._story("Bucket", "models", field))


def lock_of(client: Any, name: str) -> Any:
    found = client.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"]
    return found["Rule"].get("DefaultRetention", {})


def tags_of(client: Any, name: str) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in client.get_bucket_tagging(Bucket=name)["TagSet"]}


def has_cors(client: Any, name: str) -> bool:
    try:
        return bool(client.get_bucket_cors(Bucket=name)["CORSRules"])
    except ClientError:
        return False


# Settings.


async def test_what_the_spec_says_is_on_the_engine(bed: Bed, s3_server: Any) -> None:
    rule = {
        "origins": ["https://app.example.com"],
        "methods": ["GET", "PUT"],
        "headers": ["x-amz-*"],
        "expose": ["ETag"],
    }
    key = await ready(bed, versioning=True, tags={"team": "vision"}, cors=[{**rule, "maxAgeSeconds": 60}])
    root = as_root(key, s3_server)

    (cors,) = root.get_bucket_cors(Bucket=key["BUCKET"])["CORSRules"]
    assert root.get_bucket_versioning(Bucket=key["BUCKET"])["Status"] == "Enabled"
    assert tags_of(root, key["BUCKET"])["team"] == "vision"
    assert (cors["AllowedOrigins"], cors["AllowedMethods"]) == (["https://app.example.com"], ["GET", "PUT"])
    assert (cors["AllowedHeaders"], cors["ExposeHeaders"], cors["MaxAgeSeconds"]) == (["x-amz-*"], ["ETag"], 60)
    assert (await status(bed))["versioning"] == "Enabled"


async def test_what_the_spec_says_no_more_is_taken_away_and_what_it_never_said_stays(bed: Bed, s3_server: Any) -> None:
    key = await ready(bed, tags={"team": "vision", "cost": "7"}, cors=[{"origins": ["*"], "methods": ["GET"]}])
    root, name = as_root(key, s3_server), key["BUCKET"]
    theirs = [{"Key": key_, "Value": value} for key_, value in {**tags_of(root, name), "admin": "x"}.items()]
    root.put_bucket_tagging(Bucket=name, Tagging={"TagSet": theirs})

    await change(bed, tags={"cost": None}, cors=None, versioning=True)

    await becomes(bed, lambda: "cost" not in tags_of(root, name), "without tag cost")
    await becomes(bed, lambda: not has_cors(root, name), "without CORS rules")
    found = tags_of(root, name)
    assert (found["team"], found["admin"], found[names.TAG_NAMESPACE]) == ("vision", "x", bed.namespace)


async def test_versioning_is_suspended_and_old_versions_stay(bed: Bed, s3_server: Any) -> None:
    key = await ready(bed, versioning=True)
    client, name = boto(key), key["BUCKET"]
    for body in (b"1", b"2"):
        client.put_object(Bucket=name, Key="k", Body=body)

    await change(bed, versioning=False)

    suspended = lambda: as_root(key, s3_server).get_bucket_versioning(Bucket=name)["Status"] == "Suspended"  # noqa: E731
    await becomes(bed, suspended, "suspended")
    client.put_object(Bucket=name, Key="k", Body=b"3")
    bodies = [
        client.get_object(Bucket=name, Key="k", VersionId=each["VersionId"])["Body"].read()
        for each in client.list_object_versions(Bucket=name)["Versions"]
    ]
    assert sorted(bodies) == [b"1", b"2", b"3"]


async def test_nobody_reads_without_a_key_unless_asked(bed: Bed) -> None:
    key = await ready(bed)
    boto(key).put_object(Bucket=key["BUCKET"], Key="k", Body=b"open")
    url = f"{key['AWS_ENDPOINT_URL']}/{key['BUCKET']}/k"

    def asked(method: str, url: str) -> int:
        return requests.request(method, url, data=b"x" if method == "PUT" else None, timeout=5).status_code

    shut = asked("GET", url)
    await change(bed, publicRead=True)
    await becomes(bed, lambda: asked("GET", url) == 200, "public")
    listing, writing = asked("GET", f"{key['AWS_ENDPOINT_URL']}/{key['BUCKET']}"), asked("PUT", url)
    await change(bed, publicRead=False)
    await becomes(bed, lambda: asked("GET", url) == 403, "shut again")

    assert (shut, listing, writing) == (403, 403, 403)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"lifecycle": [{"prefix": "tmp/", "expireDays": 7}]}, "lifecycle"),
        ({"quota": "10Gi"}, "quota"),
        ({"lifecycle": [{"abortMultipartDays": 1}]}, "abortMultipart"),
    ],
)
async def test_what_the_engine_has_not_is_refused_before_anything_is_made(
    bed: Bed, s3_server: Any, spec: dict[str, Any], words: str
) -> None:
    await bed.make("Bucket", "models", spec=spec)

    message = await says(bed, "Provisioned", "NotOffered")

    found = await bed.phase("models", "FAILED", "Bucket")
    assert words in message
    assert "choose another StorageBackend" in message
    assert await bed.get("Secret", "models-s3", "v1") is None
    root = {"AWS_ENDPOINT_URL": s3_server.endpoint, "AWS_REGION": "us-east-1"}
    root |= {"AWS_ACCESS_KEY_ID": s3_server.access, "AWS_SECRET_ACCESS_KEY": s3_server.secret}
    assert found["status"]["bucketName"] not in [each["Name"] for each in boto(root).list_buckets()["Buckets"]]


async def test_a_ready_bucket_stays_usable_when_more_is_asked_than_the_engine_has(bed: Bed, s3_server: Any) -> None:
    key = await ready(bed)

    await change(bed, quota="10Gi", versioning=True)

    message = await says(bed, "Configured", "NotOffered")
    versioned = lambda: as_root(key, s3_server).get_bucket_versioning(Bucket=key["BUCKET"]).get("Status")  # noqa: E731
    await becomes(bed, lambda: versioned() == "Enabled", "versioned nevertheless")
    assert "quota" in message
    assert (await status(bed))["phase"] == "READY"
    await change(bed, quota=None)
    await says(bed, "Configured", "Configured")


# Region.


async def test_a_region_chooses_the_backend_and_one_that_does_not_fit_is_refused(bed: Bed) -> None:
    backend = await bed.get("StorageBackend", "object")
    assert backend
    engine = {**backend["spec"]["engine"]["s3"], "region": "eu-north-1"}
    await bed.make("StorageBackend", "north", spec={"engine": {"s3": engine}})
    await bed.make("Bucket", "cold", spec={"region": "eu-north-1"})
    await bed.make("Bucket", "warm", spec={"region": "us-east-1"})
    await bed.make("Bucket", "wrong", spec={"region": "eu-north-1", "backend": "object"})
    await bed.make("Bucket", "nowhere", spec={"region": "mars-1"})

    async def placed(name: str) -> str:
        return part(await bed.get("Bucket", name), "status", "placement").get("backend", "")

    async def both() -> bool:
        return [await placed("cold"), await placed("warm")] == ["north", "object"]

    await until(both, lambda: bed._story("Bucket", "cold", "placed"))
    mismatch = await says(bed, "Provisioned", "RegionMismatch", "wrong")
    missing = await says(bed, "Provisioned", "NoBackend", "nowhere")
    assert "is in region us-east-1, not in eu-north-1" in mismatch
    assert "no StorageBackend with engine s3 is in region mars-1" in missing


# Drift.


async def test_what_somebody_changes_on_the_engine_is_told_and_put_back(bed: Bed, s3_server: Any) -> None:
    key = await ready(bed, versioning=True, tags={"team": "vision"})
    root, name = as_root(key, s3_server), key["BUCKET"]

    root.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    root.put_bucket_tagging(Bucket=name, Tagging={"TagSet": []})
    everybody = {"Sid": "X", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
    policy = {"Version": "2012-10-17", "Statement": [{**everybody, "Resource": f"arn:aws:s3:::{name}/*"}]}
    root.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))

    def put_back() -> bool:
        found = tags_of(root, name) if root.get_bucket_versioning(Bucket=name)["Status"] == "Enabled" else {}
        return found.get("team") == "vision" and '"X"' not in root.get_bucket_policy(Bucket=name)["Policy"]

    await becomes(bed, put_back, "put back")

    async def told() -> str:
        return "\n".join(await notes(bed, "Drifted"))

    told_ = await until(told, lambda: bed._story("Bucket", "models", "Drifted"))
    assert "versioning was off and is on again" in told_
    assert "tag team was gone and is there again" in told_
    assert "who may use it" in told_
    await shows(bed, "drift", lambda drift: drift and drift["what"])  # the Event comes first


async def test_a_second_drift_is_told_too_and_a_calm_bucket_tells_nothing(bed: Bed, s3_server: Any) -> None:
    key = await ready(bed, versioning=True)
    root, name = as_root(key, s3_server), key["BUCKET"]

    for count in (1, 2):
        root.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})

        async def told(count: int = count) -> bool:
            return len(await notes(bed, "Drifted")) == count

        await until(told, lambda: bed._story("Bucket", "models", "Drifted"))
        await becomes(bed, lambda: root.get_bucket_versioning(Bucket=name)["Status"] == "Enabled", "Enabled")

    before = await bed.get("Bucket", "models")
    await bed.make("Bucket", "calm", spec={"versioning": True, "tags": {"a": "b"}})
    await bed.phase("calm", "READY", "Bucket")
    await bed.make("Bucket", "later", spec={})
    await bed.phase("later", "READY", "Bucket")  # some resyncs later
    assert await notes(bed, "Drifted") == [each for each in await notes(bed, "Drifted") if "models-" in each]
    assert part(before, "status", "drift")["what"] == "versioning was off and is on again"


async def test_cors_rules_of_an_admin_key_are_no_drift(bed: Bed, s3_server: Any) -> None:
    key = await ready(bed)
    root, name = as_root(key, s3_server), key["BUCKET"]
    rules = {"CORSRules": [{"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}]}
    root.put_bucket_cors(Bucket=name, CORSConfiguration=rules)

    await change(bed, tags={"a": "b"})
    await becomes(bed, lambda: tags_of(root, name).get("a") == "b", "tagged")

    assert root.get_bucket_cors(Bucket=name)["CORSRules"][0]["AllowedOrigins"] == ["*"]
    assert await notes(bed, "Drifted") == []


async def test_a_bucket_that_somebody_removed_is_made_again_and_the_loss_is_told(bed: Bed, s3_server: Any) -> None:
    key = await ready(bed, versioning=True)
    root, name = as_root(key, s3_server), key["BUCKET"]

    root.delete_bucket(Bucket=name)

    async def told() -> str:
        return "".join(await notes(bed, "Drifted"))

    assert "it was gone with all that was in it" in await until(told, lambda: bed._story("Bucket", "models", "Drifted"))
    await becomes(bed, lambda: name in [each["Name"] for each in root.list_buckets()["Buckets"]], "there again")
    works = lambda: boto(key).put_object(Bucket=name, Key="k", Body=b"1")  # noqa: E731
    assert works()


# Locks.


async def test_a_lock_is_set_and_what_a_tenant_writes_is_stamped(bed: Bed, s3_server: Any) -> None:
    key = await ready(bed, versioning=True, objectLock={"mode": "Compliance", "days": 3})
    root, client, name = as_root(key, s3_server), boto(key), key["BUCKET"]
    client.put_object(Bucket=name, Key="dir/run 1+%ü", Body=b"1")
    version = client.list_object_versions(Bucket=name)["Versions"][0]

    def stamped() -> Any:
        try:
            return root.get_object_retention(Bucket=name, Key=version["Key"], VersionId=version["VersionId"])[
                "Retention"
            ]
        except ClientError:
            return None

    found = await becomes(bed, stamped, "stamped")
    await says(bed, "ObjectLockEnforced", "Stamped")

    assert lock_of(root, name) == {"Mode": "COMPLIANCE", "Days": 3}
    assert found["Mode"] == "COMPLIANCE"
    assert abs(found["RetainUntilDate"] - (version["LastModified"] + timedelta(days=3))) < timedelta(seconds=2)
    root.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    with pytest.raises(ClientError, match="AccessDenied"):  # the hole: a rule that was taken away frees nothing
        root.delete_object(
            Bucket=name, Key=version["Key"], VersionId=version["VersionId"], BypassGovernanceRetention=True
        )


async def test_a_lock_that_somebody_loosens_is_put_back_and_one_made_stricter_stays(bed: Bed, s3_server: Any) -> None:
    key = await ready(bed, versioning=True, objectLock=LOCK)
    root, name = as_root(key, s3_server), key["BUCKET"]

    root.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    await becomes(bed, lambda: lock_of(root, name) == {"Mode": "GOVERNANCE", "Days": 3}, "locked again")
    stricter = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 2}}}
    root.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=stricter)
    await becomes(bed, lambda: lock_of(root, name) == {"Mode": "COMPLIANCE", "Days": 3}, "stricter of both")

    async def told() -> bool:
        return len(await notes(bed, "Drifted")) == 2

    await until(told, lambda: bed._story("Bucket", "models", "Drifted"))
    assert "the lock was off and is Governance for 3 days again" in "\n".join(await notes(bed, "Drifted"))
    await shows(bed, "lockMode", "Compliance".__eq__)  # the Event comes first


async def test_a_lock_grows_and_never_shrinks(bed: Bed, s3_server: Any) -> None:
    key = await ready(bed, versioning=True, objectLock=LOCK)
    root, name = as_root(key, s3_server), key["BUCKET"]

    await change(bed, objectLock={"mode": "Compliance", "days": 5})
    await becomes(bed, lambda: lock_of(root, name) == {"Mode": "COMPLIANCE", "Days": 5}, "5 days")

    for spec, words in (
        ({"objectLock": {"days": 4}}, "objectLock.days only grows"),
        ({"objectLock": {"mode": "Governance"}}, "from Governance to Compliance, never back"),
        ({"objectLock": None}, "objectLock is set at creation and never added or removed"),
        ({"versioning": False}, "objectLock needs versioning: true"),
    ):
        with pytest.raises(Exception, match=words):
            await change(bed, **spec)


async def test_a_locked_bucket_is_deleted_when_its_last_lock_ends_and_says_when(bed: Bed) -> None:
    key = await bucket(bed, versioning=True, objectLock=LOCK)

    await bed.delete("Bucket", "models")
    message = await says(bed, "DeletionBlocked", "ObjectLocked")

    ends = datetime.now(UTC) + timedelta(days=3)
    assert ends.strftime("%Y-%m-%dT") in message
    assert "onDelete: Retain" in message
    assert boto(key).get_object(Bucket=key["BUCKET"], Key="k")["Body"].read() == b"precious"
    await change(bed, onDelete="Retain")
    await bed.gone("Bucket", "models")


# What is in it, and deletion.


async def test_a_bucket_that_is_not_empty_is_not_deleted_until_somebody_says_so(bed: Bed) -> None:
    key = await bucket(bed, emptyOnDelete=False)

    await bed.delete("Bucket", "models")
    message = await says(bed, "DeletionBlocked", "NotEmpty")

    assert "is not empty (1 object or version)" in message
    assert boto(key).get_object(Bucket=key["BUCKET"], Key="k")["Body"].read() == b"precious"
    assert "DeletionBlocked" in await bed.events("models", "Bucket")
    await change(bed, emptyOnDelete=True)
    await bed.gone("Bucket", "models")


async def test_a_bucket_goes_when_its_tenant_has_emptied_it(bed: Bed) -> None:
    key = await bucket(bed, versioning=True, emptyOnDelete=False)
    client, name = boto(key), key["BUCKET"]
    client.delete_object(Bucket=name, Key="k")
    client.create_multipart_upload(Bucket=name, Key="unfinished")
    await bed.delete("Bucket", "models")
    await says(bed, "DeletionBlocked", "NotEmpty")

    for each in client.list_object_versions(Bucket=name)["Versions"]:
        client.delete_object(Bucket=name, Key="k", VersionId=each["VersionId"])

    await bed.gone("Bucket", "models")  # a delete marker and an unfinished upload are nothing to keep


async def test_objects_and_bytes_are_counted_old_versions_too(bed: Bed) -> None:
    key = await ready(bed, versioning=True)
    client, name = boto(key), key["BUCKET"]
    for number in range(3):
        client.put_object(Bucket=name, Key=f"k{number}", Body=b"x" * 10)
    client.put_object(Bucket=name, Key="k0", Body=b"x" * 5)
    client.delete_object(Bucket=name, Key="k1")

    async def counted() -> bool:
        found = await status(bed)
        return (found.get("objects"), found.get("bytes")) == (4, 35)

    await until(counted, lambda: bed._story("Bucket", "models", "counted"))
    assert (await status(bed))["usageAt"]


async def test_an_adopted_bucket_keeps_the_lock_that_it_has(bed: Bed, s3_server: Any) -> None:
    old = await bucket(bed, versioning=True, objectLock=LOCK, onDelete="Retain")
    await bed.delete("Bucket", "models")
    await bed.gone("Bucket", "models")

    await bed.make("Bucket", "models", spec={"adopt": old["BUCKET"]})
    await bed.phase("models", "READY", "Bucket")

    root = as_root(old, s3_server)
    assert lock_of(root, old["BUCKET"]) == {"Mode": "GOVERNANCE", "Days": 3}
    await says(bed, "ObjectLockEnforced", "Stamped")
    assert (await status(bed))["lockDays"] == 3


# Sharing.


async def test_a_volume_of_another_namespace_shows_a_bucket_that_is_shared_with_it(bed: Bed) -> None:
    key = await bucket(bed)
    elsewhere = f"{bed.namespace}-too"
    await bed.cluster._call("POST", "/api/v1/namespaces", {"metadata": {"name": elsewhere}})
    metadata = {"name": "view", "namespace": elsewhere}
    spec = {"type": "object", "bucket": {"name": "models", "namespace": bed.namespace}}
    made = {"apiVersion": names.API_VERSION, "kind": "StorageVolume", "metadata": metadata, "spec": spec}
    ref = Reference(names.API_VERSION, "StorageVolume", "view", elsewhere)
    await bed.cluster.create(made)

    async def seen(phase: str) -> Manifest | None:
        found = await bed.cluster.get(ref)
        return found if part(found, "status").get("phase") == phase else None

    waiting = await until(lambda: seen("PENDING"), lambda: bed._story("Bucket", "models", "not shared"))
    await change(bed, share={"from": "Names", "names": [elsewhere]})
    volume = await until(lambda: seen("READY"), lambda: bed._story("Bucket", "models", "shared"))
    await change(bed, share=None)
    withdrawn = await until(lambda: seen("PENDING"), lambda: bed._story("Bucket", "models", "withdrawn"))
    await change(bed, share={"from": "Names", "names": [elsewhere]})
    again = await until(lambda: seen("READY"), lambda: bed._story("Bucket", "models", "shared again"))
    await bed.delete("Bucket", "models")
    held = await says(bed, "DeletionBlocked", "InUse")

    assert condition(waiting, "Provisioned")["reason"] == "NotShared"
    assert condition(withdrawn, "Provisioned")["reason"] == "NotShared", "the node plugin refuses new mounts by this"
    assert again["status"]["attributes"] == volume["status"]["attributes"]
    assert volume["status"]["bucketName"] == key["BUCKET"]
    assert volume["status"]["secretRef"] == {"name": "models-s3", "namespace": bed.namespace}
    assert f"StorageVolume {elsewhere}/view" in held
    await bed.cluster.delete(ref)
    await bed.gone("Bucket", "models")


async def test_a_bucket_that_is_not_there_and_one_that_is_not_shared_read_the_same(bed: Bed) -> None:
    elsewhere = f"{bed.namespace}-too"
    await bed.cluster._call("POST", "/api/v1/namespaces", {"metadata": {"name": elsewhere}})
    await bucket(bed)
    told: list[str] = []
    for name in ("models", "nothing"):
        metadata = {"name": f"view-{name}", "namespace": elsewhere}
        spec = {"type": "object", "bucket": {"name": name, "namespace": bed.namespace}}
        body = {"apiVersion": names.API_VERSION, "kind": "StorageVolume", "metadata": metadata, "spec": spec}
        await bed.cluster.create(body)
        ref = Reference(names.API_VERSION, "StorageVolume", metadata["name"], elsewhere)

        async def said(ref: Reference = ref) -> str:
            return condition(await bed.cluster.get(ref), "Provisioned").get("message", "")

        told.append((await until(said, lambda: bed._story("Bucket", "models", "told"))).replace(f"/{name} ", "/X "))

    assert told[0] == told[1]
