"""StorageAttachments, by the operator, against a real kube-apiserver: claims, consent, detaching, nodes of a group."""

import secrets
from typing import Any

import pytest
from bed import Bed, claim, condition, until
from group import Group

from moorage import names
from moorage.actions import Manifest, Reference

SATT = "StorageAttachment"
SHARED = {"type": "shared", "size": "5Gi"}


@pytest.fixture
async def other(bed: Bed) -> Bed:
    """Another namespace, with words for it; operator and stand-ins are the bed's."""
    return await namespace_of(bed, {"team": "blue"})


async def namespace_of(bed: Bed, labels: dict[str, str]) -> Bed:
    name = f"o-{secrets.token_hex(4)}"
    await bed.cluster._call("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    return Bed(bed.cluster, name)


async def volume(bed: Bed, **spec: Any) -> Manifest:
    await bed.make("StorageVolume", "data", spec={**SHARED, **spec})
    return await bed.phase("data", "READY")


def of(bed: Bed) -> Manifest:
    return {"name": "data", "namespace": bed.namespace}


async def pv_of(bed: Bed, attachment: Manifest) -> Manifest:
    found = await bed.get("PersistentVolume", f"moorage-{attachment['status']['id']}", "v1")
    assert found
    return found


async def said(bed: Bed, name: str, reason: str, type: str = "Attached") -> Manifest:
    async def reached() -> Manifest | None:
        found = await bed.get(SATT, name)
        return found if condition(found, type).get("reason") == reason else None

    return await until(reached, lambda: bed._story(SATT, name, reason))


# Claims.


async def test_a_folder_of_a_volume_becomes_a_read_only_claim_of_its_own(bed: Bed) -> None:
    made = await volume(bed)

    await bed.make(SATT, "photos", spec={"volume": {"name": "data"}, "mountFrom": "/imagenet", "readOnly": True})
    ready = await bed.phase("photos", "READY", SATT)

    id, status = made["status"]["id"], ready["status"]
    handle = f"{bed.namespace}/data/{id}-{status['id']}"
    attributes = {
        **made["status"]["attributes"],
        **{"mountFrom": "/imagenet", "readOnly": "true", "mountAs": f"/mnt/shared-{id}"},
        "attachment": f"{bed.namespace}/photos",
    }
    spec = (await pv_of(bed, ready))["spec"]
    pvc = await bed.get("PersistentVolumeClaim", "photos", "v1")
    assert (status["volumeHandle"], status["attributes"], status["claimName"]) == (handle, attributes, "photos")
    assert status["id"] == names.short_id(ready["metadata"]["uid"])
    assert spec["csi"] == {
        **{"driver": names.DRIVER, "volumeHandle": handle, "volumeAttributes": attributes, "readOnly": True}
    }
    assert (spec["accessModes"], spec["capacity"]) == (["ReadOnlyMany"], {"storage": "5Gi"})
    assert "mountOptions" not in spec
    assert pvc
    assert pvc["spec"]["accessModes"] == ["ReadOnlyMany"]
    assert pvc["metadata"]["ownerReferences"][0]["uid"] == ready["metadata"]["uid"]
    assert condition(ready, "Ready")["status"] == "True"
    assert await bed.events("photos", SATT) == ["Ready"]


async def test_an_attachment_follows_the_growth_of_its_volume(bed: Bed) -> None:
    await volume(bed)
    await bed.make(SATT, "more", spec={"volume": {"name": "data"}})
    ready = await bed.phase("more", "READY", SATT)

    await bed.cluster.merge(bed.ref("StorageVolume", "data"), {"spec": {"size": "8Gi"}})

    async def grown() -> bool:
        return (await pv_of(bed, ready))["spec"]["capacity"]["storage"] == "8Gi"

    await until(grown, lambda: bed._story(SATT, "more", "grown"))


async def test_an_attachment_of_an_object_volume_names_its_secret(bed: Bed, other: Bed) -> None:
    share = {"from": "All"}
    await bed.make("StorageVolume", "data", spec={"type": "object", "share": share})
    made = await bed.phase("data", "READY")

    await other.make(SATT, "data", spec={"volume": of(bed)})
    ready = await other.phase("data", "READY", SATT)

    spec = (await pv_of(other, ready))["spec"]
    assert spec["csi"]["nodeStageSecretRef"] == made["status"]["secretRef"] == ready["status"]["secretRef"]
    assert spec["csi"]["volumeAttributes"]["mountAs"] == f"/mnt/object-{made['status']['id']}"


async def test_it_waits_for_a_volume_that_comes_later(bed: Bed) -> None:
    await bed.make(SATT, "early", spec={"volume": {"name": "data"}})
    pending = await bed.phase("early", "PENDING", SATT)

    await volume(bed)

    await bed.phase("early", "READY", SATT)
    assert condition(pending, "Attached")["reason"] == "VolumeNotFound"
    assert (await bed.events("early", SATT))[0] == "VolumeNotFound"


async def test_a_claim_of_somebody_else_is_left_alone_and_named(bed: Bed) -> None:
    await volume(bed)
    room = {"requests": {"storage": "1Gi"}}
    foreign = {"accessModes": ["ReadWriteMany"], "resources": room, "storageClassName": "other"}
    await bed.make("PersistentVolumeClaim", "taken", "v1", spec=foreign)
    await bed.make(SATT, "taken", spec={"volume": {"name": "data"}})
    await bed.make(SATT, "free", spec={"volume": {"name": "data"}})

    failed = await bed.phase("taken", "FAILED", SATT)
    await bed.phase("free", "READY", SATT)
    await bed.delete("PersistentVolumeClaim", "taken", "v1")

    await bed.phase("taken", "READY", SATT)
    assert condition(failed, "Attached")["reason"] == "ClaimConflict"
    assert "attributes" not in failed["status"]


async def test_pods_of_claim_and_name_are_counted_for_attachment_and_volume(bed: Bed, other: Bed) -> None:
    await volume(bed, share={"from": "All"})
    await other.make(SATT, "imagenet", spec={"volume": of(bed)})
    await other.phase("imagenet", "READY", SATT)

    inline = {"name": "d", "csi": {"driver": names.DRIVER, "volumeAttributes": {"volume": "imagenet"}}}
    await other.pod("one", claim("imagenet"))
    await other.pod("two", inline)

    async def both() -> bool:
        found = await other.get(SATT, "imagenet"), await bed.get("StorageVolume", "data")
        return all(each and each["status"].get("attached") == 2 for each in found)

    await until(both, lambda: other._story(SATT, "imagenet", "attached twice"))


# Consent.

NOT_BLUE = {"key": "team", "operator": "NotIn", "values": ["blue"]}


@pytest.mark.parametrize(
    ("share", "agreed"),
    [
        (None, False),
        ({"from": "Same"}, False),
        ({"from": "Names", "names": ["OTHER", "elsewhere"]}, True),
        ({"from": "Names", "names": ["elsewhere"]}, False),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}}, True),
        ({"from": "Selector", "selector": {"matchExpressions": [NOT_BLUE]}}, False),
        ({"from": "All"}, True),
    ],
)  # fmt: skip
async def test_another_namespace_attaches_only_with_consent(
    bed: Bed, other: Bed, share: Manifest | None, agreed: bool
) -> None:
    if share and "names" in share:
        share = {**share, "names": [other.namespace if each == "OTHER" else each for each in share["names"]]}
    await volume(bed, **({"share": share} if share else {}))

    await other.make(SATT, "theirs", spec={"volume": of(bed)})
    await bed.make(SATT, "ours", spec={"volume": {"name": "data"}})

    found = await other.phase("theirs", "READY" if agreed else "PENDING", SATT)
    await bed.phase("ours", "READY", SATT)
    assert condition(found, "Attached")["reason"] == ("ClaimReady" if agreed else "NotShared")
    assert (await other.get("PersistentVolumeClaim", "theirs", "v1") is not None) == agreed
    assert ("attributes" in found["status"]) == agreed


