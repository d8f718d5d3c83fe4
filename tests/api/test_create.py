"""What the API server accepts of a new object, and with which sentence it refuses the rest."""

from __future__ import annotations

from typing import Any

import pytest

from moorage import names
from moorage.model import KINDS, Bucket, Resource, StorageAttachment, StorageBackend, StorageVolume

SHARED = {"type": "shared", "size": "500Gi"}
GANESHA = {"namespace": "moorage", "statefulSet": "moorage-nfs"}
S3 = {
    "endpoint": "http://moorage-s3.moorage.svc:7070",
    "adminEndpoint": "http://moorage-s3.moorage.svc:7071",
    "credentialsSecret": {"name": "moorage-s3-root", "namespace": "moorage"},
}
DATA = {"volume": {"name": "training-data"}}
DNS = "use lowercase letters, digits and hyphens only (no dots), with a letter or digit at both ends"
ONE_ENGINE = (
    "write exactly one engine block: ganesha or nfs (shared volumes), local (local volumes) or s3"
    " (buckets and object volumes)"
)
URL = "write http:// or https://, a host and at most a port"
SUBDOMAIN = "a lowercase RFC 1123 subdomain"


def shown(**bucket: str) -> dict[str, Any]:
    return {"type": "object", "bucket": {"name": "models", **bucket}}


def s3(**changes: Any) -> dict[str, Any]:
    return {"engine": {"s3": {**S3, **changes}}}


def ganesha(**changes: Any) -> dict[str, Any]:
    return {"engine": {"ganesha": {**GANESHA, **changes}}}


def attached(**changes: Any) -> dict[str, Any]:
    return {**DATA, **changes}


def shared_with(**consent: Any) -> dict[str, Any]:
    return {**SHARED, "share": consent}


def on_nodes(*expressions: Any, **labels: Any) -> dict[str, Any]:
    parts = {"matchLabels": labels, "matchExpressions": list(expressions)}
    return attached(nodes={"selector": {name: part for name, part in parts.items() if part}})


