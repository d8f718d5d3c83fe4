"""What an object volume asks is what its attributes say, and what the mounter gives its program."""

from typing import Any

import pytest

from moorage import backing, objectmount
from moorage.facts import VolumeFacts
from moorage.model import Bucket, StorageVolume
from moorage.mount import parse
from moorage.objectmount import ObjectMount

NOW = "2026-01-01T00:00:00Z"


def facts(spec: dict[str, Any], attributes: dict[str, str] | None = None) -> VolumeFacts:
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": NOW}
    seen = {"endpoint": "http://s3:7070", "bucketName": "models-abcd2345", "secretName": "models-bucket"}
    place = {"backend": "object", "engine": "s3"}
    bucket = Bucket.model_validate(
        {"metadata": {"name": "models", "namespace": "ns", "uid": "b"},
         "status": {"placement": place, "region": "eu-1", "conditions": [ready], **seen}}
    )  # fmt: skip
    volume = StorageVolume.model_validate(
        {"metadata": {"name": "data", "namespace": "ns", "uid": "v"},
         "spec": {"type": "object", "bucket": {"name": "models", "prefix": "a/"}, **spec},
         "status": {"attributes": attributes}}
    )  # fmt: skip
    return VolumeFacts(volume, NOW, bucket=bucket)


def attributes(spec: dict[str, Any], known: dict[str, str] | None = None) -> dict[str, str]:
    found = backing.find_backing(facts(spec, known))
    assert isinstance(found, backing.Backing)
    return found.attributes


@pytest.mark.parametrize(
    ("spec", "known", "mounter"),
    [
        ({}, None, objectmount.DEFAULT),
        ({"mounter": "moorfs"}, None, "moorfs"),
        ({}, {"type": "object", "mount": "moorfs"}, "moorfs"),  # decided before the default changed
        ({}, {"type": "object", "mount": "s3fs"}, "s3fs"),
    ],
)
def test_the_mounter_is_what_the_spec_says_or_was_decided_once(
    spec: dict[str, Any], known: dict[str, str] | None, mounter: str
) -> None:
    assert attributes(spec, known)["mount"] == mounter


def test_options_reach_the_settings_of_moorfs() -> None:
    options = {"uid": 1000, "gid": 2000, "mode": "0750", "cacheSize": "2Gi", "writeback": True, "readOnly": True}

    found = attributes({"mounter": "moorfs", "object": options})
    mount = parse(found)

    assert isinstance(mount, ObjectMount) and found["readOnly"] == "true"
    settings = objectmount.moorfs_settings(mount.parameters(["ttl=5"], "3000"))
    assert settings == {
        "endpoint": "http://s3:7070", "bucket": "models-abcd2345", "prefix": "a/", "region": "eu-1",
        "uid": 1000, "gid": 2000, "group": 3000, "fileMode": 0o640, "folderMode": 0o750,
        "cacheSize": 2 * 2**30, "writeback": True, "ttl": 5.0,
    }  # fmt: skip


def test_options_reach_the_command_line_of_s3fs() -> None:
    mount = parse(attributes({"mounter": "s3fs", "object": {"uid": 1000, "mode": "0750"}}))

    assert isinstance(mount, ObjectMount)
    argv = objectmount.s3fs_argv("s3fs", mount.parameters((), ""), "/run/passwd", "/target")
    assert {"uid=1000", "umask=0027", "mp_umask=0027"} <= set(argv)


def test_a_volume_that_says_nothing_gets_nothing_but_the_bucket() -> None:
    assert attributes({}).keys() - {"secret"} == {"type", "mount", "endpoint", "bucket", "prefix", "region"}
