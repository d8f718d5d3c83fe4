"""A bucket's policy, read as an engine reads it."""

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from moorage.bucketpolicy import MAX_KEYS, Grant, bucket_policy, owner_policy, user_policy
from moorage.model.access import Access

BUCKET, OBJECT = "arn:aws:s3:::models-abc", "arn:aws:s3:::models-abc/k"
READ = ["GetObject", "GetObjectVersion", "GetObjectTagging"]
WRITE = ["PutObject", "DeleteObject", "DeleteObjectVersion", "AbortMultipartUpload", "PutObjectTagging"]
SETTINGS = ["PutBucketVersioning", "PutBucketCORS", "PutLifecycleConfiguration"]
NEVER = [
    *("PutBucketPolicy", "DeleteBucketPolicy", "GetBucketPolicy", "PutBucketObjectLockConfiguration", "DeleteBucket"),
    *(
        "PutBucketAcl",
        "PutBucketTagging",
        "GetBucketTagging",
        "PutBucketOwnershipControls",
        "PutBucketPublicAccessBlock",
    ),
]
NEVER_ON_OBJECTS = ["PutObjectAcl", "BypassGovernanceRetention", "PutObjectRetention", "PutObjectLegalHold"]


def allows(policy: str, who: str, action: str, resource: str) -> bool:
    found: list[dict[str, Any]] = json.loads(policy)["Statement"]
    return any(
        (each["Principal"] == "*" or who in each["Principal"]["AWS"])
        and f"s3:{action}" in each["Action"]
        and any(fnmatchcase(resource, pattern) for pattern in each["Resource"])
        for each in found
    )


@pytest.fixture
def policy() -> str:
    keys = {"OWNER": Access.ReadWrite, "READER": Access.ReadOnly, "ADMIN": Access.Admin}
    return bucket_policy("models-abc", keys)


@pytest.mark.parametrize("action", READ)
def test_all_keys_read_objects(policy: str, action: str) -> None:
    assert [allows(policy, who, action, OBJECT) for who in ("OWNER", "READER", "ADMIN", "STRANGER")] == [True] * 3 + [
        False
    ]


@pytest.mark.parametrize("action", WRITE)
def test_a_reader_writes_nothing(policy: str, action: str) -> None:
    assert [allows(policy, who, action, OBJECT) for who in ("OWNER", "READER", "ADMIN")] == [True, False, True]


@pytest.mark.parametrize("action", SETTINGS)
def test_only_an_admin_changes_settings(policy: str, action: str) -> None:
    assert [allows(policy, who, action, BUCKET) for who in ("OWNER", "READER", "ADMIN")] == [False, False, True]


@pytest.mark.parametrize("action", NEVER)
def test_nobody_changes_what_guards_the_bucket(policy: str, action: str) -> None:
    assert not any(allows(policy, who, action, BUCKET) for who in ("OWNER", "READER", "ADMIN"))


@pytest.mark.parametrize("action", NEVER_ON_OBJECTS)
def test_nobody_changes_what_guards_objects(policy: str, action: str) -> None:
    assert not any(allows(policy, who, action, OBJECT) for who in ("OWNER", "READER", "ADMIN"))
    assert "*" not in "".join(action for each in json.loads(policy)["Statement"] for action in each["Action"])


def test_no_other_bucket_is_opened(policy: str) -> None:
    assert not allows(policy, "OWNER", "GetObject", "arn:aws:s3:::models-abcd/k")
    assert not allows(policy, "OWNER", "ListBucket", "arn:aws:s3:::models-abcd")


def test_who_may_read_everything_is_everybody_only_when_asked() -> None:
    public = bucket_policy("models-abc", {"OWNER": Access.ReadWrite}, public_read=True)

    assert allows(public, "STRANGER", "GetObject", OBJECT)
    assert not allows(public, "STRANGER", "ListBucket", BUCKET)
    assert not allows(owner_policy("models-abc", "OWNER"), "STRANGER", "GetObject", OBJECT)


def test_the_order_of_the_keys_does_not_matter_and_no_key_means_no_policy() -> None:
    keys = {"B": Access.ReadOnly, "A": Access.Admin}

    assert bucket_policy("b", keys) == bucket_policy("b", dict(sorted(keys.items())))
    assert bucket_policy("b", {}) == ""


def test_a_policy_with_as_many_keys_as_there_may_be_is_accepted_anywhere() -> None:
    crowd = {f"MO{number:018}": Access.ReadOnly for number in range(2 * MAX_KEYS)}

    assert len(bucket_policy("b" * 63, crowd)) < 20_000  # S3's own bound: 20 KB


def test_forty_slots_fit_into_an_extended_attribute_of_ext4() -> None:
    crowd = {f"MO{number:018}": Access.ReadOnly for number in range(40)}

    assert len(bucket_policy("models-7f3k9x2a", crowd | {"OWNER": Access.ReadWrite})) < 3000


def test_a_users_own_policy_has_its_buckets_and_no_principals() -> None:
    text = user_policy([Grant("b", Access.ReadOnly), Grant("a", Access.Admin)])

    found = json.loads(text)["Statement"]
    assert [each["Resource"][0] for each in found] == ["arn:aws:s3:::a"] * 3 + ["arn:aws:s3:::b"]
    assert not any("Principal" in each for each in found)