def labelled(key: str) -> dict[str, Any]:
    return attached(nodes={"selector": {"matchLabels": {key: "x"}}})


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
    (StorageVolume, "shared-same", shared_with()),
    (StorageVolume, "shared-names", shared_with(**{"from": "Names", "names": ["team-a", "team-b"]})),
    (StorageVolume, "shared-labels", shared_with(**{"from": "Selector", "selector": {"matchLabels": {"org": "ml"}}})),
    (StorageVolume, "shared-all", shared_with(**{"from": "All"})),
    (StorageVolume, "adopted", {**SHARED, "adopt": "7f3k9x2a"}),
    (StorageAttachment, "whole", DATA),
    (StorageAttachment, "s" * 63, attached(readOnly=True, detach="Force")),
    (StorageAttachment, "foreign", {"volume": {"name": "training-data", "namespace": "research"}}),
    (StorageAttachment, "folder", attached(mountFrom="/imagenet/2012 (ü)/.cache")),
    (StorageAttachment, "deepest", attached(mountFrom="/" + "/".join(["f" * 255] * 4))),
    (StorageAttachment, "all-nodes", attached(nodes={"selector": {}}, mountAs="/mnt/imagenet")),
    (StorageAttachment, "gpu-nodes", on_nodes(pool="gpu", **{"example.com/zone_1": ""})),
    (
        StorageAttachment,
        "picked-nodes",
        on_nodes({"key": "pool", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}),
    ),
    (Bucket, "adopted", {"adopt": "models-7f3k9x2a"}),
    (Bucket, "here", {"region": "eu-north-1", "quota": "10Gi", "publicRead": True, "emptyOnDelete": True}),
    (Bucket, "worm", {"versioning": True, "objectLock": {"mode": "Compliance", "days": 36500}}),
    (Bucket, "tagged", {"tags": {"team": "vision", "Kosten stelle": "ü 7 +-=._:/@", "empty": ""}}),
    (Bucket, "tidy", {"lifecycle": [{"prefix": "tmp/", "expireDays": 1}, {"abortMultipartDays": 7}]}),
    (
        Bucket,
        "web",
        {"cors": [{"origins": ["https://*.example.com"], "methods": ["GET", "PUT"], "headers": ["x-amz-*"]}]},
    ),
    (Bucket, "shared", {"share": {"from": "Names", "names": ["team-a"]}}),
    (StorageVolume, "view", {"type": "object", "bucket": {"name": "models", "namespace": "research"}}),
    (StorageBackend, "one-node", {**ganesha(), "minNodes": 1}),
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
    (StorageVolume, "x", {**SHARED, "backend": ""}, 'spec.backend: Invalid value: "": use lowercase letters'),
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
    (Bucket, "abc", {"objectLock": {"mode": "Compliance", "days": 3}}, "objectLock needs versioning: true"),
    (Bucket, "abc", {"versioning": True, "objectLock": {"mode": "Soft", "days": 3}}, '"Governance", "Compliance"'),
    (Bucket, "abc", {"versioning": True, "objectLock": {"mode": "Compliance", "days": 0}}, "should be greater than or"),
    (Bucket, "abc", {"tags": {"moorage.dev/uid": "x"}}, "are not yours to set: choose another key"),
    (Bucket, "abc", {"tags": {"aws:x": "y"}}, "are not yours to set: choose another key"),
    (Bucket, "abc", {"tags": {"a": "<b>"}}, "write a tag's value in letters, digits, spaces"),
    (Bucket, "abc", {"tags": {"a" * 129: "b"}}, "write tags' keys of 1 to 128"),
    (Bucket, "abc", {"tags": {f"k{n}": "v" for n in range(11)}}, "must have at most 10 items"),
    (Bucket, "abc", {"lifecycle": [{"prefix": "a/"}]}, "needs expireDays, noncurrentDays or abortMultipartDays"),
    (Bucket, "abc", {"cors": [{"origins": [], "methods": ["GET"]}]}, "should have at least 1 items"),
    (Bucket, "abc", {"cors": [{"origins": ["https://*.*"], "methods": ["GET"]}]}, "with at most one *"),
    (Bucket, "abc", {"cors": [{"origins": ["*"], "methods": ["PATCH"]}]}, 'supported values: "GET"'),
    (Bucket, "abc", {"quota": "much"}, "write a whole number and a unit, such as 500Gi"),
    (Bucket, "abc", {"region": "EU"}, "write a region in lowercase letters"),
    (Bucket, "abc", {"adopt": "a--b"}, "write the name that the kept bucket has on the S3 engine"),
    (Bucket, "abc", {"adopt": "192.168.1.1"}, "write the name that the kept bucket has on the S3 engine"),
    (Bucket, "abc", {"adopt": "ab"}, "spec.adopt"),
    (Bucket, "abc", {"adopt": "b" * 64}, "spec.adopt"),
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
    (StorageBackend, "x", s3(flavor="ceph"), 'supported values: "versitygw", "s3", "minio", "rgw", "aistore"'),
    (StorageBackend, "x", s3(adminEndpoint=None), "write adminEndpoint: flavor versitygw makes keys there"),
    (StorageBackend, "x", s3(endpoint="http://s3:7070/s3"), "remove the path /s3 from endpoint"),
    (StorageBackend, "x", s3(shareCredential=True), "remove shareCredential and lacks: they are for flavor s3"),
    (StorageBackend, "x", s3(lacks=["cors"]), "remove shareCredential and lacks: they are for flavor s3"),
    (StorageBackend, "x", s3(flavor="s3", lacks=["cors!"]), "write a word of docs/engines.md"),
    (
        StorageBackend,
        "x",
        s3(pathStyle=False),
        "write virtualHostDomain, the domain that buckets' names are put before",
    ),
    (StorageBackend, "x", s3(virtualHostDomain="S3.Example"), "write a domain in lowercase letters"),
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
    (StorageBackend, "x", {**ganesha(), "minNodes": 0}, "spec.minNodes in body should be greater than or equal to 1"),
    (
        StorageBackend,
        "x",
        {**ganesha(), "minNodes": 1001},
        "spec.minNodes in body should be less than or equal to 1000",
    ),
    (StorageBackend, "x", {**ganesha(), "minNodes": "2"}, "spec.minNodes in body must be of type integer"),
    (StorageBackend, "x", {**ganesha(), "minNodes": 1.5}, "spec.minNodes in body must be of type int32"),
    (StorageBackend, "x", {**ganesha(), "minNodes": 10**30}, "spec.minNodes in body must be of type int32"),
    # Sizes and wrong types.
    (StorageVolume, "x", {"type": "shared", "size": "\uff11Gi"}, "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, "x", {"type": "shared", "size": "1Gi\n"}, "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, "x", {"type": "shared", "size": "1e12"}, "write a whole number and a unit, such as 500Gi"),
    (StorageVolume, "x", {"type": "shared", "size": "9" * 17 + "Pi"}, "size must be at most 64Pi: ask for less"),
    (StorageVolume, "x", {"type": "shared", "size": None}, "a shared or local volume needs size, such as 500Gi"),
    (StorageVolume, "x", {"type": None, "size": "1Gi"}, "spec.type: Required value"),
    (StorageVolume, "x", {"type": ["shared"], "size": "1Gi"}, "spec.type in body must be of type string"),
    (StorageVolume, "abc", {"type": "object", "bucket": "models"}, "spec.bucket in body must be of type object"),
    (StorageVolume, "x", {**SHARED, "claim": True}, "spec.claim in body must be of type string"),
    (StorageVolume, "x", {**SHARED, "backend": "a" * 2_000_000}, "spec.backend: Too long"),
    (StorageVolume, "x", shown(prefix="a\u0085b/"), "prefix must not contain control characters"),
    (
        StorageVolume,
        "x",
        shown(prefix="ü" * 256 + "/"),
        "prefix must be at most 512 bytes: show a folder nearer the root",
    ),
    # Consent.
    (StorageVolume, "x", {**SHARED, "share": "All"}, "spec.share in body must be of type object"),
    (StorageVolume, "x", shared_with(**{"from": "Everyone"}), 'supported values: "Same", "Names", "Selector", "All"'),
    (StorageVolume, "x", shared_with(**{"from": "Names"}), "from: Names needs names, a list of namespaces"),
    (StorageVolume, "x", shared_with(**{"from": "Names", "names": []}), "from: Names needs names"),
    (StorageVolume, "x", shared_with(names=["team-a"]), "from: Names needs names"),
    (
        StorageVolume,
        "x",
        shared_with(**{"from": "Names", "names": ["*"]}),
        'names[0]: Invalid value: "*": use lowercase',
    ),
    (StorageVolume, "x", shared_with(**{"from": "Names", "names": ["a"] * 65}), "Too many: 65: must have at most 64"),
    (
        StorageVolume,
        "x",
        shared_with(**{"from": "Names", "names": [f"n{each}" for each in range(100_000)]}),
        "spec.share.names: Too many: 100000: must have at most 64 items",
    ),
    (StorageVolume, "x", shared_with(**{"from": "Selector"}), "from: Selector needs selector, on the labels of"),
    (StorageVolume, "x", shared_with(**{"from": "All", "selector": {}}), "from: Selector needs selector"),
    (
        StorageVolume,
        "x",
        shared_with(**{"from": "Selector", "selector": {}}),
        "selector is empty and would select every namespace: write labels, or from: All if that is meant",
    ),
    (  # `team:` and nothing behind it: the API server drops the label, and nothing is left to select by
        StorageVolume,
        "x",
        shared_with(**{"from": "Selector", "selector": {"matchLabels": {"team": None}}}),
        "matchLabels names no label with a value",
    ),
    # Adopting.
    (StorageVolume, "x", {**SHARED, "adopt": "abc"}, "write the 8 characters of a kept share's id"),
    (StorageVolume, "x", {**SHARED, "adopt": "7F3K9X2A"}, "StorageBackend status.servers lists them"),
    (StorageVolume, "x", {**SHARED, "adopt": ""}, "write the 8 characters of a kept share's id"),
    (StorageVolume, "x", {**SHARED, "adopt": "../../ab"}, "write the 8 characters of a kept share's id"),
    (StorageVolume, "x", {**SHARED, "adopt": "abcdefghh"}, "write the 8 characters of a kept share's id"),
    (
        StorageVolume,
        "abc",
        {"type": "object", "adopt": "7f3k9x2a"},
        "remove adopt: only a shared volume adopts a share",
    ),
    (
        StorageVolume,
        "x",
        {**SHARED, "type": "local", "adopt": "7f3k9x2a"},
        "name a kept bucket in a Bucket's spec.adopt",
    ),
    (Bucket, "abc", {"adopt": "Models"}, "write the name that the kept bucket has on the S3 engine"),
    (Bucket, "abc", {"adopt": "models--7f3k9x2a"}, "write the name that the kept bucket has on the S3 engine"),
    (Bucket, "abc", {"adopt": "ab"}, "spec.adopt in body should be at least 3 chars long"),
    (Bucket, "abc", {"adopt": "b" * 64}, "spec.adopt: Too long: may not be more than 63 bytes"),
    # Attachments.
    (StorageAttachment, "a.b", DATA, DNS),
    (StorageAttachment, "s" * 64, DATA, "name the attachment with at most 63 characters"),
    (StorageAttachment, "x", {}, "spec.volume: Required value"),
    (StorageAttachment, "x", {"volume": "training-data"}, "spec.volume in body must be of type object"),
    (StorageAttachment, "x", {"volume": {"namespace": "research"}}, "spec.volume.name: Required value"),
    (StorageAttachment, "x", {"volume": {"name": ""}}, 'spec.volume.name: Invalid value: "": use lowercase letters'),
    (StorageAttachment, "x", {"volume": {"name": "d" * 47}}, "spec.volume.name: Too long"),
    (StorageAttachment, "x", {"volume": {"name": "research/data"}}, 'Invalid value: "research/data": use lowercase'),
    (StorageAttachment, "x", {"volume": {"name": "d", "namespace": "A"}}, 'spec.volume.namespace: Invalid value: "A"'),
    (StorageAttachment, "x", {"bucket": {"name": "models"}}, 'unknown field "spec.bucket"'),
    (StorageAttachment, "x", attached(mountFrom=""), "mountFrom must begin with '/'"),
    (StorageAttachment, "x", attached(mountFrom="data"), "mountFrom must begin with '/'"),
    (StorageAttachment, "x", attached(mountFrom="/data/"), "mountFrom must not end with '/': write /data, not /data/"),
    (StorageAttachment, "x", attached(mountFrom="/a//b"), "mountFrom must not contain '//'"),
    (StorageAttachment, "x", attached(mountFrom="/.."), "mountFrom must not contain '.' or '..' as a folder"),
    (StorageAttachment, "x", attached(mountFrom="/a/../../etc"), "mountFrom must not contain '.' or '..' as a folder"),
    (StorageAttachment, "x", attached(mountFrom="/a\0b"), "mountFrom must not contain control characters"),
    (StorageAttachment, "x", attached(mountFrom="/a\u0085b"), "mountFrom must not contain control characters"),
    (
        StorageAttachment,
        "x",
        attached(mountFrom="/" + "f" * 256),
        "a folder's name in mountFrom must be at most 255 bytes",
    ),
    (StorageAttachment, "x", attached(mountFrom="/" + "ü/" * 500 + "e"), "mountFrom must be at most 1024 bytes"),
    (StorageAttachment, "x", attached(mountFrom="/" + "f" * 1024), "spec.mountFrom: Too long"),
    (StorageAttachment, "x", attached(mountFrom=["/a"]), "spec.mountFrom in body must be of type string"),
    (StorageAttachment, "x", attached(readOnly="true"), "spec.readOnly in body must be of type boolean"),
    (StorageAttachment, "x", attached(detach="force"), 'supported values: "Wait", "Force"'),
    (StorageAttachment, "x", attached(mountAs="/data/imagenet"), "write a folder directly beneath /mnt"),
    (StorageAttachment, "x", attached(mountAs="/mnt"), "write a folder directly beneath /mnt"),
    (StorageAttachment, "x", attached(mountAs="/mnt/a/b"), "write a folder directly beneath /mnt"),
    (StorageAttachment, "x", attached(mountAs="/mnt/.."), "write a folder directly beneath /mnt"),
    (StorageAttachment, "x", attached(mountAs="/mnt/x\n"), "write a folder directly beneath /mnt"),
    (StorageAttachment, "x", attached(mountAs="/mnt/" + "x" * 66), "spec.mountAs: Too long"),
    (StorageAttachment, "x", attached(nodes={}), "spec.nodes.selector: Required value"),
    (StorageAttachment, "x", attached(nodes={"matchLabels": {"a": "b"}}), 'unknown field "spec.nodes.matchLabels"'),
    (StorageAttachment, "x", attached(nodes=["node-1"]), "spec.nodes in body must be of type object"),
    (StorageAttachment, "x", on_nodes(pool=None), "matchLabels names no label with a value"),
    (StorageAttachment, "x", on_nodes(pool=1), "spec.nodes.selector.matchLabels.pool in body must be of type string"),
    (StorageAttachment, "x", on_nodes(pool="a b"), "write a label's value: at most 63 letters, digits"),
    (StorageAttachment, "x", on_nodes(pool="x" * 64), "spec.nodes.selector.matchLabels.pool: Too long"),
    (StorageAttachment, "x", labelled(""), "write labels' keys such as pool or example.com/pool"),
    (StorageAttachment, "x", labelled("a b"), "write labels' keys such as pool or example.com/pool"),
    (StorageAttachment, "x", labelled("Example.COM/pool"), "write labels' keys such as pool or example.com/pool"),
    (StorageAttachment, "x", labelled("a..b/pool"), "write labels' keys such as pool or example.com/pool"),
    (StorageAttachment, "x", labelled("p" * 100_000), "write labels' keys such as pool or example.com/pool"),
    (StorageAttachment, "x", on_nodes(**{f"p{each}": "x" for each in range(17)}), "Too many: 17: must have at most 16"),
    (StorageAttachment, "x", on_nodes({"operator": "Exists"}), "matchExpressions[0].key: Required value"),
    (StorageAttachment, "x", on_nodes({"key": "p/q/r", "operator": "Exists"}), "write a label's key, such as pool"),
    (StorageAttachment, "x", on_nodes({"key": "p", "operator": "Gt"}), '"In", "NotIn", "Exists", "DoesNotExist"'),
    (StorageAttachment, "x", on_nodes({"key": "p", "operator": "In"}), "operators In and NotIn need values"),
    (
        StorageAttachment,
        "x",
        on_nodes({"key": "p", "operator": "Exists", "values": ["a"]}),
        "operators In and NotIn need values, Exists and DoesNotExist take none",
    ),
    (
        StorageAttachment,
        "x",
        on_nodes({"key": "p", "operator": "In", "values": ["a"] * 33}),
        "matchExpressions[0].values: Too many: 33: must have at most 32 items",
    ),
    (
        StorageAttachment,
        "x",
        on_nodes(*[{"key": "p", "operator": "Exists"}] * 17),
        "spec.nodes.selector.matchExpressions: Too many: 17: must have at most 16 items",
    ),
]

