"""What an object volume asks is what its attributes say, and what the mounter gives its program."""

from dataclasses import replace
from typing import Any

import pytest

from moorage import backing, objectmount, plan, rclonemount
from moorage.facts import VolumeFacts
from moorage.model import Bucket, Phase, StorageBackend, StorageVolume
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
        ({}, {"type": "object", "mount": "moorfs"}, "moorfs"),
        ({}, {"type": "object", "mount": "s3fs"}, "s3fs"),  # decided before the default changed
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


def test_options_reach_the_command_line_of_rclone() -> None:
    mount = parse(attributes({"mounter": "rclone", "object": {"uid": 1000, "mode": "0750", "cacheSize": "2Gi"}}))

    assert isinstance(mount, ObjectMount)
    files = rclonemount.Files("/run/rclone.conf", "/run/control", "/cache")
    argv = rclonemount.argv("rclone", mount.parameters((), ""), files, "/target")
    assert {"--uid=1000", "--dir-perms=0750", f"--vfs-cache-max-size={2 * 2**30}B"} <= set(argv)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"mounter": "rclone"}, [("False", "Writeback")]),
        ({"mounter": "moorfs", "object": {"writeback": True}}, [("False", "Writeback")]),
        ({"mounter": "moorfs"}, []),
        ({"mounter": "s3fs"}, []),
    ],
)
def test_a_volume_whose_closed_files_can_be_lost_says_so(spec: dict[str, Any], told: list[tuple[str, str]]) -> None:
    found = plan.plan(facts(spec)).status.conditions

    assert [(each.status.value, each.reason) for each in found if each.type == "CloseIsStored"] == told
    assert [each.status.value for each in found if each.type == "Ready"] == ["True"]


def test_a_volume_that_says_nothing_gets_nothing_but_the_bucket() -> None:
    assert attributes({}).keys() - {"secret"} == {"type", "mount", "endpoint", "bucket", "prefix", "region"}


# An engine that keeps no metadata: its buckets are read as files, and not written.


def engine(flavor: str, *lacks: str) -> StorageBackend:
    secret = {"name": "root", "namespace": "moorage"}
    block = {"flavor": flavor, "endpoint": "http://ais:51080/s3", "credentialsSecret": secret, "lacks": lacks}
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": NOW}
    return StorageBackend.model_validate(
        {"metadata": {"name": "object", "uid": "e"}, "spec": {"engine": {"s3": block}},
         "status": {"conditions": [ready]}}
    )  # fmt: skip


def on(backend: StorageBackend, spec: dict[str, Any], known: dict[str, str] | None = None, made: bool = True) -> Any:
    seen = facts(spec, known)
    return backing.find_backing(replace(seen, backends=(backend,), bucket=seen.bucket if made else None))


def test_a_volume_that_nobody_could_write_is_refused_with_what_to_do() -> None:
    found = on(engine("aistore"), {})

    assert isinstance(found, backing.Waiting)
    assert (found.phase, found.problem.reason) == (Phase.FAILED, "NotOffered")
    assert "engine aistore has no metadata" in found.problem.message
    assert "make the volume again with object.readOnly: true" in found.problem.message


def test_no_bucket_is_made_for_it() -> None:
    found = on(engine("aistore"), {"bucket": None, "backend": "object"}, made=False)

    assert isinstance(found, backing.Waiting)
    assert (found.problem.reason, found.actions) == ("NotOffered", ())


@pytest.mark.parametrize(
    ("backend", "spec", "known"),
    [
        (engine("aistore"), {"object": {"readOnly": True}}, None),
        (engine("aistore"), {}, {"type": "object", "mount": "s3fs"}),  # READY before this was known
        (engine("s3"), {}, None),
    ],
)
def test_what_can_be_had_is_not_refused(
    backend: StorageBackend, spec: dict[str, Any], known: dict[str, str] | None
) -> None:
    assert isinstance(on(backend, spec, known), backing.Backing)


def test_a_read_only_volume_without_a_bucket_makes_one() -> None:
    found = on(engine("aistore"), {"bucket": None, "object": {"readOnly": True}}, made=False)

    assert isinstance(found, backing.Waiting) and found.problem.reason == "BucketCreating"


def test_a_server_that_is_said_to_keep_no_metadata_is_treated_alike() -> None:
    found = on(engine("s3", "metadata"), {})

    assert isinstance(found, backing.Waiting) and "engine s3 has no metadata" in found.problem.message