async def test_consent_by_label_comes_and_goes_with_the_namespaces_label(bed: Bed, other: Bed) -> None:
    await volume(bed, share={"from": "Selector", "selector": {"matchLabels": {"team": "red"}}})
    await other.make(SATT, "theirs", spec={"volume": of(bed)})
    await said(other, "theirs", "NotShared")

    where = Reference("v1", "Namespace", other.namespace)
    await bed.cluster.merge(where, {"metadata": {"labels": {"team": "red"}}})
    ready = await other.phase("theirs", "READY", SATT)
    await bed.cluster.merge(where, {"metadata": {"labels": {"team": "blue"}}})
    await said(other, "theirs", "NotShared")

    await other.gone("PersistentVolumeClaim", "theirs", "v1")
    await other.gone("PersistentVolume", f"moorage-{ready['status']['id']}", "v1")


async def test_withdrawn_consent_ends_new_mounts_and_returned_consent_brings_them_back(bed: Bed, other: Bed) -> None:
    await volume(bed, share={"from": "All"})
    await other.make(SATT, "theirs", spec={"volume": of(bed)})
    before = await other.phase("theirs", "READY", SATT)
    data = bed.ref("StorageVolume", "data")

    await bed.cluster.merge(data, {"spec": {"share": {"from": "Same"}}})
    withdrawn = await said(other, "theirs", "NotShared")
    await other.gone("PersistentVolumeClaim", "theirs", "v1")
    await bed.cluster.merge(data, {"spec": {"share": {"from": "All"}}})

    after = await other.phase("theirs", "READY", SATT)
    assert condition(withdrawn, "Ready")["status"] == "False"
    assert "attributes" not in withdrawn["status"]
    assert after["status"]["volumeHandle"] == before["status"]["volumeHandle"]
    assert await other.get("PersistentVolumeClaim", "theirs", "v1")


