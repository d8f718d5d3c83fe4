"""The chart on a real API server: every object is accepted, and each account may do what it needs and no more."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from chart import NAMESPACE, Api, collection, create, rendered

from moorage import filerpod, holderset
from moorage.attachmentfacts import AttachmentFacts, HolderImage
from moorage.filerpod import WorkerPod
from moorage.model import StorageAttachment, StorageBackend

OPERATOR, CONTROLLER, NODE, AGENT, CLEANUP, MOUNTER, S3, TEST, FILER = (
    f"system:serviceaccount:{NAMESPACE}:moorage-{component}"
    for component in ("operator", "csi-controller", "csi-node", "nfs", "cleanup", "mounter", "s3", "test", "filer")
)
MOORAGE, CORE, APPS = "moorage.dev", "", "apps"


@pytest.fixture(scope="module")
def chart(api: Api) -> Iterator[list[dict[str, Any]]]:
    """The chart's objects, created for the module's tests."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    assert create(api, namespace).status_code == 201
    things = rendered()
    for thing in things:
        answer = create(api, thing)
        assert answer.status_code == 201, f"{thing['kind']} {thing['metadata']['name']}: {answer.text}"
    yield things
    for thing in things:
        # By default a Job's deletion waits for a garbage collector, and there is none.
        api.call("DELETE", f"{collection(thing)}/{thing['metadata']['name']}?propagationPolicy=Background")


def may(api: Api, user: str, verb: str, group: str, resource: str, name: str = "", namespace: str = "default") -> bool:
    resource, _, sub = resource.partition("/")
    asked = {
        "verb": verb,
        "group": group,
        "resource": resource,
        "subresource": sub,
        "name": name,
        "namespace": namespace,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": asked},
    }
    answer = api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer.json()["status"]["allowed"])


def create_as(api: Api, user: str, thing: dict[str, Any], **query: str) -> int:
    return _send_as(api, user, "POST", collection(thing), json=thing, params=query).status_code


def _send_as(
    api: Api, user: str, verb: str, path: str, kind: str = "application/json", **more: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {api.token}", "Impersonate-User": user, "Content-Type": kind}
    return requests.request(verb, api.url + path, headers=headers, verify=str(api.certificate), timeout=30, **more)


def role(name: str, verb: str, *secrets: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"apiGroups": [""], "resources": ["secrets"], "verbs": [verb]}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": "default"},
        "rules": [rule | ({"resourceNames": list(secrets)} if secrets else {})],
    }


def test_every_object_is_accepted_without_a_warning(api: Api, chart: list[dict[str, Any]]) -> None:
    kinds = {thing["kind"] for thing in chart}

    warnings = [
        create(api, thing, dryRun="All").headers.get("Warning") for thing in rendered("--set", "s3.data.hostPath=/s")
    ]

    assert {"StatefulSet", "DaemonSet", "Deployment", "CSIDriver", "StorageClass", "StorageBackend", "Job"} <= kinds
    assert [each for each in warnings if each] == []


