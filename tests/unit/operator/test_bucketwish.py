"""What a bucket shall be, and what of it somebody has changed."""

from typing import Any

import pytest

from moorage import bucketwish
from moorage.bucketowner import Owner
from moorage.bucketsettings import BucketSettings
from moorage.bucketwish import Look
from moorage.model import BucketSpec, BucketStatus, CorsRule, LockMode, ObjectLock, S3Engine

OWNER = Owner("ns", "models", "uid")
CORS = (CorsRule.model_validate({"origins": ["*"], "methods": ["GET"]}),)


def engine(flavor: str = "versitygw") -> S3Engine:
    return S3Engine.model_validate(
        {
            "flavor": flavor,
            "endpoint": "http://s3:7070",
            "adminEndpoint": "http://s3:7071",
            "credentialsSecret": {"name": "root", "namespace": "moorage"},
        }
    )


def lock(mode: str, days: int) -> ObjectLock:
    return ObjectLock(mode=LockMode(mode), days=days)


def wish(look: Look | None = None, status: dict[str, Any] | None = None, **spec: Any) -> bucketwish.Wish:
    parsed, known = BucketSpec.model_validate(spec), BucketStatus.model_validate(status or {})
    return bucketwish.wish(parsed, known, engine(), OWNER, look)


def seen(tags: dict[str, str] | None = None, **settings: Any) -> Look:
    return Look(BucketSettings(**settings), {**OWNER.tags, **(tags or {})})


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (None, None, None),
        (lock("Governance", 3), None, lock("Governance", 3)),
        (None, lock("Compliance", 1), lock("Compliance", 1)),
        (lock("Governance", 9), lock("Compliance", 1), lock("Compliance", 9)),
        (lock("Compliance", 2), lock("Compliance", 5), lock("Compliance", 5)),
    ],
)
def test_of_two_locks_the_stricter_of_each_part_holds(
    one: ObjectLock | None, other: ObjectLock | None, both: ObjectLock | None
) -> None:
    assert bucketwish.stricter(one, other) == both


def test_a_lock_on_the_engine_is_kept_though_the_spec_has_none_and_versioning_with_it() -> None:
    wanted = wish(seen(versioning=True, lock=lock("Governance", 3)))

    assert wanted.settings.lock == lock("Governance", 3)
    assert wanted.settings.versioning


def test_a_lock_that_the_bucket_once_had_comes_back() -> None:
    wanted = wish(seen(versioning=True), {"lockMode": "Compliance", "lockDays": 7})

    assert wanted.settings.lock == lock("Compliance", 7)


def test_cors_rules_that_the_spec_never_had_stay() -> None:
    assert wish(seen(cors=CORS)).settings.cors == CORS


def test_cors_rules_that_the_spec_had_once_go() -> None:
    assert wish(seen(cors=CORS), {"setFields": ["cors"]}).settings.cors == ()


def test_tags_of_the_spec_that_are_gone_are_dropped_and_those_of_others_are_not() -> None:
    wanted = wish(seen({"cost": "7", "admin": "x"}), {"tagKeys": ["cost", "team"]}, tags={"team": "vision"})

    assert wanted.dropped == {"cost"}
    assert wanted.tags == {**OWNER.tags, "team": "vision"}


def test_what_the_engine_has_not_is_left_out_of_what_is_done() -> None:
    wanted = wish(None, quota="1Gi", lifecycle=[{"expireDays": 3}], versioning=True)

    assert wanted.settings == BucketSettings(versioning=True)


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"quota": "1Gi"}, "quota"),
        ({"lifecycle": [{"expireDays": 3}]}, "lifecycle"),
        ({"lifecycle": [{"abortMultipartDays": 3}]}, "abortMultipart"),
    ],
)
def test_what_the_engine_has_not_is_refused_by_name(spec: dict[str, Any], word: str) -> None:
    problem = bucketwish.refused(BucketSpec.model_validate(spec), "object", engine())

    assert problem
    assert problem.reason == "NotOffered"
    assert f" {word} " in problem.message
    assert problem.message.startswith("StorageBackend object: ")


def test_what_the_engine_has_is_not_refused() -> None:
    spec = {
        "versioning": True,
        "tags": {"a": "b"},
        "publicRead": True,
        "cors": [{"origins": ["*"], "methods": ["GET"]}],
    }

    assert bucketwish.refused(BucketSpec.model_validate(spec), "object", engine()) is None
    assert bucketwish.refused(BucketSpec.model_validate(spec), "object", engine("aistore"))


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (seen({"team": "vision"}, versioning=True), ()),
        (seen({"team": "vision"}), ("versioning was off and is on again",)),
        (seen(versioning=True), ("tag team was gone and is there again",)),
        (seen({"team": "other"}, versioning=True), ("tag team was changed and is 'vision' again",)),
        (
            Look(BucketSettings(versioning=True), {**OWNER.tags, "team": "vision"}, access=False),
            ("the rules of who may use it were changed and are as they shall be again",),
        ),
        (seen({"team": "vision", "admin": "x"}, versioning=True, cors=CORS), ()),
    ],
)
def test_drift_names_what_was_changed_and_nothing_else(look: Look, words: tuple[str, ...]) -> None:
    assert bucketwish.drift(wish(look, versioning=True, tags={"team": "vision"}), look) == words


def test_a_looser_lock_is_drift() -> None:
    look = seen(versioning=True, lock=lock("Governance", 3))

    found = bucketwish.drift(wish(look, versioning=True, objectLock={"mode": "Compliance", "days": 30}), look)

    assert found == ("the lock was Governance for 3 days and is Compliance for 30 days again",)