# Detaching.


@pytest.mark.parametrize("road", ["claim", "inline"])
async def test_a_user_holds_the_attachment_and_is_named(bed: Bed, road: str) -> None:
    await volume(bed)
    await bed.make(SATT, "photos", spec={"volume": {"name": "data"}})
    ready = await bed.phase("photos", "READY", SATT)
    inline = {"name": "d", "csi": {"driver": names.DRIVER, "volumeAttributes": {"volume": "photos"}}}
    await bed.pod("user", claim("photos") if road == "claim" else inline)

    await bed.delete(SATT, "photos")
    blocked = await bed.condition("photos", "DeletionBlocked", "True", SATT)
    pvc = await bed.get("PersistentVolumeClaim", "photos", "v1")
    await bed.delete_pod("user")
    await bed.gone(SATT, "photos")

    assert f"pod {bed.namespace}/user" in blocked["message"]
    assert pvc
    assert "deletionTimestamp" not in pvc["metadata"]
    assert await bed.get("PersistentVolumeClaim", "photos", "v1") is None
    assert await bed.get("PersistentVolume", f"moorage-{ready['status']['id']}", "v1") is None
    assert await bed.events("photos", SATT) == ["Ready", "Detaching", "DeletionBlocked", "Detached"]


async def test_an_attachment_holds_its_volume_and_is_named(bed: Bed, other: Bed) -> None:
    await volume(bed, share={"from": "All"})
    await other.make(SATT, "theirs", spec={"volume": of(bed)})
    await other.phase("theirs", "READY", SATT)

    await bed.delete("StorageVolume", "data")
    blocked = await bed.condition("data", "DeletionBlocked", "True")
    await said(other, "theirs", "VolumeNotReady")
    await other.delete(SATT, "theirs")

    await other.gone(SATT, "theirs")
    await bed.gone("StorageVolume", "data")
    assert f"StorageAttachment {other.namespace}/theirs" in blocked["message"]


async def test_one_that_was_never_agreed_to_holds_nothing(bed: Bed, other: Bed) -> None:
    await volume(bed)
    await other.make(SATT, "theirs", spec={"volume": of(bed)})
    await said(other, "theirs", "NotShared")

    await bed.delete("StorageVolume", "data")

    await bed.gone("StorageVolume", "data")
    await said(other, "theirs", "VolumeNotFound")


