"""What may change in an object that exists."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from moorage.model import Bucket, Resource, StorageAttachment, StorageBackend, StorageVolume

SHARED = {"type": "shared", "size": "500Gi"}
PLACED = {**SHARED, "backend": "shared"}
OBJECT = {"type": "object"}
SHOWN = {"type": "object", "bucket": {"name": "models", "prefix": "a/"}}
GANESHA = {"engine": {"ganesha": {"namespace": "moorage", "statefulSet": "moorage-nfs"}}}
S3 = {
    "endpoint": "http://moorage-s3.moorage.svc:7070",
    "adminEndpoint": "http://moorage-s3.moorage.svc:7071",
    "credentialsSecret": {"name": "moorage-s3-root", "namespace": "moorage"},
}
DATA = {"volume": {"name": "training-data"}}
FOLDER = {**DATA, "mountFrom": "/imagenet", "mountAs": "/mnt/imagenet", "nodes": {"selector": {}}}
NAMED = {**SHARED, "share": {"from": "Names", "names": ["team-a"]}}
ADOPTED = {**SHARED, "adopt": "7f3k9x2a"}
AGAIN = "make another StorageAttachment"
ELSE = "cannot be changed, added or removed after creation"

ACCEPTED: list[tuple[type[Resource], dict[str, Any], dict[str, Any]]] = [
    (StorageVolume, SHARED, {"size": "501Gi"}),
    (StorageVolume, SHARED, {"size": "1Ti"}),
    (StorageVolume, SHARED, {"size": "512000Mi"}),  # the same size in other words
    (StorageVolume, SHARED, {"onDelete": "Retain"}),
    (StorageVolume, {**SHARED, "onDelete": "Retain"}, {"onDelete": "Delete"}),
    (StorageVolume, PLACED, {"size": "600Gi", "onDelete": "Retain"}),
    (StorageVolume, SHOWN, {"onDelete": "Retain"}),
    (Bucket, {}, {"versioning": True}),
    (Bucket, {"versioning": True}, {"versioning": False}),
    (Bucket, {}, {"onDelete": "Retain"}),
    (StorageBackend, GANESHA, {"default": True}),
    (StorageVolume, SHARED, {"share": {"from": "All"}}),
    (StorageVolume, NAMED, {"share": {"names": ["team-b"]}}),
    (StorageVolume, NAMED, {"share": None}),
    (StorageAttachment, DATA, {"nodes": {"selector": {"matchLabels": {"pool": "gpu"}}}}),
    (StorageAttachment, FOLDER, {"nodes": None}),
    (StorageAttachment, FOLDER, {"detach": "Force"}),
    (StorageBackend, GANESHA, {"minNodes": 1}),
    (StorageBackend, {"engine": {"s3": S3}}, {"engine": {"s3": {"endpoint": "https://s3.example.com"}}}),
]

REFUSED: list[tuple[type[Resource], dict[str, Any], dict[str, Any], str]] = [
    (StorageVolume, SHARED, {"size": "499Gi"}, "spec.size: Invalid value: size only grows: for less, make a smaller"),
    (StorageVolume, SHARED, {"size": "500G"}, "size only grows"),
    (StorageVolume, SHARED, {"size": None}, "a shared or local volume needs size"),
    (StorageVolume, SHARED, {"size": "more"}, "write a whole number and a unit"),
    (StorageVolume, SHARED, {"size": "65Pi"}, "size must be at most 64Pi"),
    (StorageVolume, SHARED, {"type": "local"}, "spec.type: Invalid value: type cannot be changed after creation"),
    (StorageVolume, SHARED, {"type": "object", "size": None}, "type cannot be changed after creation"),
    (StorageVolume, OBJECT, {"type": "shared", "size": "1Gi"}, "type cannot be changed after creation"),
    (StorageVolume, SHARED, {"backend": "other"}, f"spec.backend: Invalid value: backend {ELSE}"),
    (StorageVolume, PLACED, {"backend": "other"}, f"backend {ELSE}"),
    (StorageVolume, PLACED, {"backend": None}, f"backend {ELSE}"),
    (StorageVolume, OBJECT, {"bucket": {"name": "models"}}, f"spec.bucket: Invalid value: bucket {ELSE}"),
    (StorageVolume, SHOWN, {"bucket": None}, f"bucket {ELSE}"),
    (StorageVolume, SHOWN, {"bucket": {"name": "others"}}, f"bucket {ELSE}"),
    (StorageVolume, SHOWN, {"bucket": {"prefix": "b/"}}, f"bucket {ELSE}"),
    (StorageVolume, SHOWN, {"bucket": {"prefix": None}}, f"bucket {ELSE}"),
    (StorageVolume, SHOWN, {"size": "1Gi"}, "remove size: an object volume has none"),
    (StorageVolume, SHARED, {"claim": "None"}, "claim cannot be changed after creation"),
    (StorageVolume, {**SHARED, "claim": "None"}, {"claim": None}, "claim cannot be changed after creation"),
    (Bucket, {}, {"backend": "object"}, f"backend {ELSE}: make another Bucket"),
    (Bucket, {"backend": "object"}, {"backend": "other"}, f"backend {ELSE}"),
    (Bucket, {"backend": "object"}, {"backend": None}, f"backend {ELSE}"),
    (StorageBackend, GANESHA, {"engine": {"ganesha": None, "s3": S3}}, "the kind of engine cannot be changed"),
    (StorageBackend, {"engine": {"s3": S3}}, {"engine": {"ganesha": None, "s3": None}}, "exactly one engine block"),
    (StorageBackend, GANESHA, {"engine": {"s3": S3}}, "exactly one engine block"),
    (StorageBackend, GANESHA, {"minNodes": 0}, "spec.minNodes in body should be greater than or equal to 1"),
    (StorageVolume, SHARED, {"adopt": "7f3k9x2a"}, f"spec.adopt: Invalid value: adopt {ELSE}"),
    (StorageVolume, ADOPTED, {"adopt": "8f3k9x2a"}, f"adopt {ELSE}"),
    (StorageVolume, ADOPTED, {"adopt": None}, f"adopt {ELSE}"),
    (StorageVolume, NAMED, {"share": {"names": None}}, "from: Names needs names"),
    (StorageVolume, NAMED, {"share": {"from": "Selector"}}, "from: Selector needs selector"),
    (Bucket, {}, {"adopt": "models-7f3k9x2a"}, f"adopt {ELSE}: make another Bucket"),
    (StorageAttachment, DATA, {"volume": {"name": "other"}}, f"volume cannot be changed after creation: {AGAIN}"),
    (StorageAttachment, DATA, {"volume": {"namespace": "research"}}, "volume cannot be changed after creation"),
    (StorageAttachment, DATA, {"mountFrom": "/a"}, f"mountFrom cannot be changed after creation: {AGAIN}"),
    (StorageAttachment, FOLDER, {"mountFrom": None}, "mountFrom cannot be changed after creation"),
    (StorageAttachment, DATA, {"readOnly": True}, f"readOnly cannot be changed after creation: {AGAIN}"),
    (StorageAttachment, FOLDER, {"mountAs": "/mnt/other"}, f"mountAs {ELSE}: {AGAIN}"),
    (StorageAttachment, FOLDER, {"mountAs": None}, f"mountAs {ELSE}"),
    (StorageAttachment, FOLDER, {"detach": "Now"}, 'supported values: "Wait", "Force"'),
    (StorageAttachment, FOLDER, {"nodes": {"selector": {"matchLabels": {"a b": "c"}}}}, "write labels' keys such as"),
]
_number = count()


def existing(api: Any, kind: type[Resource], spec: dict[str, Any]) -> str:
    name = f"update-{next(_number)}"
    assert api.create(kind, name, spec=spec).status_code == 201
    return api.path(kind, name)


def words(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else str(value)[:50]


@pytest.mark.parametrize(("kind", "spec", "change"), ACCEPTED, ids=words)
def test_accepts(api: Any, kind: type[Resource], spec: dict[str, Any], change: dict[str, Any]) -> None:
    path = existing(api, kind, spec)

    answer = api.merge(path, {"spec": change})

    assert answer.status_code == 200, answer.text
    assert api.call("GET", path).json()["metadata"]["generation"] == 2


@pytest.mark.parametrize(("kind", "spec", "change", "sentence"), REFUSED, ids=words)
def test_refuses_and_changes_nothing(
    api: Any, kind: type[Resource], spec: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    path = existing(api, kind, spec)
    before = api.call("GET", path).json()

    answer = api.merge(path, {"spec": change})

    assert answer.status_code == 422, answer.text
    assert sentence in answer.json()["message"]
    assert api.call("GET", path).json() == before  # resourceVersion, generation and managedFields included


def test_a_finalizer_is_added_and_removed_on_an_object_that_breaks_no_rule_by_it(api: Any) -> None:
    path = existing(api, StorageVolume, SHARED)

    added = api.merge(path, {"metadata": {"finalizers": ["moorage.dev/finalizer"]}})
    deleted = api.call("DELETE", path)
    removed = api.merge(path, {"metadata": {"finalizers": []}})

    assert [added.status_code, deleted.status_code, removed.status_code] == [200, 200, 200]
    assert api.call("GET", path).status_code == 404
