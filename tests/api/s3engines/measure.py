"""What a server really does of each feature, asked by boto3 with the root key."""

import contextlib
import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

import requests
from botocore.exceptions import ClientError

from moorage.features import Feature
from s3engines.server import Server


def measured(server: Server) -> frozenset[Feature]:
    """Those that a client can see; quota, keys and usage are the engine modules' to show."""
    return frozenset(each for each, ask in ASK.items() if _holds(ask, server, each))


def _holds(ask: Callable[[Any, str, Server], bool], server: Server, feature: Feature) -> bool:
    client, bucket = server.boto(), f"row-{feature.value.lower()}"
    with contextlib.suppress(ClientError):
        lock = {"ObjectLockEnabledForBucket": True} if "lock" in bucket else {}
        client.create_bucket(Bucket=bucket, **lock)
        return ask(client, bucket, server)
    return False


def _versioning(client: Any, bucket: str, server: Server) -> bool:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        client.put_object(Bucket=bucket, Key="k", Body=body)
    return len(client.list_object_versions(Bucket=bucket).get("Versions", ())) == 2


def _object_lock(client: Any, bucket: str, server: Server) -> bool:
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    held = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
    version = client.put_object(Bucket=bucket, Key="k", Body=b"1", ChecksumAlgorithm="SHA256", **held).get("VersionId")
    if version is None:
        return False
    try:
        client.delete_object(Bucket=bucket, Key="k", VersionId=version)
    except ClientError:
        return True
    return False


def _lock_stamped(client: Any, bucket: str, server: Server) -> bool:
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
    client.put_object(Bucket=bucket, Key="k", Body=b"1", ChecksumAlgorithm="SHA256")
    return client.get_object_retention(Bucket=bucket, Key="k")["Retention"]["Mode"] == "GOVERNANCE"


def _tags(client: Any, bucket: str, server: Server) -> bool:
    tags = {"TagSet": [{"Key": "k", "Value": "v"}]}
    client.put_bucket_tagging(Bucket=bucket, Tagging=tags)
    client.put_object(Bucket=bucket, Key="k", Body=b"1")
    client.put_object_tagging(Bucket=bucket, Key="k", Tagging=tags)
    found = client.get_bucket_tagging(Bucket=bucket), client.get_object_tagging(Bucket=bucket, Key="k")
    return [each["TagSet"] for each in found] == [tags["TagSet"]] * 2


def _lifecycle(client: Any, bucket: str, server: Server) -> bool:
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}}
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    (found,) = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return found["Expiration"]["Days"] == 3


def _abort_multipart(client: Any, bucket: str, server: Server) -> bool:
    abort = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, **abort}
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    (found,) = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return found.get("AbortIncompleteMultipartUpload") == {"DaysAfterInitiation": 3}


def _cors(client: Any, bucket: str, server: Server) -> bool:
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.example"]}
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    answer = requests.options(f"{server.endpoint}/{bucket}/k", headers=asked, timeout=10)
    return answer.headers.get("Access-Control-Allow-Origin") == "https://a.example"


def _public_read(client: Any, bucket: str, server: Server) -> bool:
    url = f"{server.endpoint}/{bucket}/k"
    client.put_object(Bucket=bucket, Key="k", Body=b"1")
    if requests.get(url, timeout=10).ok:
        return False  # nobody asked for it
    read = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{bucket}/*"]}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [read]}))
    return requests.get(url, timeout=10).ok and not requests.get(f"{server.endpoint}/{bucket}", timeout=10).ok


def _conditional_writes(client: Any, bucket: str, server: Server) -> bool:
    tag = client.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    refused: list[str] = []
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"' + "0" * 32 + '"'}):
        try:
            client.put_object(Bucket=bucket, Key="k", Body=b"2", **condition)
        except ClientError as error:
            refused.append(error.response["Error"]["Code"])
    client.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=tag)
    return refused == ["PreconditionFailed"] * 2


def _part_copy(client: Any, bucket: str, server: Server) -> bool:
    client.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    upload = client.create_multipart_upload(Bucket=bucket, Key="c")["UploadId"]
    where = {"Bucket": bucket, "Key": "c", "UploadId": upload}
    copied = client.upload_part_copy(**where, PartNumber=1, CopySource=f"{bucket}/k", CopySourceRange="bytes=2-5")
    parts = {"Parts": [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]}
    client.complete_multipart_upload(**where, MultipartUpload=parts)
    return client.get_object(Bucket=bucket, Key="c")["Body"].read() == b"2345"


def _metadata(client: Any, bucket: str, server: Server) -> bool:
    client.put_object(Bucket=bucket, Key="k", Body=b"1", Metadata={"mode": "420"})
    client.put_object(Bucket=bucket, Key="folder/", Body=b"", Metadata={"mode": "493"})
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
    if "folder/" not in keys:
        return False
    kept = [client.head_object(Bucket=bucket, Key=key).get("Metadata") for key in ("k", "folder/")]
    return kept == [{"mode": "420"}, {"mode": "493"}]


def _slash_conflict(client: Any, bucket: str, server: Server) -> bool:
    client.put_object(Bucket=bucket, Key="a", Body=b"1")
    try:
        client.put_object(Bucket=bucket, Key="a/b", Body=b"2")
    except ClientError:
        return True
    return client.get_object(Bucket=bucket, Key="a")["Body"].read() != b"1"


ASK: Mapping[Feature, Callable[[Any, str, Server], bool]] = {
    Feature.versioning: _versioning,
    Feature.object_lock: _object_lock,
    Feature.lock_stamped: _lock_stamped,
    Feature.tags: _tags,
    Feature.lifecycle: _lifecycle,
    Feature.abort_multipart: _abort_multipart,
    Feature.cors: _cors,
    Feature.public_read: _public_read,
    Feature.conditional_writes: _conditional_writes,
    Feature.part_copy: _part_copy,
    Feature.metadata: _metadata,
    Feature.slash_conflict: _slash_conflict,
}