async def test_everything_gone_beforehand_is_no_hindrance(bed: Bed, group: Group) -> None:
    await volume(bed)
    await group.add(1, 2)
    await bed.make(SATT, "gpu", spec={"volume": {"name": "data"}, "nodes": {"selector": group.selector}})
    ready = await bed.phase("gpu", "READY", SATT)
    await bed.kill()
    for kind, name in (("StorageVolume", "data"), ("StorageBackend", "shared")):
        await bed.cluster.merge(bed.ref(kind, name), {"metadata": {"finalizers": None}})
        await bed.delete(kind, name)
    own = f"moorage-{ready['status']['id']}"
    await bed.delete("DaemonSet", own, "apps/v1")
    await bed.delete("PersistentVolumeClaim", "gpu", "v1")
    await bed.delete("PersistentVolume", own, "v1")

    await bed.delete(SATT, "gpu")
    await bed.start()

    await bed.gone(SATT, "gpu")
    assert (await bed.events("gpu", SATT))[-1] == "Detached"


# On the nodes of a group.


async def grouped(bed: Bed, group: Group, name: str = "gpu", **spec: Any) -> None:
    await bed.make(SATT, name, spec={"volume": {"name": "data"}, "nodes": {"selector": group.selector}, **spec})


async def on_nodes(bed: Bed, name: str, nodes: str) -> Manifest:
    async def reached() -> Manifest | None:
        found = await bed.get(SATT, name)
        return found if found and found.get("status", {}).get("nodes") == nodes else None

    return await until(reached, lambda: bed._story(SATT, name, nodes))


async def daemon_set(bed: Bed, attachment: Manifest) -> Manifest:
    found = await bed.get("DaemonSet", f"moorage-{attachment['status']['id']}", "apps/v1")
    assert found
    return found


async def test_every_node_of_the_group_holds_the_mount_by_a_restricted_pod(bed: Bed, group: Group) -> None:
    made = await volume(bed)
    await bed.cluster.merge(
        Reference("v1", "Namespace", bed.namespace),
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    )
    await group.add(1, 2, 3)

    await grouped(bed, group, mountFrom="/imagenet", readOnly=True)
    ready = await bed.phase("gpu", "READY", SATT)

    path = f"/mnt/shared-{made['status']['id']}"
    spec = (await daemon_set(bed, ready))["spec"]["template"]["spec"]
    probe = spec["containers"][0]["readinessProbe"]
    assert (ready["status"]["nodes"], ready["status"]["mountAs"]) == ("3/3", path)
    assert "lagging" not in ready["status"] or ready["status"]["lagging"] == []
    assert condition(ready, "Attached")["message"] == f"mounted at {path} on 3 nodes"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "gpu", "readOnly": True}
    assert (probe["exec"]["command"], probe["timeoutSeconds"]) == (["timeout", "5", "stat", "-f", "/volume"], 6)
    assert "priorityClassName" not in spec
    assert spec["automountServiceAccountToken"] is False
    assert (await bed.get("StorageVolume", "data"))["status"]["attached"] == 0  # type: ignore[index]


async def test_the_node_that_lags_is_named_with_its_reason(bed: Bed, group: Group) -> None:
    await volume(bed)
    await group.add(1, 2, 3, 4)
    lame = group.node(3)
    group.sick[lame] = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}

    await grouped(bed, group)

    async def told() -> Manifest | None:
        found = await bed.get(SATT, "gpu")
        said = condition(found, "Attached").get("message", "")
        return found if f"on 3 of 4 nodes; {lame}: ImagePullBackOff: no such image (pod moorage-" in said else None

    lagging = await until(told, lambda: bed._story(SATT, "gpu", f"waiting for {lame}"))
    status = lagging["status"]
    assert (status["phase"], status["nodes"], status["lagging"]) == ("ATTACHING", "3/4", [lame])
    assert condition(lagging, "Attached")["status"] == "False"
    assert condition(lagging, "Ready")["status"] == "True"  # pods of the claim need not wait for a node of the group
    group.sick.clear()
    assert (await bed.phase("gpu", "READY", SATT))["status"]["nodes"] == "4/4"


