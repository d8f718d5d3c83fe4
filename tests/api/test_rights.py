"""The rights that the chart gives are enough: each account does all of its work with its own token."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from bed import Bed, until
from chart import collection, create, rendered
from kubernetes.aio import client

from moorage import names
from moorage.actions import Manifest
from moorage.errors import Forbidden
from moorage_operator import hooks
from moorage_operator.cluster import Cluster

NAMESPACE = "moorage-rights"
KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
GUARD = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
IMAGE = "docker.io/moorage/moorage:0.1.0"  # that the guard admits


@pytest.fixture(scope="module")
def accounts(api: Any) -> Any:
    """The chart's accounts, rights and admission policy, without its workloads."""
    create(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    things = [each for each in rendered(namespace=NAMESPACE) if each["kind"] in (*KINDS, *GUARD)]
    for thing in things:
        answer = create(api, thing)
        assert answer.status_code == 201, answer.text
    yield
    for thing in things:
        api.call("DELETE", f"{collection(thing)}/{thing['metadata']['name']}")


async def acting_as(api: Any, account: str) -> Cluster:
    """A connection with a token of a ServiceAccount of the chart."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"
    token = api.call("POST", path, {"spec": {}}).json()["status"]["token"]
    configuration = client.Configuration(host=api.url, api_key={"BearerToken": f"Bearer {token}"})
    configuration.ssl_ca_cert = str(api.certificate)
    return Cluster(configuration)


@pytest.fixture
async def limited(api: Any, accounts: None, bed: Bed) -> AsyncIterator[Bed]:
    """The bed, with an operator that acts as the chart's account."""
    await bed.kill()
    bed.acting = await acting_as(api, "moorage-operator")
    bed.holder_image = IMAGE
    await bed.start()
    yield bed
    await bed.kill()
    await bed.acting.close()


async def test_the_operator_makes_and_destroys_everything_with_the_charts_rights(
    limited: Bed, two_nodes: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    bed = limited
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    await bed.make("Bucket", "models", spec={"versioning": True})
    await bed.make("StorageVolume", "shown", spec={"type": "object", "bucket": {"name": "models"}})
    await bed.make("StorageVolume", "owned", spec={"type": "object"})
    await bed.make("BucketKey", "reader", spec={"buckets": [{"name": "models"}]})
    await bed.make("StorageAttachment", "group", spec={"volume": {"name": "data"}, "nodes": two_nodes})

    ready = [await bed.phase(name, "READY") for name in ("data", "shown", "owned")]
    await bed.phase("models", "READY", "Bucket")
    await bed.phase("reader", "READY", "BucketKey")
    attachment = await bed.phase("group", "ATTACHING", "StorageAttachment")
    daemon_set = bed.ref("DaemonSet", names.holder(attachment["status"]["id"]), "apps/v1")
    await until(lambda: bed.cluster.get(daemon_set), lambda: bed._story("StorageAttachment", "group", "held"))
    events = [await bed.events(each["metadata"]["name"]) for each in ready]
    for kind, name in (
        ("StorageAttachment", "group"),
        ("StorageVolume", "data"),
        ("StorageVolume", "shown"),
        ("StorageVolume", "owned"),
        ("BucketKey", "reader"),
        ("Bucket", "models"),
    ):
        await bed.delete(kind, name)

    for kind, name in (
        ("StorageAttachment", "group"),
        ("StorageVolume", "data"),
        ("BucketKey", "reader"),
        ("Bucket", "models"),
    ):
        await bed.gone(kind, name)
    assert all("Ready" in each for each in events)
    assert await bed.cluster.get(daemon_set) is None
    assert [each.getMessage() for each in caplog.records if "forbidden" in each.getMessage().lower()] == []


async def test_the_hook_frees_everything_with_the_charts_rights(api: Any, accounts: None, bed: Bed) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    await bed.make("StorageAttachment", "again", spec={"volume": {"name": "data"}})
    await bed.phase("again", "READY", "StorageAttachment")
    await bed.kill()
    acting = await acting_as(api, "moorage-cleanup")

    try:
        await hooks.cleanup(acting, NAMESPACE)
    finally:
        await acting.close()

    for kind, name in (("StorageVolume", "data"), ("StorageAttachment", "again"), ("StorageBackend", "shared")):
        found = await bed.get(kind, name)
        assert found and "finalizers" not in found["metadata"]


async def test_the_node_account_gets_what_is_named_and_lists_nothing(api: Any, accounts: None, bed: Bed) -> None:
    await bed.make("Bucket", "models", spec={})
    await bed.phase("models", "READY", "Bucket")
    acting = await acting_as(api, "moorage-csi-node")

    bucket = await acting.get(bed.ref("Bucket", "models"))
    with pytest.raises(Forbidden):
        await acting.get(bed.ref("Secret", "models-s3", "v1"))  # the Role names the account of the tests' own release
    with pytest.raises(Forbidden):
        await acting.list(names.API_VERSION, "Bucket", bed.namespace)
    await acting.close()

    assert bucket and bucket["status"]["secretName"] == "models-s3"
