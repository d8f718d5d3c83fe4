import json

import pytest

from moorage.bucketpolicy import owner_policy

POLICY = json.loads(owner_policy("models-abc", "MOKEY"))
ALLOWED = {action for statement in POLICY["Statement"] for action in statement["Action"]}


def test_only_this_key_is_let_in_and_only_here() -> None:
    assert {tuple(each["Principal"]["AWS"]) for each in POLICY["Statement"]} == {("MOKEY",)}
    assert {each["Resource"] for each in POLICY["Statement"]} == {
        "arn:aws:s3:::models-abc",
        "arn:aws:s3:::models-abc/*",
    }


@pytest.mark.parametrize(
    "action",
    ["GetObject", "PutObject", "DeleteObject", "DeleteObjectVersion", "AbortMultipartUpload", "PutObjectTagging"],
)
def test_objects_may_be_worked_with(action: str) -> None:
    assert f"s3:{action}" in ALLOWED


@pytest.mark.parametrize(
    "action",
    ["PutBucketPolicy", "DeleteBucketPolicy", "PutBucketObjectLockConfiguration", "PutBucketVersioning", "DeleteBucket",
     "PutBucketAcl", "PutObjectAcl", "BypassGovernanceRetention", "PutObjectRetention", "PutObjectLegalHold"],
)  # fmt: skip
def test_settings_may_not_be_changed(action: str) -> None:
    assert f"s3:{action}" not in ALLOWED
    assert not any("*" in each for each in ALLOWED)
