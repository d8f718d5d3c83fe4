import pytest

from moorage.bucketsettings import BucketSettings
from moorage.features import MEANING, ROWS, Feature, features, lacking, told
from moorage.model import CorsRule, LifecycleRule, LockMode, Method, ObjectLock, S3Engine, S3Flavor


def engine(flavor: str, **more: object) -> S3Engine:
    secret = {"name": "root", "namespace": "moorage"}
    return S3Engine.model_validate(
        {"flavor": flavor, "endpoint": "http://s3:9000", "adminEndpoint": "http://s3:9001", "credentialsSecret": secret}
        | more
    )


def test_every_flavor_has_a_row_and_every_feature_a_meaning() -> None:
    assert set(ROWS) == set(S3Flavor)
    assert set(MEANING) == set(Feature)


def test_what_is_lacking_is_named_with_what_to_do() -> None:
    why = lacking(engine("versitygw"), {Feature.quota, Feature.tags})

    assert why == (
        "engine versitygw has no quota (refuses writes beyond a size of the bucket):"
        " leave it out, or choose another StorageBackend"
    )
    assert lacking(engine("minio"), {Feature.quota, Feature.tags}) == ""


def test_an_administrator_can_say_what_a_server_lacks() -> None:
    plain = engine("s3", lacks=["cors", "lifecycle"])

    assert features(engine("s3")) - features(plain) == {Feature.cors, Feature.lifecycle}
    assert "cors" not in told(plain)


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        (BucketSettings(), set[Feature]()),
        (BucketSettings(versioning=True), {Feature.versioning}),
        (
            BucketSettings(lock=ObjectLock(mode=LockMode.Compliance, days=3), versioning=True),
            {Feature.versioning, Feature.object_lock},
        ),
        (BucketSettings(lifecycle=(LifecycleRule(expire_days=1),)), {Feature.lifecycle}),
        (
            BucketSettings(lifecycle=(LifecycleRule(abort_multipart_days=1),)),
            {Feature.lifecycle, Feature.abort_multipart},
        ),
        (BucketSettings(cors=(CorsRule(origins=("*",), methods=(Method.GET,)),)), {Feature.cors}),
        (BucketSettings(quota=0), {Feature.quota}),
    ],
)
def test_settings_name_what_they_need(settings: BucketSettings, needed: set[Feature]) -> None:
    assert settings.needs == needed