async def test_a_group_of_one_waits_and_attaches_when_it_grows_and_keeps_its_mounts_when_it_shrinks(
    bed: Bed, group: Group
) -> None:
    await volume(bed)
    await group.add(1)
    await grouped(bed, group)
    pending = await said(bed, "gpu", "TooFewNodes")
    claims = await bed.get("PersistentVolumeClaim", "gpu", "v1")

    await group.add(2)
    ready = await bed.phase("gpu", "READY", SATT)
    await bed.delete("Node", group.node(2), "v1")
    shrunk = await on_nodes(bed, "gpu", "1/1")

    assert pending["status"]["phase"] == "PENDING"
    assert condition(pending, "Attached")["status"] == "False"
    assert "1 node match" in condition(pending, "Attached")["message"]
    assert claims is None
    assert ready["status"]["nodes"] == "2/2"
    assert shrunk["status"]["phase"] == "READY"
    assert await daemon_set(bed, shrunk)


async def test_minNodes_of_the_backend_may_allow_a_single_node(bed: Bed, group: Group) -> None:
    await volume(bed)
    await group.add(1)
    await grouped(bed, group)
    await said(bed, "gpu", "TooFewNodes")

    await bed.cluster.merge(bed.ref("StorageBackend", "shared"), {"spec": {"minNodes": 1}})

    assert (await bed.phase("gpu", "READY", SATT))["status"]["nodes"] == "1/1"


