"""What kubectl shows: columns, short names, the category, explain, field selectors."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from moorage import names
from moorage.model import KINDS, Bucket, Resource, StorageAttachment, StorageBackend, StorageVolume

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
SHARED = {"type": "shared", "size": "1Gi"}
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "mount it",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def row(api: Any, kind: type[Resource], name: str, wide: bool = False) -> dict[str, Any]:
    """One object as `kubectl get` shows it: column to cell."""
    table = api.call("GET", api.path(kind, name), accept=TABLE).json()
    columns = [(n, column) for n, column in enumerate(table["columnDefinitions"]) if wide or not column["priority"]]
    return {column["name"]: table["rows"][0]["cells"][n] for n, column in columns}


def write(api: Any, kind: type[Resource], name: str, spec: dict[str, Any], status: dict[str, Any]) -> None:
    assert api.create(kind, name, spec=spec).status_code == 201
    assert api.merge(api.path(kind, name) + "/status", {"status": status}).status_code == 200


def test_columns_of_a_volume(api: Any) -> None:
    placement = {"backend": "shared", "engine": "ganesha"}
    status = {"phase": "READY", "attached": 2, "placement": placement, "conditions": [READY]}
    write(api, StorageVolume, "columns", SHARED, status)

    narrow, wide = row(api, StorageVolume, "columns"), row(api, StorageVolume, "columns", wide=True)

    assert list(narrow) == ["Name", "Type", "Size", "Phase", "Ready", "Attached", "Age"]
    assert list(narrow.values())[:6] == ["columns", "shared", "1Gi", "READY", "True", 2]
    assert (wide["Backend"], wide["Reason"], wide["Message"]) == ("shared", "Ready", "mount it")


def test_columns_of_an_object_volume_without_status_are_empty(api: Any) -> None:
    api.create(StorageVolume, "columns-object", spec={"type": "object"})

    shown = row(api, StorageVolume, "columns-object")

    assert [shown[name] for name in ("Type", "Size", "Phase", "Ready", "Attached")] == [
        "object",
        None,
        None,
        None,
        None,
    ]


def test_columns_of_a_bucket(api: Any) -> None:
    status = {"phase": "READY", "bucketName": "columns-abcdefgh", "endpoint": "http://s3:7070", "conditions": [READY]}
    write(api, Bucket, "columns", {}, status)

    narrow, wide = row(api, Bucket, "columns"), row(api, Bucket, "columns", wide=True)

    assert list(narrow) == ["Name", "Phase", "Bucket", "Ready", "Attached", "Age"]
    assert list(narrow.values())[:4] == ["columns", "READY", "columns-abcdefgh", "True"]
    assert (wide["Endpoint"], wide["Reason"]) == ("http://s3:7070", "Ready")


def test_columns_of_a_backend(api: Any) -> None:
    spec = {"engine": {"ganesha": {"namespace": "moorage", "statefulSet": "moorage-nfs"}}, "default": True}
    write(api, StorageBackend, "columns", spec, {"engine": "ganesha", "free": "84Gi", "conditions": [READY]})

    shown = row(api, StorageBackend, "columns")
    api.call("DELETE", api.path(StorageBackend, "columns"))  # a default one would take other tests' volumes

    assert list(shown) == ["Name", "Engine", "Default", "Ready", "Free", "Age"]
    assert list(shown.values())[:5] == ["columns", "ganesha", True, "True", "84Gi"]


def test_columns_of_an_attachment(api: Any) -> None:
    spec = {"volume": {"name": "data", "namespace": "research"}, "mountFrom": "/a", "nodes": {"selector": {}}}
    status = {"phase": "ATTACHING", "nodes": "3/4", "attached": 3, "mountAs": "/mnt/shared-7f3k9x2a"}
    write(api, StorageAttachment, "columns", spec, {**status, "lagging": ["node-4"], "conditions": [READY]})

    narrow, wide = row(api, StorageAttachment, "columns"), row(api, StorageAttachment, "columns", wide=True)

    assert list(narrow) == ["Name", "Volume", "Phase", "Ready", "Nodes", "Attached", "Age"]
    assert list(narrow.values())[:6] == ["columns", "data", "ATTACHING", "True", "3/4", 3]
    assert (wide["Volume-Namespace"], wide["From"], wide["As"]) == ("research", "/a", "/mnt/shared-7f3k9x2a")
    assert wide["Message"] == "mount it"


def test_discovery_names_the_kinds_as_people_call_them(api: Any) -> None:
    found = {
        each["kind"]: (each["shortNames"], each["categories"], each["namespaced"])
        for each in api.call("GET", f"/apis/{names.API_VERSION}").json()["resources"]
        if "/" not in each["name"]
    }

    assert found == {
        "StorageVolume": (["sv"], ["storage"], True),
        "StorageAttachment": (["satt"], ["storage"], True),
        "StorageSnapshot": (["ssnap"], ["storage"], True),
        "Bucket": (["bkt"], ["storage"], True),
        "BucketKey": (["bk"], ["storage"], True),
        "StorageBackend": (["sb"], ["storage"], False),
    }


def published(api: Any, kind: type[Resource]) -> list[tuple[str, dict[str, Any]]]:
    """Path and schema of every field of spec and status, as `kubectl explain` reads them."""
    document = api.call("GET", f"/openapi/v3/apis/{names.API_VERSION}").json()
    schema = document["components"]["schemas"][f"dev.moorage.{names.VERSION}.{kind.__name__}"]

    def below(schema: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
        inner = [*schema.get("properties", {}).items(), *((("[]", schema["items"]),) if "items" in schema else ())]
        return [(path, schema), *(each for name, value in inner for each in below(value, f"{path}.{name}"))]

    return [each for part in ("spec", "status") for each in below(schema["properties"][part], part)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_server_publishes_a_sentence_for_every_field(api: Any, kind: type[Resource]) -> None:
    silent = [path for path, schema in published(api, kind) if not schema.get("description", "").endswith(".")]

    assert silent == []


# What a number or a text with a unit counts; each word is searched in the field's description.
UNITS = (
    "bytes",
    "seconds",
    "How many",
    "how many",
    "Fewest nodes",
    "metadata.generation",
    "Number of the export",
    "by number",
)
SIZES = ("size", "sizeBytes", "capacity", "free", "freeBytes", "totalBytes")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_quantity_says_its_unit(api: Any, kind: type[Resource]) -> None:
    fields = published(api, kind)
    numbers = {path: each["description"] for path, each in fields if each.get("type") in ("integer", "number")}
    sizes = {path: each["description"] for path, each in fields if path.rpartition(".")[2] in SIZES}
    moments = {path: each["description"] for path, each in fields if each.get("format") == "date-time"}

    assert [path for path, text in numbers.items() if not any(unit in text for unit in UNITS)] == []
    assert [path for path, text in sizes.items() if "bytes" not in text] == (
        ["spec.engine.nfs.size"] if kind is StorageBackend else []  # no size, but that none is enforced
    )
    assert [path for path, text in moments.items() if "RFC 3339" not in text] == []
    assert numbers and moments


def test_every_crd_is_structural_and_its_names_are_accepted(api: Any) -> None:
    crds = api.call("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions").json()["items"]

    conditions = {
        (crd["metadata"]["name"], each["type"]): each["status"] for crd in crds for each in crd["status"]["conditions"]
    }

    assert len(crds) == len(KINDS)
    for crd in crds:
        name = crd["metadata"]["name"]
        assert conditions[name, "Established"] == conditions[name, "NamesAccepted"] == "True"
        assert (name, "NonStructuralSchema") not in conditions


def test_a_server_finds_its_volumes_by_field(api: Any) -> None:
    for name, server in (("on-7", "nfs-7"), ("on-8", "nfs-8")):
        placement = {"backend": "shared", "engine": "ganesha", "server": server}
        write(api, StorageVolume, name, SHARED, {"placement": placement})

    found = api.call("GET", api.path(StorageVolume), fieldSelector="status.placement.server=nfs-7").json()["items"]

    assert [each["metadata"]["name"] for each in found] == ["on-7"]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("sv.spec.size", "in bytes, with a unit, such as 500Gi: from 256Mi to 64Pi"),
        ("satt.spec.nodes", "Also mount it on the nodes of a group"),
        ("bkt.status.phaseSince", "When `phase` last changed (RFC 3339)"),
        ("sb.status.servers.freeBytes", "Room for new volumes, in bytes"),
    ],
)
def test_kubectl_explains_a_field(kubectl: list[str], field: str, words: str) -> None:
    said = run(kubectl, "explain", field)

    assert words in " ".join(said.stdout.split())


def test_kubectl_tells_a_user_what_to_write_instead(kubectl: list[str]) -> None:
    manifest = f"""
apiVersion: {names.API_VERSION}
kind: StorageVolume
metadata: {{name: small}}
spec: {{type: shared, size: 1Mi}}
"""

    client_side = run(kubectl, "apply", "-f", "-", input=manifest)
    server_side = run(kubectl, "apply", "--server-side", "-f", "-", input=manifest)

    sentence = "spec.size: Invalid value: size must be at least 256Mi: ask for more\n"
    assert (client_side.returncode, server_side.returncode) == (1, 1)
    assert client_side.stderr.endswith(sentence) and server_side.stderr.endswith(sentence)


def run(kubectl: list[str], *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*kubectl, *arguments], input=input, capture_output=True, text=True, timeout=60, check=False)