# Whole manifests that are wrong outside of the spec.
ODD: list[tuple[dict[str, Any], str]] = [
    ({"metadata": {}}, "name or generateName is required"),
    ({"metadata": {"name": 5}}, "cannot unmarshal number into Go struct field ObjectMeta.name"),
    ({"metadata": {"name": ".."}}, SUBDOMAIN),
    ({"metadata": {"name": "a/b"}}, SUBDOMAIN),
    ({"metadata": {"name": "%2e%2e"}}, SUBDOMAIN),
    ({"metadata": {"name": "\uff58"}}, SUBDOMAIN),
    ({"metadata": {"name": "x", "namespace": "kube-system"}}, "does not match the namespace sent on the request"),
    ({"metadata": {"name": "x", "owner": "me"}}, 'unknown field "metadata.owner"'),
    ({"metadata": {"name": "x", "labels": {"a b": "c"}}}, "metadata.labels: Invalid value"),
    ({"metadata": {"name": "x", "annotations": {"a": "x" * 300_000}}}, "metadata.annotations: Too long"),
    ({"metadata": {"name": "x", "finalizers": ["a/b/c"]}}, "metadata.finalizers: Invalid value"),
    (
        {"metadata": {"name": "x", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}},
        "metadata.ownerReferences.uid",
    ),
    ({"metadata": {"generateName": "a.b-"}}, DNS),
    ({"metadata": {"generateName": "x" * 60}}, "name the volume with at most 46 characters"),
    ({"apiVersion": "moorage.dev/v1"}, 'in version "v1" cannot be handled as a StorageVolume'),
    ({"apiVersion": ""}, "does not match the expected API version"),
    ({"kind": "Bucket"}, "must be StorageVolume"),
    ({"spec": None}, "spec: Required value"),
    ({"spec": []}, "spec in body must be of type object"),
    ({"spec": "shared"}, "spec in body must be of type object"),
    ({"speck": {}}, 'unknown field "speck"'),
    ({"status": {"phase": "READY", "secret": "x"}}, 'unknown field "status.secret"'),
]