@pytest.mark.parametrize(
    ("user", "verb", "group", "resource"),
    [
        (OPERATOR, "watch", MOORAGE, "storagevolumes"),
        (OPERATOR, "patch", MOORAGE, "storagevolumes/status"),
        (OPERATOR, "patch", MOORAGE, "storagebackends/status"),
        (OPERATOR, "create", MOORAGE, "buckets"),
        (OPERATOR, "patch", CORE, "persistentvolumes"),
        (OPERATOR, "create", CORE, "persistentvolumeclaims"),
        (OPERATOR, "list", CORE, "pods"),
        (OPERATOR, "get", CORE, "secrets"),
        (OPERATOR, "create", "events.k8s.io", "events"),
        (OPERATOR, "watch", MOORAGE, "storageattachments"),
        (OPERATOR, "patch", MOORAGE, "storageattachments"),
        (OPERATOR, "patch", MOORAGE, "storageattachments/status"),
        (OPERATOR, "watch", MOORAGE, "storagesnapshots"),
        (OPERATOR, "patch", MOORAGE, "storagesnapshots/status"),
        (OPERATOR, "update", MOORAGE, "storageattachments/finalizers"),
        (OPERATOR, "watch", CORE, "nodes"),
        (OPERATOR, "watch", CORE, "namespaces"),
        (OPERATOR, "watch", APPS, "daemonsets"),
        (OPERATOR, "create", APPS, "daemonsets"),
        (OPERATOR, "patch", APPS, "daemonsets"),
        (OPERATOR, "delete", APPS, "daemonsets"),
        (CONTROLLER, "create", MOORAGE, "storagevolumes"),
        (CONTROLLER, "list", MOORAGE, "storagebackends"),
        (CONTROLLER, "create", CORE, "persistentvolumes"),
        (CONTROLLER, "patch", CORE, "persistentvolumeclaims/status"),
        (CONTROLLER, "list", "storage.k8s.io", "storageclasses"),
        (NODE, "get", MOORAGE, "storagevolumes"),
        (NODE, "get", MOORAGE, "storageattachments"),
        (NODE, "get", MOORAGE, "buckets"),
        (AGENT, "watch", MOORAGE, "storagevolumes"),
        (AGENT, "patch", MOORAGE, "storagevolumes/status"),
        (AGENT, "watch", MOORAGE, "storagesnapshots"),
        (AGENT, "patch", MOORAGE, "storagesnapshots/status"),
        (AGENT, "patch", MOORAGE, "storagebackends/status"),
        (AGENT, "watch", CORE, "nodes"),
        (CLEANUP, "list", MOORAGE, "buckets"),
        (CLEANUP, "patch", MOORAGE, "storagebackends"),
        (CLEANUP, "list", MOORAGE, "storageattachments"),
        (CLEANUP, "patch", MOORAGE, "storageattachments"),
        (CLEANUP, "patch", MOORAGE, "storagesnapshots"),
        (TEST, "get", MOORAGE, "storagebackends"),
    ],
)
def test_an_account_may_do_what_it_needs(
    api: Api, chart: list[dict[str, Any]], user: str, verb: str, group: str, resource: str
) -> None:
    assert may(api, user, verb, group, resource)


@pytest.mark.parametrize(
    ("user", "verb", "group", "resource"),
    [
        (OPERATOR, "list", CORE, "secrets"),
        (OPERATOR, "watch", CORE, "secrets"),
        (OPERATOR, "delete", MOORAGE, "storagevolumes"),
        (OPERATOR, "delete", MOORAGE, "storageattachments"),
        (OPERATOR, "delete", MOORAGE, "storagesnapshots"),
        (OPERATOR, "patch", CORE, "nodes"),
        (OPERATOR, "patch", CORE, "namespaces"),
        (OPERATOR, "create", APPS, "deployments"),
        (OPERATOR, "deletecollection", APPS, "daemonsets"),
        (OPERATOR, "escalate", "rbac.authorization.k8s.io", "roles"),
        (CONTROLLER, "get", CORE, "secrets"),
        (CONTROLLER, "patch", MOORAGE, "storagevolumes/status"),
        (NODE, "get", CORE, "secrets"),
        (NODE, "list", CORE, "secrets"),
        (NODE, "list", MOORAGE, "storagevolumes"),
        (NODE, "patch", MOORAGE, "storagevolumes"),
        (NODE, "list", MOORAGE, "storageattachments"),
        (NODE, "patch", MOORAGE, "storageattachments"),
        (NODE, "list", MOORAGE, "buckets"),
        (NODE, "get", CORE, "pods"),
        (AGENT, "patch", MOORAGE, "storagevolumes"),
        (AGENT, "get", CORE, "secrets"),
        (MOUNTER, "get", MOORAGE, "storagevolumes"),
        (S3, "get", CORE, "secrets"),
        (CLEANUP, "delete", MOORAGE, "storagevolumes"),
        (CLEANUP, "delete", MOORAGE, "storageattachments"),
        (CLEANUP, "get", CORE, "secrets"),
        (TEST, "list", CORE, "secrets"),
    ],
)
def test_an_account_may_not_do_what_it_does_not_need(
    api: Api, chart: list[dict[str, Any]], user: str, verb: str, group: str, resource: str
) -> None:
    assert not may(api, user, verb, group, resource)
    assert not may(api, user, verb, group, resource, namespace=NAMESPACE)


