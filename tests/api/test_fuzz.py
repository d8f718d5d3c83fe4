"""Whatever the API server lets through, our models read: no object that a user can store makes a reconcile fail."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage import names
from moorage.model import KINDS, Resource

# One object of each kind with every field of its spec, to be spoilt at random places.
WHOLE: dict[str, list[dict[str, Any]]] = {
    "StorageVolume": [
        {
            **{"type": "shared", "size": "1Gi", "backend": "shared", "onDelete": "Retain", "claim": "None"},
            **{"adopt": "7f3k9x2a", "share": {"from": "Names", "names": ["team-a", "team-b"]}},
        },
        {
            **{"type": "shared", "size": "1Gi", "source": {"snapshot": "monday"}, "squash": "Root"},
            **{"root": {"mode": "2770", "uid": 1, "gid": 2}, "mountOptions": ["vers=4.2", "soft"]},
        },
        {"type": "local", "size": "1Gi", "node": "node-1"},
        {
            "type": "object",
            "bucket": {"name": "models", "prefix": "a/b/"},
            "share": {
                "from": "Selector",
                "selector": {
                    "matchLabels": {"org": "ml"},
                    "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
                },
            },
        },
    ],
    "StorageAttachment": [
        {
            **{"volume": {"name": "data", "namespace": "research"}, "mountFrom": "/a/b", "readOnly": True},
            **{"mountAs": "/mnt/imagenet", "detach": "Force"},
            "nodes": {
                "selector": {
                    "matchLabels": {"example.com/pool": "gpu"},
                    "matchExpressions": [{"key": "p", "operator": "Exists"}],
                }
            },
        }
    ],
    "StorageSnapshot": [{"volume": "data"}],
    "Bucket": [
        {"backend": "object", "versioning": True, "onDelete": "Delete", "adopt": "models-7f3k9x2a"},
        {
            **{"region": "eu-north-1", "versioning": True, "objectLock": {"mode": "Compliance", "days": 30}},
            **{"tags": {"team": "vision"}, "quota": "10Gi", "publicRead": True, "emptyOnDelete": True},
            "lifecycle": [{"prefix": "tmp/", "expireDays": 3, "noncurrentDays": 4, "abortMultipartDays": 5}],
            "cors": [{"origins": ["*"], "methods": ["GET"], "headers": ["x"], "expose": ["ETag"], "maxAgeSeconds": 9}],
            "share": {"from": "Names", "names": ["team-a"]},
        },
    ],
    "BucketKey": [
        {
            "buckets": [{"name": "models", "namespace": "research", "access": "ReadWrite"}],
            **{"secretName": "s3", "rotateAfter": "720h", "overlap": "1h", "rotate": "1", "expireAfter": "999h"},
            "revoked": False,
        }
    ],
    "StorageBackend": [
        {
            "engine": {"ganesha": {"namespace": "moorage", "statefulSet": "moorage-nfs"}},
            **{"default": False, "minNodes": 3, "nodeSelector": {"pool": "gpu"}, "mountOptions": ["nconnect=4"]},
        },
        {
            "engine": {
                "nfs": {
                    **{"server": "filer", "path": "/export", "folder": "a/${namespace}/${name}-${id}"},
                    **{"size": "advisory", "adopt": "/home/${namespace}"},
                }
            }
        },
        {"engine": {"local": {"namespace": "m", "daemonSet": "d", "overcommit": True, "volumeGroup": "vg0"}}},
        {
            "engine": {
                "s3": {
                    "flavor": "versitygw",
                    "endpoint": "http://s3:7070",
                    "adminEndpoint": "http://s3:7071",
                    "region": "us-east-1",
                    "credentialsSecret": {"name": "root", "namespace": "moorage"},
                }
            }
        },
    ],
}
TRAPS = [
    *("", " ", "/", "//", "..", "/..", "-", "a-", "a--b", "a.b", "A", "*", "%00", "true", "null", "{}", "0", "-1"),
    *("1Gi\n", "\u0000", "\u0085", "\u2028", "\u202e", "\ufeff", "\U0001f4be", "é", "e\u0301", "\uff11Gi", "\ud7ff"),
    *("a" * 47, "a" * 64, "a" * 254, "ü" * 600, "/" + "f" * 255, "1e9", "999999999999999Pi", "0x10", "+1Gi", "1gi"),
]
PLAUSIBLE = [
    "a",
    "0",
    "team-a",
    "models",
    "/x y",
    "/é",
    "10Gi",
    "1G",
    "All",
    "Same",
    "Exists",
    "http://h",
    True,
    False,
    5,
]
JUNK = st.one_of(
    st.sampled_from(PLAUSIBLE),
    st.sampled_from(TRAPS),
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2.0, 1.5, 2**31, 2**63, -(2**63), 10**30, 1e300]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from(TRAPS), max_size=3),
    st.dictionaries(st.sampled_from(TRAPS), st.sampled_from(TRAPS), max_size=2),
)
Place = tuple[Any, ...]


def places(value: Any, here: Place = ()) -> list[Place]:
    """Where something can be put instead."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [each for key, inner in pairs for each in ((*here, key), *places(inner, (*here, key)))]


@st.composite
def spoilt(draw: st.DrawFn, wholes: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole spec with one or two values replaced or taken out."""
    spec = copy.deepcopy(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(places(spec) or [()]))
        if not place:
            break
        inside: Any = spec
        for key in place[:-1]:
            inside = inside[key]
        if draw(st.booleans()) and isinstance(inside, dict):
            del inside[place[-1]]
        else:
            inside[place[-1]] = draw(JUNK)
    return spec


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_the_server_admits_our_models_read(api: Any, kind: type[Resource]) -> None:
    admitted: list[int] = []

    @settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(spoilt(WHOLE[kind.__name__]), st.sampled_from(["Strict", "Ignore"]))
    def check(spec: dict[str, Any], validation: str) -> None:
        body = {"apiVersion": names.API_VERSION, "kind": kind.__name__, "metadata": {"name": "fuzz"}, "spec": spec}
        answer = api.call("POST", api.path(kind), body, fieldValidation=validation, dryRun="All")
        assert answer.status_code in (201, 400, 422), answer.text
        if answer.ok:
            admitted.append(1)
            stored = answer.json()
            read = kind.model_validate(stored)
            assert read.model_dump(mode="json", by_alias=True, exclude_none=True)["spec"] == stored["spec"]

    check()

    assert 10 < len(admitted) < 250  # neither all nor nothing got through