def words(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else str(value)[:50]


@pytest.mark.parametrize(("kind", "name", "spec"), ACCEPTED, ids=words)
def test_accepts(api: Any, kind: type[Resource], name: str, spec: dict[str, Any]) -> None:
    answer = api.create(kind, name, spec=spec, dry=True)

    assert answer.status_code == 201, answer.text


def stored(api: Any, kind: type[Resource]) -> list[str]:
    return [each["metadata"]["uid"] for each in api.call("GET", api.path(kind)).json()["items"]]


@pytest.mark.parametrize(("kind", "name", "spec", "sentence"), REFUSED, ids=words)
def test_refuses_and_stores_nothing(
    api: Any, kind: type[Resource], name: str, spec: dict[str, Any], sentence: str
) -> None:
    before = stored(api, kind)

    answer = api.create(kind, name, spec=spec)

    assert answer.status_code in (400, 422), answer.text
    assert sentence in answer.json()["message"]
    assert stored(api, kind) == before


@pytest.mark.parametrize(("changes", "sentence"), ODD, ids=words)
def test_refuses_an_odd_manifest_and_stores_nothing(api: Any, changes: dict[str, Any], sentence: str) -> None:
    good = {"apiVersion": names.API_VERSION, "kind": "StorageVolume", "metadata": {"name": "x"}, "spec": SHARED}
    before = stored(api, StorageVolume)

    answer = api.call("POST", api.path(StorageVolume), {**good, **changes}, fieldValidation="Strict")

    assert answer.status_code in (400, 422), answer.text
    assert sentence in answer.json()["message"]
    assert stored(api, StorageVolume) == before


@pytest.mark.parametrize("body", [[], "x", 1, None, {}], ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=words)
def test_refuses_what_is_no_object_at_all(api: Any, kind: type[Resource], body: Any) -> None:
    answer = api.call("POST", api.path(kind), body)

    assert answer.status_code == 400, answer.text


def test_what_the_server_itself_decides_cannot_be_written(api: Any) -> None:
    forged = {"uid": "1", "generation": 7, "deletionTimestamp": "2020-01-01T00:00:00Z", "name": "forged"}
    body = {"apiVersion": names.API_VERSION, "kind": "StorageVolume", "metadata": forged, "spec": SHARED}

    metadata = api.call("POST", api.path(StorageVolume), body, dryRun="All").json()["metadata"]

    assert (metadata["generation"], "deletionTimestamp" in metadata) == (1, False)
    assert metadata["uid"] != "1"


def test_refuses_an_object_without_a_spec(api: Any) -> None:
    answer = api.create(StorageVolume, "x", dry=True)

    assert "spec: Required value" in answer.json()["message"]


def test_one_mistake_gets_one_sentence(api: Any) -> None:
    mistakes: list[tuple[type[Resource], dict[str, Any]]] = [
        (StorageVolume, {"type": "shared", "size": "big"}),
        (StorageVolume, {"type": "shared", "size": "1e3"}),
        (StorageVolume, {"type": "shared", "size": ""}),
        (StorageVolume, {**SHARED, "backend": ""}),
        (StorageVolume, shared_with(**{"from": "All", "selector": {}})),
        (StorageAttachment, attached(mountFrom="")),
        (StorageAttachment, {"volume": {"name": ""}}),
    ]

    answers = [api.create(kind, "x", spec=spec, dry=True).json() for kind, spec in mistakes]

    assert [len(each["details"]["causes"]) for each in answers] == [1] * len(mistakes)