def test_the_operator_lets_the_node_read_one_secret_and_gives_away_no_more(
    api: Api, chart: list[dict[str, Any]]
) -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "moorage-abcdefgh", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "moorage-abcdefgh"},
        "subjects": [{"kind": "ServiceAccount", "name": "moorage-csi-node", "namespace": NAMESPACE}],
    }

    assert create_as(api, OPERATOR, role("moorage-abcdefgh", "get", "models-s3")) == 201
    assert create_as(api, OPERATOR, binding) == 201
    assert create_as(api, OPERATOR, role("greedy", "list")) == 403

    assert may(api, NODE, "get", CORE, "secrets", "models-s3")
    assert not may(api, NODE, "get", CORE, "secrets", "other-s3")


def test_the_hook_may_stop_the_operator_and_nothing_else(api: Api, chart: list[dict[str, Any]]) -> None:
    assert may(api, CLEANUP, "patch", "apps", "deployments", "moorage-operator", NAMESPACE)
    assert not may(api, CLEANUP, "patch", "apps", "deployments", "moorage-csi-controller", NAMESPACE)
    assert not may(api, CLEANUP, "patch", "apps", "deployments", "moorage-operator", "default")


HOLDER_IMAGE = "docker.io/moorage/moorage:0.1.0"


def holder(**changes: Any) -> dict[str, Any]:
    """The DaemonSet of an attachment, as the operator makes it; `changes` by path, as pod__hostNetwork."""
    metadata = {"name": "imagenet", "namespace": "default", "uid": "4fd1b3a2"}
    spec = {"volume": {"name": "data"}, "nodes": {"selector": {"matchLabels": {"pool": "gpu"}}}}
    attachment = StorageAttachment.model_validate({"metadata": metadata, "spec": spec})
    assert attachment.spec.nodes
    facts = AttachmentFacts(attachment, "2026-01-01T00:00:00Z", HolderImage(HOLDER_IMAGE))
    thing = holderset.daemon_set(facts, attachment.spec.nodes.selector)
    pod = thing["spec"]["template"]["spec"]
    parts = {"metadata": thing["metadata"], "pod": pod, "container": pod["containers"][0]}
    for path, value in changes.items():
        part, _, field = path.partition("__")
        parts[part][field] = value
    return thing


def filer_worker(**changes: Any) -> dict[str, Any]:
    """The pod of a filer's worker, as the operator makes it; `changes` by path, as pod__hostNetwork."""
    nfs = {"server": "filer", "path": "/export", "size": "advisory"}
    metadata = {"name": "nas", "uid": "4fd1b3a2", "generation": 1}
    backend = StorageBackend.model_validate({"metadata": metadata, "spec": {"engine": {"nfs": nfs}}})
    thing = filerpod.worker(backend, WorkerPod(NAMESPACE, HOLDER_IMAGE), 0)
    parts = {"metadata": thing["metadata"], "pod": thing["spec"], "container": thing["spec"]["containers"][0]}
    for path, value in changes.items():
        part, _, field = path.partition("__")
        parts[part][field] = value
    return thing


