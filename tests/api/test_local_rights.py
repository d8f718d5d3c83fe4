"""The chart's admission policy holds each agent of the nodes' disks to its own node and to what it has to tell."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from chart import collection, create, rendered

from moorage.model import StorageBackend, StorageVolume

NAMESPACE = "moorage-local-rights"
KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy")
GROUP = "/apis/moorage.dev/v1alpha1"


@pytest.fixture(scope="module")
def token(api: Any) -> Iterator[str]:
    """A token of the agent's pod on node-1, as the kubelet there has it; with two volumes, of node-1 and of node-2."""
    create(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    things = [each for each in rendered(namespace=NAMESPACE) if "local" in each["metadata"]["name"]]
    things = [each for each in things if each["kind"].startswith(KINDS)]
    for thing in things:
        assert create(api, thing).status_code == 201
    account = {"serviceAccountName": "moorage-local", "nodeName": "node-1"}
    pod = {"metadata": {"name": "agent"}, "spec": account | {"containers": [{"name": "c", "image": "x"}]}}
    made = api.call("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", {"apiVersion": "v1", "kind": "Pod", **pod}).json()
    api.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "agent", "uid": made["metadata"]["uid"]}
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/moorage-local/token"
    found = api.call("POST", path, {"spec": {"boundObjectRef": bound}}).json()["status"]["token"]
    for number in (1, 2):
        api.create(StorageVolume, f"disk-{number}", spec={"type": "local", "size": "1Gi"})
        placed = {"backend": "rights-local", "engine": "local", "server": f"node-{number}"}
        _status_by_operator(api, f"disk-{number}", placement=placed, phase="PROVISIONING")
    engine = {"local": {"namespace": NAMESPACE, "daemonSet": "moorage-local"}}
    api.create(StorageBackend, "rights-local", spec={"engine": engine})
    ganesha = {"ganesha": {"namespace": NAMESPACE, "statefulSet": "moorage-nfs"}}
    api.create(StorageBackend, "rights-shared", spec={"engine": ganesha})
    _until_it_acts(api, found)
    yield found
    for thing in things:
        api.call("DELETE", f"{collection(thing)}/{thing['metadata']['name']}")
    for kind, name in ((StorageVolume, "disk-1"), (StorageVolume, "disk-2")):
        api.call("DELETE", api.path(kind, name))
    for name in ("rights-local", "rights-shared"):
        api.call("DELETE", api.path(StorageBackend, name))
    api.call("DELETE", "/api/v1/nodes/node-1")


def _until_it_acts(api: Any, token: str) -> None:
    """An API server takes a new policy into use a little later."""
    deadline = time.monotonic() + 30
    while tell(api, token, "StorageVolume", "disk-2", {"share": SHARE}, dryRun="All").status_code != 422:
        assert time.monotonic() < deadline, "the policy is not in use"
        time.sleep(0.1)


def _status_by_operator(api: Any, name: str, **status: Any) -> None:
    body = {"apiVersion": "moorage.dev/v1alpha1", "kind": "StorageVolume", "metadata": {"name": name}, "status": status}
    path = f"{GROUP}/namespaces/default/storagevolumes/{name}/status"
    query = {"fieldManager": "moorage-operator", "force": "true"}
    answer = api.call("PATCH", path, body, kind="application/apply-patch+yaml", **query)
    assert answer.status_code == 200, answer.text


def tell(api: Any, token: str, kind: str, name: str, status: dict[str, Any], **more: str) -> requests.Response:
    """As the agent does it."""
    where = "namespaces/default/storagevolumes" if kind == "StorageVolume" else "storagebackends"
    path = f"{api.url}{GROUP}/{where}/{name}/status"
    body = {"apiVersion": "moorage.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "status": status}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/apply-patch+yaml"}
    query = {"fieldManager": "moorage-agent-node-1", "force": "true", **more}
    return requests.patch(path, json=body, headers=headers, params=query, verify=str(api.certificate), timeout=30)


SHARE = {"state": "Served", "server": "node-1", "path": "/x", "exportId": 1, "sizeBytes": 2**30}


def entry(node: str) -> dict[str, Any]:
    return {"name": node, "node": node, "totalBytes": 5, "freeBytes": 5}


def test_it_may_say_what_an_agent_has_to_say(api: Any, token: str) -> None:
    usage = {"usedBytes": 1, "freeBytes": 2, "inodes": 3, "inodesUsed": 1}
    share = tell(api, token, "StorageVolume", "disk-1", {"share": SHARE, "usage": usage})
    server = tell(api, token, "StorageBackend", "rights-local", {"servers": [entry("node-1")]})

    assert (share.status_code, server.status_code) == (200, 200), share.text + server.text


@pytest.mark.parametrize(
    ("kind", "name", "status", "sentence"),
    [
        ("StorageVolume", "disk-2", {"share": SHARE}, "about volumes of its own node only"),
        ("StorageVolume", "disk-1", {"phase": "READY"}, "writes status.share and status.usage only"),
        ("StorageVolume", "disk-1", {"attributes": {"type": "shared"}}, "writes status.share and status.usage only"),
        ("StorageVolume", "disk-1", {"secretRef": {"name": "a", "namespace": "b"}}, "status.share and status.usage"),
        ("StorageBackend", "rights-shared", {"servers": [entry("node-1")]}, "backends of the nodes' disks only"),
        ("StorageBackend", "rights-local", {"servers": [entry("node-2")]}, "its own entry in status.servers only"),
        ("StorageBackend", "rights-local", {"engine": "s3"}, "writes status.servers only"),
    ],
)  # fmt: skip
def test_nothing_else(api: Any, token: str, kind: str, name: str, status: dict[str, Any], sentence: str) -> None:
    answer = tell(api, token, kind, name, status)

    assert answer.status_code == 422, answer.text
    assert sentence in answer.json()["message"]
