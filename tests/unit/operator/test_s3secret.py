"""The Secret of a key, as tools read it."""

import base64
import configparser

import pytest

from moorage import duration, s3secret
from moorage.errors import InvalidInput
from moorage.model import S3Engine
from moorage.s3secret import KeyText


def engine(endpoint: str) -> S3Engine:
    root = {"name": "root", "namespace": "moorage"}
    return S3Engine.model_validate({"endpoint": endpoint, "adminEndpoint": "http://s3:7071", "credentialsSecret": root})


def plain(text: KeyText) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in s3secret.data(text).items()}


def test_tools_find_what_they_look_for() -> None:
    found = plain(KeyText(engine("http://s3.moorage.svc:7070"), ("models-id", "data-id"), "ACCESS", "half"))

    assert {key: value for key, value in found.items() if key not in ("rclone.conf", "s3cfg")} == {
        "AWS_ACCESS_KEY_ID": "ACCESS",
        "AWS_SECRET_ACCESS_KEY": "half",
        "AWS_ENDPOINT_URL": "http://s3.moorage.svc:7070",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "BUCKET": "models-id",
        "BUCKETS": "models-id,data-id",
        "S3_ENDPOINT": "s3.moorage.svc:7070",
        "S3_USE_HTTPS": "0",
    }


def test_one_bucket_needs_no_list_and_a_ca_is_handed_on() -> None:
    found = plain(KeyText(engine("https://s3.example.com"), ("models-id",), "ACCESS", "half", "PEM"))

    assert "BUCKETS" not in found
    assert (found["S3_USE_HTTPS"], found["ca.crt"]) == ("1", "PEM")


def test_the_configurations_say_the_same() -> None:
    found = plain(KeyText(engine("https://s3.example.com:8443"), ("models-id",), "ACCESS", "half"))
    rclone, s3cmd = configparser.RawConfigParser(), configparser.RawConfigParser()
    rclone.read_string(found["rclone.conf"])
    s3cmd.read_string(found["s3cfg"])

    assert rclone["moorage"]["endpoint"] == "https://s3.example.com:8443"
    assert (rclone["moorage"]["access_key_id"], rclone["moorage"]["secret_access_key"]) == ("ACCESS", "half")
    assert (s3cmd["default"]["host_base"], s3cmd["default"]["use_https"]) == ("s3.example.com:8443", "True")


def test_a_server_that_wants_buckets_in_the_host_name_gets_them_there() -> None:
    root = {"name": "root", "namespace": "moorage"}
    where = {"endpoint": "http://s3.example.com:7070", "adminEndpoint": "http://s3:7071", "pathStyle": False}
    spec = S3Engine.model_validate({**where, "virtualHostDomain": "s3.example.com", "credentialsSecret": root})
    found = plain(KeyText(spec, ("models-id",), "ACCESS", "half"))

    assert "host_bucket = %(bucket)s.s3.example.com:7070\n" in found["s3cfg"]
    assert "force_path_style = false\n" in found["rclone.conf"]


@pytest.mark.parametrize(
    ("access", "half", "wanted"),
    [
        ("ACCESS", "a-half-that-is-long-enough", "a-half-that-is-long-enough"),
        ("OTHER", "a-half-that-is-long-enough", None),
        ("ACCESS", "short", None),
        ("ACCESS", "with a blank in the middle", None),
        ("ACCESS", "with\na-line-break-inside", None),
    ],
)
def test_only_a_usable_half_of_this_very_key_is_read_back(access: str, half: str, wanted: str | None) -> None:
    text = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": half}
    secret = {"data": {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}}

    assert s3secret.secret_key(secret, "ACCESS") == wanted
    assert s3secret.secret_key(None, "ACCESS") is None
    assert s3secret.secret_key({"data": {"AWS_ACCESS_KEY_ID": "no base64"}}, "ACCESS") is None


@pytest.mark.parametrize(("text", "seconds"), [("720h", 2592000), ("1h30m", 5400), ("90s", 90), ("0s", 0)])
def test_a_length_of_time_is_read(text: str, seconds: int) -> None:
    assert duration.parse(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "1d", "h", "-1h", "1.5h", "30m1h"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="length of time"):
        duration.parse(text)