SECRET_ENV = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata__name": "other"},
        {"metadata__labels": {}},
        {"pod__hostNetwork": True},
        {"pod__hostPID": True},
        {"pod__serviceAccountName": "admin"},
        {"pod__automountServiceAccountToken": True},
        {"pod__securityContext": {}},
        {"pod__volumes": [{"name": "volume", "hostPath": {"path": "/"}}]},
        {"pod__volumes": [{"name": "volume", "secret": {"secretName": "s"}}]},
        {"pod__volumes": [{"name": "volume", "projected": {"sources": []}}]},
        {"pod__initContainers": [{"name": "i", "image": "docker.io/library/busybox"}]},
        {"container__image": "docker.io/library/busybox"},
        {"container__securityContext": {"privileged": True}},
        {"container__securityContext": {}},
        {"container__securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"add": ["SYS_ADMIN"]}}},
        {"container__env": SECRET_ENV},
        {"container__envFrom": [{"secretRef": {"name": "s"}}]},
        {"container__env": [{"name": "PATH", "value": "/volume"}]},
        {"container__command": ["python", "-c", "print(open('/volume/secret').read())"]},
        {"container__command": None},
        {"container__args": ["infinity"]},
        {"container__lifecycle": {"postStart": {"exec": {"command": ["cat", "/volume/secret"]}}}},
        {"container__livenessProbe": {"exec": {"command": ["cat", "/volume/secret"]}}},
        {"container__startupProbe": {"exec": {"command": ["cat", "/volume/secret"]}}},
        {"container__readinessProbe": {"exec": {"command": ["cat", "/volume/secret"]}}},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_the_operators_daemonsets_can_hold_mounts_and_do_nothing_else(
    api: Api, guarded: None, changes: dict[str, Any]
) -> None:
    thing = holder(**changes)

    assert create_as(api, OPERATOR, thing, dryRun="All") == 422
    assert create(api, thing, dryRun="All").status_code == 201  # others make what they may


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata__name": "other"},
        {"metadata__labels": {}},
        {"pod__hostNetwork": True},
        {"pod__hostPID": True},
        {"pod__serviceAccountName": "moorage-operator"},
        {"pod__volumes": [{"name": "tmp", "hostPath": {"path": "/"}}]},
        {"pod__volumes": [{"name": "tmp", "secret": {"secretName": "s"}}]},
        {"pod__volumes": [{"name": "tmp", "persistentVolumeClaim": {"claimName": "c"}}]},
        {"pod__volumes": [{"name": "tmp", "projected": {"sources": [{"secret": {"name": "s"}}]}}]},
        {"pod__initContainers": [{"name": "i", "image": HOLDER_IMAGE}]},
        {"container__image": "docker.io/library/busybox"},
        {"container__command": ["python3", "-c", "print(1)"]},
        {"container__args": ["x"]},
        {"container__env": SECRET_ENV},
        {"container__env": [{"name": "PYTHONPATH", "value": "/tmp"}]},
        {"container__env": [{"name": "MOORAGE_X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        {"container__envFrom": [{"secretRef": {"name": "s"}}]},
        {"container__securityContext": {"privileged": True}},
        {"container__securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}},
        {"container__lifecycle": {"postStart": {"exec": {"command": ["id"]}}}},
        {"container__livenessProbe": {"exec": {"command": ["id"]}}},
        {"container__readinessProbe": {"exec": {"command": ["id"]}}},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_the_operators_pods_are_workers_of_filers_and_nothing_else(
    api: Api, guarded: None, filers_guarded: None, changes: dict[str, Any]
) -> None:
    assert create_as(api, OPERATOR, filer_worker(**changes), dryRun="All") == 422


def test_the_operator_makes_and_deletes_workers_in_the_releases_namespace_only(
    api: Api, guarded: None, filers_guarded: None
) -> None:
    foreign = filer_worker(metadata__name="of-others", metadata__labels={})
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    assert create(api, foreign).status_code == 201

    made = create_as(api, OPERATOR, filer_worker())
    gone = _send_as(api, OPERATOR, "DELETE", f"{path}/moorage-filer-nas")
    kept = _send_as(api, OPERATOR, "DELETE", f"{path}/of-others")
    api.call("DELETE", f"{path}/of-others")

    assert (made, gone.status_code, kept.status_code) == (201, 200, 422)
    assert not may(api, OPERATOR, "create", CORE, "pods")
    assert may(api, OPERATOR, "create", CORE, "pods", namespace=NAMESPACE)
    assert not may(api, FILER, "create", CORE, "pods", namespace=NAMESPACE)
    assert not may(api, FILER, "patch", MOORAGE, "storagevolumes")
    assert may(api, FILER, "patch", MOORAGE, "storagevolumes/status")


def test_the_operator_touches_no_daemonset_of_others(api: Api, guarded: None) -> None:
    foreign = holder(metadata__name="moorage-lookalike", metadata__labels={})
    path = f"{collection(foreign)}/moorage-lookalike"
    assert create(api, foreign).status_code == 201

    claimed = json.dumps({"metadata": {"labels": {"moorage.dev/attachment-uid": "1"}}})
    patched = _send_as(api, OPERATOR, "PATCH", path, "application/merge-patch+json", data=claimed)
    deleted = _send_as(api, OPERATOR, "DELETE", path)
    api.call("DELETE", path)

    assert (patched.status_code, deleted.status_code) == (422, 422)
    assert "DaemonSets of StorageAttachments only" in deleted.json()["message"]


def test_the_operator_makes_nothing_more_of_a_daemonset_of_its_own(api: Api, guarded: None) -> None:
    path = f"{collection(holder())}/{holder()['metadata']['name']}"
    assert create_as(api, OPERATOR, holder()) == 201
    evil = json.dumps({"spec": {"template": {"spec": {"hostPID": True}}}})
    anonymous = json.dumps({"metadata": {"labels": {"moorage.dev/attachment-uid": None}}})

    answers = [
        _send_as(api, OPERATOR, "PATCH", path, "application/merge-patch+json", data=body) for body in (evil, anonymous)
    ]
    gone = _send_as(api, OPERATOR, "DELETE", path)

    assert [each.status_code for each in answers] == [422, 422]
    assert gone.status_code == 200


@pytest.fixture(scope="module")
def guarded(api: Api, chart: list[dict[str, Any]]) -> None:
    """The API server has read the admission policy: it takes some moments after its creation."""
    end = time.monotonic() + 60
    while create_as(api, OPERATOR, holder(metadata__name="other"), dryRun="All") != 422:
        assert time.monotonic() < end, "the admission policy does not come into force"
        time.sleep(0.2)
    answer = _send_as(api, OPERATOR, "POST", collection(holder()), json=holder(), params={"dryRun": "All"})
    assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
def filers_guarded(api: Api, chart: list[dict[str, Any]]) -> None:
    end = time.monotonic() + 60
    while create_as(api, OPERATOR, filer_worker(metadata__name="other"), dryRun="All") != 422:
        assert time.monotonic() < end, "the admission policy does not come into force"
        time.sleep(0.2)
    answer = _send_as(api, OPERATOR, "POST", collection(filer_worker()), json=filer_worker(), params={"dryRun": "All"})
    assert answer.status_code == 201, answer.text


def test_only_what_mounts_or_makes_loop_devices_needs_a_privileged_namespace(
    api: Api, chart: list[dict[str, Any]]
) -> None:
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "restricted", "labels": label}}
    assert create(api, namespace).status_code == 201
    admitted: dict[str, bool] = {}

    for thing in (each for each in (*chart, holder()) if "template" in each.get("spec", {})):
        template = thing["spec"]["template"]
        claims = [
            {"name": each["metadata"]["name"], "emptyDir": {}} for each in thing["spec"].get("volumeClaimTemplates", ())
        ]
        template["spec"]["volumes"] = [*template["spec"].get("volumes", ()), *claims]
        # Critical priority is bounded by a quota in some namespaces, which is not what is asked here.
        template["spec"].pop("priorityClassName", None)
        metadata = {"name": thing["metadata"]["name"], "namespace": "restricted"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        admitted[metadata["name"]] = create(api, pod, dryRun="All").status_code == 201

    assert admitted.pop(holder()["metadata"]["name"])
    assert admitted == {
        "moorage-operator": True,
        "moorage-csi-controller": True,
        "moorage-s3": True,
        "moorage-cleanup": True,
        "moorage-csi-node": False,
        "moorage-mounter": False,
        "moorage-nfs": False,
        "moorage-local": False,
    }


def test_the_csi_controller_may_take_snapshots_and_tell_of_room_in_its_own_namespace_only(
    api: Api, chart: list[dict[str, Any]]
) -> None:
    for verb in ("get", "list", "create", "patch", "delete"):
        assert may(api, CONTROLLER, verb, MOORAGE, "storagesnapshots")
    assert not may(api, CONTROLLER, "patch", MOORAGE, "storagesnapshots/status")
    assert may(api, CONTROLLER, "create", "storage.k8s.io", "csistoragecapacities", namespace=NAMESPACE)
    assert not may(api, CONTROLLER, "create", "storage.k8s.io", "csistoragecapacities")
    assert may(api, CONTROLLER, "get", CORE, "pods", namespace=NAMESPACE)
    assert not may(api, CONTROLLER, "get", CORE, "pods")


def test_the_node_plugin_may_get_nodes_and_not_list_them(api: Api, chart: list[dict[str, Any]]) -> None:
    assert may(api, NODE, "get", CORE, "nodes", "node-1")
    assert not may(api, NODE, "list", CORE, "nodes")
