"""What the API server accepts of a new object, and with which sentence it refuses the rest."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.model import Bucket, Resource, StorageBackend, StorageVolume

SHARED = {"type": "shared", "size": "500Gi"}
GANESHA = {"namespace": "moorage", "statefulSet": "moorage-nfs"}
S3 = {
    "endpoint": "http://moorage-s3.moorage.svc:7070",
    "adminEndpoint": "http://moorage-s3.moorage.svc:7071",
    "credentialsSecret": {"name": "moorage-s3-root", "namespace": "moorage"},
}
DNS = "use lowercase letters, digits and hyphens only (no dots), with a letter or digit at both ends"
ONE_ENGINE = "write exactly one engine block: ganesha (shared volumes) or s3 (buckets and object volumes)"
URL = "write http:// or https://, a host and at most a port"
SUBDOMAIN = "a lowercase RFC 1123 subdomain"


def shown(**bucket: str) -> dict[str, Any]:
    return {"type": "object", "bucket": {"name": "models", **bucket}}


def s3(**changes: Any) -> dict[str, Any]:
    return {"engine": {"s3": {**S3, **changes}}}


def ganesha(**changes: Any) -> dict[str, Any]:
    return {"engine": {"ganesha": {**GANESHA, **changes}}}


ACCEPTED: list[tuple[type[Resource], str, dict[str, Any]]] = [
    (StorageVolume, "training-data", SHARED),
    (StorageVolume, "a", SHARED),
    (StorageVolume, "0", SHARED),
    (StorageVolume, "a--b", SHARED),
    (StorageVolume, "v" * 46, SHARED),
    (StorageVolume, "least", {"type": "shared", "size": "256Mi"}),
    (StorageVolume, "decimal", {"type": "shared", "size": "1G"}),
    (StorageVolume, "plain-bytes", {"type": "shared", "size": "1073741824"}),
    (StorageVolume, "most", {"type": "shared", "size": "64Pi"}),
    (StorageVolume, "scratch", {"type": "local", "size": "10Gi"}),
    (StorageVolume, "placed", {**SHARED, "backend": "shared"}),
    (StorageVolume, "kept", {**SHARED, "onDelete": "Retain"}),
    (StorageVolume, "no-claim", {**SHARED, "claim": "None"}),
    (StorageVolume, "models", {"type": "object"}),
    (StorageVolume, "abc", {"type": "object"}),
    (StorageVolume, "all-keys", shown()),
    (StorageVolume, "some-keys", shown(prefix="checkpoints/")),
    (StorageVolume, "deep-keys", shown(prefix="runs/2026/checkpoints/")),
    (StorageVolume, "dotted-keys", shown(prefix=".cache/v1..2/")),
    (StorageVolume, "spaced-keys", shown(prefix="my data/ü/")),
    (StorageVolume, "b", shown()),  # the bucket is named, so the volume's own name need not suit a bucket
    (Bucket, "models", {}),
    (Bucket, "abc", {"versioning": True}),
    (Bucket, "1-2-3", {"onDelete": "Retain"}),
    (Bucket, "b" * 46, {"backend": "object"}),
    (StorageBackend, "shared", ganesha()),
    (StorageBackend, "b" * 63, {**ganesha(), "default": True}),
    (StorageBackend, "object", s3()),
    (StorageBackend, "object-v6", s3(endpoint="https://[fd00::1]:443")),
    (StorageBackend, "object-v4", s3(adminEndpoint="http://10.0.0.1", region="eu-west-3")),
]

REFUSED: list[tuple[type[Resource], str, dict[str, Any], str]] = [
    (StorageVolume, "a.b", SHARED, f"metadata.name: Invalid value: {DNS}"),
    (StorageVolume, "v" * 47, SHARED, "name the volume with at most 46 characters"),
    (StorageVolume, "Training", SHARED, SUBDOMAIN),
    (StorageVolume, "-data", SHARED, SUBDOMAIN),
    (StorageVolume, "my_data", SHARED, SUBDOMAIN),
    (StorageVolume, "x", {"type": "shared"}, "a shared or local volume needs size, such as 500Gi"),
    (StorageVolume, "x", {"type": "local"}, "a shared or local volume needs size, such as 500Gi"),
    (StorageVolume, "x", {"size": "1Gi"}, "spec.type: Required value"),
    (StorageVolume, "x", {"type": "block", "size": "1Gi"}, 'supported values: "shared", "object", "local"'),
    (StorageVolume, "x", {"type": "shared", "size": "0"}, "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, "x", {"type": "shared", "size": "-1Gi"}, "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, "x", {"type": "shared", "size": "1.5Gi"}, "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, "x", {"type": "shared", "size": "500GB"}, "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, "x", {"type": "shared", "size": "500 Gi"}, "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, "x", {"type": "shared", "size": "big"}, "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, "x", {"type": "shared", "size": ""}, "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, "x", {"type": "shared", "size": 500}, "spec.size in body must be of type string"),
    (StorageVolume, "x", {"type": "shared", "size": "1" * 21}, "spec.size: Too long: may not be more than 20 bytes"),
    (StorageVolume, "x", {"type": "shared", "size": "255Mi"}, "spec.size: Invalid value: size must be at least 256Mi"),
    (StorageVolume, "x", {"type": "shared", "size": "65Pi"}, "size must be at most 64Pi: ask for less"),
    (StorageVolume, "abc", {"type": "object", "size": "1Gi"}, "remove size: an object volume has none"),
    (StorageVolume, "x", {**SHARED, "bucket": {"name": "models"}}, "remove bucket, or write type: object"),
    (StorageVolume, "x", {**SHARED, "backend": ""}, "spec.backend in body should be at least 1 chars long"),
    (StorageVolume, "x", {**SHARED, "backend": "a.b"}, 'spec.backend: Invalid value: "a.b": use lowercase letters'),
    (StorageVolume, "x", {**SHARED, "backend": "b" * 64}, "spec.backend: Too long"),
    (StorageVolume, "x", {**SHARED, "claim": "auto"}, 'supported values: "Auto", "None"'),
    (StorageVolume, "x", {**SHARED, "onDelete": "Keep"}, 'supported values: "Delete", "Retain"'),
    (StorageVolume, "x", {**SHARED, "sizes": "1Gi"}, 'unknown field "spec.sizes"'),
    (StorageVolume, "ab", {"type": "object"}, "name the volume with at least 3 characters and no '--'"),
    (StorageVolume, "a--b", {"type": "object"}, "or name an existing Bucket in spec.bucket"),
    (StorageVolume, "x", shown(name="My_Models"), "lowercase letters, digits and single hyphens between them"),
    (StorageVolume, "x", shown(name="a--b"), "lowercase letters, digits and single hyphens between them"),
    (StorageVolume, "x", shown(name="192.168.1.1"), "lowercase letters, digits and single hyphens between them"),
    (StorageVolume, "x", shown(name="ab"), "spec.bucket.name in body should be at least 3 chars long"),
    (StorageVolume, "x", shown(name="b" * 47), "spec.bucket.name: Too long"),
    (StorageVolume, "x", {"type": "object", "bucket": {"prefix": "a/"}}, "spec.bucket.name: Required value"),
    (StorageVolume, "x", shown(prefix="a"), "end prefix with '/', such as checkpoints/"),
    (StorageVolume, "x", shown(prefix="/a/"), "prefix must not begin with '/'"),
    (StorageVolume, "x", shown(prefix="/"), "prefix must not begin with '/'"),
    (StorageVolume, "x", shown(prefix="a//b/"), "prefix must not contain '//'"),
    (StorageVolume, "x", shown(prefix="../a/"), "prefix must not contain '.' or '..' as a folder"),
    (StorageVolume, "x", shown(prefix="a/../b/"), "prefix must not contain '.' or '..' as a folder"),
    (StorageVolume, "x", shown(prefix="./"), "prefix must not contain '.' or '..' as a folder"),
    (StorageVolume, "x", shown(prefix="a\nb/"), "prefix must not contain control characters"),
    (StorageVolume, "x", shown(prefix="a" * 512 + "/"), "spec.bucket.prefix: Too long"),
    (Bucket, "ab", {}, "name the bucket with 3 to 46 characters"),
    (Bucket, "b" * 47, {}, "name the bucket with 3 to 46 characters"),
    (Bucket, "my.models", {}, f"metadata.name: Invalid value: {DNS}"),
    (Bucket, "192.168.1.1", {}, "must not look like an IP address: use letters, digits and hyphens"),
    (Bucket, "my--models", {}, "must not contain '--': write single hyphens"),
    (Bucket, "Models", {}, SUBDOMAIN),
    (Bucket, "models-", {}, SUBDOMAIN),
    (Bucket, "my_models", {}, SUBDOMAIN),
    (Bucket, "abc", {"versioning": "yes"}, "spec.versioning in body must be of type boolean"),
    (Bucket, "abc", {"onDelete": "Never"}, 'supported values: "Delete", "Retain"'),
    (Bucket, "abc", {"backend": "-b"}, 'spec.backend: Invalid value: "-b": use lowercase letters'),
    (StorageBackend, "x", {}, "spec.engine: Required value"),
    (StorageBackend, "x", {"engine": {}}, ONE_ENGINE),
    (StorageBackend, "x", {"engine": {"ganesha": GANESHA, "s3": S3}}, ONE_ENGINE),
    (StorageBackend, "x", {"engine": {"ceph": {}}}, 'unknown field "spec.engine.ceph"'),
    (StorageBackend, "x.y", ganesha(), DNS),
    (StorageBackend, "x" * 64, ganesha(), "name the backend with at most 63 characters"),
    (StorageBackend, "x", {"engine": {"ganesha": {"namespace": "moorage"}}}, "ganesha.statefulSet: Required value"),
    (StorageBackend, "x", ganesha(statefulSet="s" * 53), "spec.engine.ganesha.statefulSet: Too long"),
    (StorageBackend, "x", ganesha(namespace="Moorage"), 'spec.engine.ganesha.namespace: Invalid value: "Moorage": use'),
    (
        StorageBackend,
        "x",
        s3(endpoint="moorage-s3:7070"),
        f'spec.engine.s3.endpoint: Invalid value: "moorage-s3:7070": {URL}',
    ),
    (StorageBackend, "x", s3(endpoint="ftp://moorage-s3"), URL),
    (StorageBackend, "x", s3(endpoint="http://moorage-s3/path"), URL),
    (StorageBackend, "x", s3(endpoint="http://root:secret@moorage-s3"), URL),
    (StorageBackend, "x", s3(endpoint="http://"), URL),
    (StorageBackend, "x", s3(endpoint="http://h:port"), URL),
    (StorageBackend, "x", s3(endpoint="http://" + "h" * 510), "spec.engine.s3.endpoint: Too long"),
    (
        StorageBackend,
        "x",
        s3(adminEndpoint="http://a b"),
        f'spec.engine.s3.adminEndpoint: Invalid value: "http://a b": {URL}',
    ),
    (StorageBackend, "x", s3(flavor="minio"), 'supported values: "versitygw"'),
    (StorageBackend, "x", s3(region="US East"), "write a region in lowercase letters, digits and hyphens"),
    (StorageBackend, "x", s3(credentialsSecret={"name": "root"}), "credentialsSecret.namespace: Required value"),
    (
        StorageBackend,
        "x",
        s3(credentialsSecret={"name": "root", "namespace": "a.b"}),
        'spec.engine.s3.credentialsSecret.namespace: Invalid value: "a.b": use lowercase letters',
    ),
    (
        StorageBackend,
        "x",
        ganesha(statefulSet="Moorage"),
        'spec.engine.ganesha.statefulSet: Invalid value: "Moorage": use lowercase letters',
    ),
    (StorageBackend, "x", {**ganesha(), "default": "true"}, "spec.default in body must be of type boolean"),
]


def words(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else str(value)[:50]


@pytest.mark.parametrize(("kind", "name", "spec"), ACCEPTED, ids=words)
def test_accepts(api: Any, kind: type[Resource], name: str, spec: dict[str, Any]) -> None:
    answer = api.create(kind, name, spec=spec, dry=True)

    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(("kind", "name", "spec", "sentence"), REFUSED, ids=words)
def test_refuses(api: Any, kind: type[Resource], name: str, spec: dict[str, Any], sentence: str) -> None:
    answer = api.create(kind, name, spec=spec, dry=True)

    assert answer.status_code in (400, 422), answer.text
    assert sentence in answer.json()["message"]


def test_refuses_an_object_without_a_spec(api: Any) -> None:
    answer = api.create(StorageVolume, "x", dry=True)

    assert "spec: Required value" in answer.json()["message"]


def test_one_mistake_gets_one_sentence(api: Any) -> None:
    answer = api.create(StorageVolume, "x", spec={"type": "shared", "size": "big"}, dry=True)

    assert len(answer.json()["details"]["causes"]) == 1