async def test_mounts_follow_the_labels_of_nodes_and_the_selector(bed: Bed, group: Group) -> None:
    await volume(bed)
    await group.add(1, 2, tier="a")
    await group.add(3, 4, tier="b")
    await grouped(bed, group, nodes={"selector": {"matchLabels": {"pool": group.pool, "tier": "a"}}})
    await on_nodes(bed, "gpu", "2/2")
    attachment = bed.ref(SATT, "gpu")

    await group.label(3, tier="a")
    await on_nodes(bed, "gpu", "3/3")
    await group.label(1, tier=None)
    await on_nodes(bed, "gpu", "2/2")
    wider = [{"key": "tier", "operator": "Exists"}]
    selector = {"matchLabels": {"pool": group.pool, "tier": None}, "matchExpressions": wider}
    await bed.cluster.merge(attachment, {"spec": {"nodes": {"selector": selector}}})

    ready = await on_nodes(bed, "gpu", "3/3")
    await bed.phase("gpu", "READY", SATT)
    holders = await bed.cluster.list("v1", "Pod", bed.namespace, labelSelector=names.LABEL_ATTACHMENT_UID)
    assert sorted(each["spec"]["nodeName"] for each in holders) == [group.node(each) for each in (2, 3, 4)]
    assert (await daemon_set(bed, ready))["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "moorage"


async def test_nodes_may_be_added_to_a_living_attachment_and_removed_again(bed: Bed, group: Group) -> None:
    await volume(bed)
    await group.add(1, 2)
    await bed.make(SATT, "gpu", spec={"volume": {"name": "data"}})
    ready = await bed.phase("gpu", "READY", SATT)

    await bed.cluster.merge(bed.ref(SATT, "gpu"), {"spec": {"nodes": {"selector": group.selector}}})
    mounted = await on_nodes(bed, "gpu", "2/2")
    await bed.cluster.merge(bed.ref(SATT, "gpu"), {"spec": {"nodes": None}})
    await bed.gone("DaemonSet", f"moorage-{ready['status']['id']}", "apps/v1")

    assert mounted["status"]["mountAs"].startswith("/mnt/shared-")
    assert await bed.get("PersistentVolumeClaim", "gpu", "v1")

    async def alone() -> bool:
        found = await bed.get(SATT, "gpu")
        return bool(found and "nodes" not in found["status"] and found["status"]["phase"] == "READY")

    await until(alone, lambda: bed._story(SATT, "gpu", "without nodes"))


async def test_the_older_of_two_attachments_keeps_a_path_on_common_nodes(bed: Bed, group: Group) -> None:
    await volume(bed)
    await group.add(1, 2)
    await grouped(bed, group, "older", mountAs="/mnt/same")
    await bed.phase("older", "READY", SATT)

    await grouped(bed, group, "younger", mountAs="/mnt/same")
    failed = await bed.phase("younger", "FAILED", SATT)
    await grouped(bed, group, "beside", mountAs="/mnt/beside")
    await bed.phase("beside", "READY", SATT)
    await bed.delete(SATT, "older")

    await bed.phase("younger", "READY", SATT)
    assert condition(failed, "Attached")["reason"] == "MountAsTaken"
    assert f"{bed.namespace}/older" in condition(failed, "Attached")["message"]
    assert await bed.events("younger", SATT) == ["MountAsTaken", "Attaching", "Ready"]


async def test_one_volume_on_two_groups_with_the_same_path(bed: Bed, group: Group) -> None:
    await volume(bed)
    await group.add(1, 2, tier="a")
    await group.add(3, 4, tier="b")
    for tier in ("a", "b"):
        await grouped(bed, group, tier, nodes={"selector": {"matchLabels": {"pool": group.pool, "tier": tier}}})

    found = [await bed.phase(each, "READY", SATT) for each in ("a", "b")]

    assert [each["status"]["nodes"] for each in found] == ["2/2", "2/2"]
    assert found[0]["status"]["mountAs"] == found[1]["status"]["mountAs"]
    assert found[0]["status"]["volumeHandle"] != found[1]["status"]["volumeHandle"]


async def test_detaching_waits_for_the_nodes_and_names_the_one_that_still_holds(bed: Bed, group: Group) -> None:
    await volume(bed)
    await group.add(1, 2)
    await grouped(bed, group)
    ready = await bed.phase("gpu", "READY", SATT)
    group.stuck.add(group.node(2))

    await bed.delete(SATT, "gpu")

    async def waiting() -> Manifest | None:
        found = await bed.get(SATT, "gpu")
        named = f"waiting for node {group.node(2)}" in condition(found, "Ready").get("message", "")
        return found if named else None

    detaching = await until(waiting, lambda: bed._story(SATT, "gpu", "waiting for the node"))
    pvc = await bed.get("PersistentVolumeClaim", "gpu", "v1")
    group.stuck.clear()
    await bed.gone(SATT, "gpu")

    assert detaching["status"]["phase"] == "DETACHING"
    assert pvc
    assert "deletionTimestamp" not in pvc["metadata"]
    assert await bed.get("PersistentVolumeClaim", "gpu", "v1") is None
    assert await bed.get("PersistentVolume", f"moorage-{ready['status']['id']}", "v1") is None
    assert await bed.events("gpu", SATT) == ["Attaching", "Ready", "Detaching", "Detached"]


async def test_nodes_that_join_and_leave_show_on_the_volume(bed: Bed, group: Group) -> None:
    await volume(bed)
    await group.add(1, 2)
    await grouped(bed, group)
    await bed.phase("gpu", "READY", SATT)
    group.sick[group.node(3)] = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}

    await group.add(3)
    attaching = await bed.phase("data", "ATTACHING")
    group.sick.clear()
    await bed.phase("data", "READY")
    group.stuck.add(group.node(1))
    await group.label(1, pool=None)
    detaching = await bed.phase("data", "DETACHING")
    attachment = await on_nodes(bed, "gpu", "2/2")
    group.stuck.clear()

    await bed.phase("data", "READY")
    assert condition(attaching, "Ready")["status"] == condition(detaching, "Ready")["status"] == "True"
    assert f"StorageAttachment {bed.namespace}/gpu" in condition(detaching, "Ready")["message"]
    assert attachment["status"]["phase"] == "READY"


async def test_force_takes_it_from_the_nodes_and_does_not_wait_for_pods(bed: Bed, group: Group) -> None:
    await volume(bed)
    await group.add(1, 2)
    await grouped(bed, group, detach="Force")
    ready = await bed.phase("gpu", "READY", SATT)
    await bed.pod("user", claim("gpu"), node=group.node(1))

    await bed.delete(SATT, "gpu")
    await bed.gone(SATT, "gpu")

    assert await bed.get("DaemonSet", f"moorage-{ready['status']['id']}", "apps/v1") is None
    await bed.delete_pod("user")
    await bed.gone("PersistentVolumeClaim", "gpu", "v1")
