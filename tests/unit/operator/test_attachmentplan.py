"""Plans of attachments: the waiting, the refused, the attaching, the ready and the leaving, as values."""

from dataclasses import replace
from typing import Any

import pytest

from moorage import attachmentplan, holderset, names
from moorage.actions import Action, Apply, Create, Delete, Hold, Manifest
from moorage.attachmentfacts import AttachmentFacts, HolderImage
from moorage.attachmentrelease import release
from moorage.model import Phase, StorageAttachment, StorageVolume
from moorage.nodegroup import HolderPod, NodeSeen, Rival

UID = "0b0c9b4e-0000-4000-8000-00000000000a"
ID = names.short_id(UID)
VOLUME_ID = "aaaabbbb"
NOW = "2026-01-01T00:00:00Z"
IMAGE = HolderImage("moorage:1", "Never")
GPU = {"selector": {"matchLabels": {"pool": "gpu"}}}
NFS = {"type": "shared", "mount": "nfs", "server": "nfs", "path": "/vol/x", "options": "vers=4.1"}


def volume(ready: bool = True, share: Any = None, **metadata: Any) -> StorageVolume:
    state = {"type": "Ready", "status": "True" if ready else "False", "reason": "x", "lastTransitionTime": NOW}
    share_status = {"state": "Served", "server": "moorage-nfs-0", "sizeBytes": 5 * 2**30}
    status = {"id": VOLUME_ID, "conditions": [{**state, "message": "no backend"}], "share": share_status}
    spec = {"type": "shared", "size": "5Gi", **({"share": share} if share else {})}
    whole = {"name": "data", "namespace": "ns", "uid": "v", **metadata}
    return StorageVolume.model_validate({"metadata": whole, "spec": spec, "status": {**status, "attributes": NFS}})


def attachment(status: Any = None, deleting: bool = False, held: bool = True, **spec: Any) -> StorageAttachment:
    metadata: Manifest = {"name": "photos", "namespace": "ns", "uid": UID, "generation": 1, "creationTimestamp": NOW}
    metadata |= {"finalizers": [names.FINALIZER]} if held else {}
    metadata |= {"deletionTimestamp": NOW} if deleting else {}
    wanted = {"volume": {"name": "data"}, **spec}
    return StorageAttachment.model_validate({"metadata": metadata, "spec": wanted, "status": status or {}})


def facts(found: StorageAttachment | None = None, **more: Any) -> AttachmentFacts:
    return AttachmentFacts(found or attachment(), NOW, IMAGE, **{"volume": volume(), **more})


def nodes(*wanted: str) -> tuple[NodeSeen, ...]:
    return tuple(NodeSeen(each, {"pool": "gpu"}) for each in wanted)


def holding(*wanted: str) -> tuple[HolderPod, ...]:
    return tuple(HolderPod(f"moorage-{ID}-{each}", each, ready=True) for each in wanted)


def manifests_of(actions: tuple[Action, ...]) -> dict[str, Manifest]:
    return {each.reference.kind: each.manifest for each in actions if isinstance(each, Apply | Create)}


def deleted(actions: tuple[Action, ...]) -> list[str]:
    return [each.reference.kind for each in actions if isinstance(each, Delete)]


def reason(status: Any, type: str = "Attached") -> str:
    return next(each.reason for each in status.conditions if each.type == type)


def settled(**more: Any) -> AttachmentFacts:
    """A READY attachment on two nodes, with all that was made for it."""
    start = facts(attachment(nodes=GPU), nodes=nodes("a", "b"), holders=holding("a", "b"), **more)
    step = attachmentplan.plan(start)
    made = manifests_of(step.actions)
    made["PersistentVolumeClaim"]["metadata"]["uid"] = "c1"
    made["PersistentVolume"]["spec"]["claimRef"]["uid"] = "c1"
    return replace(
        start,
        attachment=attachment(step.status.dump(), nodes=GPU),
        claim=made["PersistentVolumeClaim"],
        persistent_volume=made["PersistentVolume"],
        daemon_set=made["DaemonSet"],
    )


def leaving(world: AttachmentFacts, phase: Phase | None = Phase.DETACHING, **spec: Any) -> AttachmentFacts:
    status = world.attachment.status.dump() | ({"phase": phase.value} if phase else {})
    return replace(world, attachment=attachment(status, deleting=True, nodes=GPU, **spec))


# Waiting and refused.


@pytest.mark.parametrize(
    ("world", "phase", "expected"),
    [
        (facts(volume=None), Phase.PENDING, "VolumeNotFound"),
        (facts(volume=volume(ready=False)), Phase.PENDING, "VolumeNotReady"),
        (facts(volume=volume(deletionTimestamp=NOW)), Phase.PENDING, "VolumeNotReady"),
        (facts(volume=volume(namespace="far")), Phase.PENDING, "NotShared"),
        (facts(claim={"metadata": {"name": "photos"}, "kind": "x"}), Phase.FAILED, "ClaimConflict"),
        (
            facts(claim={"metadata": {"name": "photos", "deletionTimestamp": NOW}, "kind": "x"}),
            Phase.PENDING,
            "ClaimDestroying",
        ),
        (facts(attachment(nodes=GPU), nodes=nodes("a")), Phase.PENDING, "TooFewNodes"),
        (
            facts(attachment(nodes=GPU), nodes=nodes("a", "b"), rivals=(Rival("ns/z", "2025", False, frozenset("b")),)),
            Phase.FAILED,
            "MountAsTaken",
        ),
    ],
)
def test_what_hinders_is_named_and_nothing_is_made(world: AttachmentFacts, phase: Phase, expected: str) -> None:
    step = attachmentplan.plan(world)

    assert (step.status.phase, reason(step.status), step.actions) == (phase, expected, ())
    assert (step.status.attributes, step.status.claim_name, step.status.volume_handle) == (None, None, None)
    assert [(each.reason, each.warning) for each in step.notices] == [(expected, True)]


def test_it_is_held_before_anything_is_made() -> None:
    assert attachmentplan.plan(facts(attachment(held=False))).actions[0] == Hold()
    assert attachmentplan.plan(facts(attachment(held=False), volume=None)).actions == (Hold(),)


def test_a_folder_of_a_local_volume_is_refused() -> None:
    local = StorageVolume.model_validate(
        {**volume().model_dump(by_alias=True), "spec": {"type": "local", "size": "5Gi"}}
    )

    step = attachmentplan.plan(facts(attachment(mountFrom="/x"), volume=local))

    assert (step.status.phase, reason(step.status)) == (Phase.FAILED, "MountFromRefused")


def test_two_nodes_are_asked_of_shared_volumes_only() -> None:
    one = {"nodes": nodes("a"), "holders": holding("a")}
    bucket = StorageVolume.model_validate({**volume().model_dump(by_alias=True), "spec": {"type": "object"}})

    assert reason(attachmentplan.plan(facts(attachment(nodes=GPU), **one)).status) == "TooFewNodes"
    assert attachmentplan.plan(facts(attachment(nodes=GPU), **one, min_nodes=1)).status.phase == Phase.READY
    assert attachmentplan.plan(facts(attachment(nodes=GPU), **one, volume=bucket)).status.nodes == "1/1"


# Attached.


def test_a_claim_with_the_view_in_its_attributes() -> None:
    step = attachmentplan.plan(facts(attachment(mountFrom="/imagenet", readOnly=True)))

    made = manifests_of(step.actions)
    spec = made["PersistentVolume"]["spec"]
    assert step.status.phase == Phase.READY
    assert spec["csi"]["volumeHandle"] == f"ns/data/{VOLUME_ID}-{ID}" == step.status.volume_handle
    assert spec["csi"]["volumeAttributes"] == step.status.attributes
    assert step.status.attributes == {
        **NFS,
        **{"mountFrom": "/imagenet", "readOnly": "true", "mountAs": f"/mnt/shared-{VOLUME_ID}"},
        "attachment": "ns/photos",
    }
    assert spec["csi"]["readOnly"] is True
    assert spec["accessModes"] == made["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadOnlyMany"]
    assert spec["claimRef"]["name"] == made["PersistentVolumeClaim"]["metadata"]["name"] == "photos"
    assert "DaemonSet" not in made


def test_a_converged_attachment_plans_nothing() -> None:
    world = settled()

    step = attachmentplan.plan(world)

    assert (step.actions, step.notices, step.requeue_after) == ((), (), None)
    assert step.status == world.attachment.status
    assert (step.status.phase, step.status.nodes) == (Phase.READY, "2/2")


def test_the_api_servers_defaults_are_no_drift_and_an_edit_is() -> None:
    world = settled()
    assert world.daemon_set
    spec = world.daemon_set["spec"]["template"]["spec"]
    spec |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler"}
    spec["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    spec["volumes"][0]["persistentVolumeClaim"].pop("readOnly")  # false is not sent back
    untouched = attachmentplan.plan(world).actions

    spec["containers"][0]["image"] = "evil"

    assert untouched == ()
    assert list(manifests_of(attachmentplan.plan(world).actions)) == ["DaemonSet"]


def test_a_changed_selector_changes_the_daemon_set_also_when_it_selects_all() -> None:
    world = settled()
    everywhere = attachment(world.attachment.status.dump(), nodes={"selector": {}})

    made = manifests_of(attachmentplan.plan(replace(world, attachment=everywhere)).actions)

    assert made["DaemonSet"]["spec"]["template"]["spec"]["affinity"] == {}


def test_the_affinity_says_what_the_selector_says() -> None:
    spread = [{"key": "zone", "operator": "NotIn", "values": ["c"]}, {"key": "spot", "operator": "DoesNotExist"}]
    found = attachment(nodes={"selector": {"matchLabels": {"pool": "gpu"}, "matchExpressions": spread}})
    assert found.spec.nodes

    required = holderset.affinity(found.spec.nodes.selector)["nodeAffinity"]

    terms = required["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu"]}, *spread]}]


def test_lagging_nodes_are_counted_and_the_first_is_explained() -> None:
    world = settled()
    pods = (*holding("a"), HolderPod("x", "b", trouble="ErrImagePull: no such image"))

    step = attachmentplan.plan(replace(world, nodes=nodes("a", "b", "c"), holders=pods))

    message = next(each.message for each in step.status.conditions if each.type == "Attached")
    assert (step.status.phase, step.status.nodes, step.status.lagging) == (Phase.ATTACHING, "1/3", ("b", "c"))
    assert "on 1 of 3 nodes; b: ErrImagePull: no such image (pod x); waiting too: c" in message
    assert next(each.status for each in step.status.conditions if each.type == "Ready") == "True"
    assert step.status.attributes


def test_only_the_first_ten_of_many_lagging_nodes_are_named() -> None:
    many = nodes(*(f"n{number:02}" for number in range(30)))

    step = attachmentplan.plan(facts(attachment(nodes=GPU), nodes=many))

    assert step.status.lagging == tuple(f"n{number:02}" for number in range(10))


def test_a_shrunken_group_and_a_rival_that_comes_later_take_no_mounts_away() -> None:
    world = settled()
    late = Rival("ns/late", "2025", True, frozenset("a"))

    shrunk = attachmentplan.plan(replace(world, nodes=nodes("a")))
    rivalled = attachmentplan.plan(replace(world, rivals=(late,)))

    assert (shrunk.actions, shrunk.status.phase, shrunk.status.nodes) == ((), Phase.READY, "1/1")
    assert (rivalled.actions, rivalled.status.phase) == ((), Phase.READY)


def test_nodes_taken_from_the_spec_take_the_daemon_set_along() -> None:
    world = settled()
    alone = attachment(world.attachment.status.dump())

    step = attachmentplan.plan(replace(world, attachment=alone, nodes=()))

    assert deleted(step.actions) == ["DaemonSet"]
    assert (step.status.phase, step.status.nodes, step.status.mount_as) == (Phase.READY, None, None)


def test_a_claim_made_again_is_bound_again_and_a_grown_volume_shows() -> None:
    world = settled()
    assert world.claim
    again = {**world.claim, "metadata": {**world.claim["metadata"], "uid": "c2"}}
    grown = StorageVolume.model_validate(volume().model_dump(by_alias=True))
    assert grown.status.share
    grown.status.share.__dict__["size_bytes"] = 9 * 2**30

    bound = manifests_of(attachmentplan.plan(replace(world, claim=again)).actions)
    bigger = manifests_of(attachmentplan.plan(replace(world, volume=grown)).actions)

    assert bound["PersistentVolume"]["spec"]["claimRef"]["uid"] == "c2"
    assert bigger["PersistentVolume"]["spec"]["capacity"] == {"storage": "9Gi"}


def test_a_claim_that_is_being_deleted_is_told() -> None:
    made = manifests_of(attachmentplan.plan(facts()).actions)
    made["PersistentVolumeClaim"]["metadata"]["deletionTimestamp"] = NOW

    step = attachmentplan.plan(facts(claim=made["PersistentVolumeClaim"], persistent_volume=made["PersistentVolume"]))

    assert (step.status.phase, reason(step.status)) == (Phase.ATTACHING, "ClaimDestroying")


# Withdrawn.


@pytest.mark.parametrize(
    "gone", [None, volume(deletionTimestamp=NOW), volume(namespace="far"), volume(ready=True, uid="w")]
)
def test_what_may_not_be_mounted_any_more_is_taken_down(gone: StorageVolume | None) -> None:
    world = settled()
    if gone and gone.metadata["uid"] == "w":
        gone = gone.model_copy(update={"status": gone.status.model_copy(update={"id": "ccccdddd"})})

    step = attachmentplan.plan(replace(world, volume=gone))

    assert deleted(step.actions) == ["DaemonSet", "PersistentVolumeClaim", "PersistentVolume"]
    assert (step.status.phase, step.status.attributes) == (Phase.PENDING, None)
    assert step.status.volume_handle  # it holds the volume until all has gone


def test_a_volume_that_is_not_ready_for_a_while_loses_nothing() -> None:
    step = attachmentplan.plan(replace(settled(), volume=volume(ready=False)))

    assert (step.actions, step.status.phase, reason(step.status)) == ((), Phase.PENDING, "VolumeNotReady")


def test_withdrawn_it_holds_the_volume_while_a_pod_still_has_it() -> None:
    world = replace(settled(), volume=volume(namespace="far"), claim=None, persistent_volume=None, daemon_set=None)

    open_ = attachmentplan.plan(world)
    shut = replace(world, attachment=attachment(open_.status.dump(), nodes=GPU))
    used = attachmentplan.plan(replace(shut, attached=1))
    found = attachmentplan.plan(replace(shut, users=("pod ns/late",)))
    idle = attachmentplan.plan(shut)

    assert open_.status.volume_handle  # pods might still come in
    assert (used.status.volume_handle, found.status.volume_handle) == (open_.status.volume_handle,) * 2
    assert found.requeue_after
    assert idle.status.volume_handle is None


# Detaching.


def test_detaching_is_written_before_anybody_is_asked() -> None:
    step = release(leaving(settled(), phase=None))

    assert (step.status.phase, step.actions, step.requeue_after) == (Phase.DETACHING, (), 0)
    assert step.status.attributes is None


def test_users_are_named_and_nothing_is_touched() -> None:
    step = release(replace(leaving(settled()), users=("pod ns/a", "pod ns/b")))

    blocked = next(each for each in step.status.conditions if each.type == "DeletionBlocked")
    assert step.actions == ()
    assert (blocked.status, "pod ns/a, pod ns/b" in blocked.message) == ("True", True)
    assert "DeletionBlocked" in [each.reason for each in step.notices]


def test_daemon_set_then_nodes_then_claim_then_the_object() -> None:
    world = leaving(settled())
    bare = replace(world, daemon_set=None)

    first = release(world)
    waiting = release(replace(bare, holders=holding("b")))
    third = release(replace(bare, holders=()))
    last = release(replace(bare, holders=(), claim=None, persistent_volume=None))

    assert deleted(first.actions) == ["DaemonSet"]
    assert waiting.actions == ()
    assert "waiting for node b to let go" in next(e.message for e in waiting.status.conditions if e.type == "Ready")
    assert deleted(third.actions) == ["PersistentVolumeClaim", "PersistentVolume"]
    assert (last.finish, [each.reason for each in last.notices]) == (True, ["Detached"])


def test_what_is_not_ours_is_not_deleted() -> None:
    foreign = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": "photos", "namespace": "ns"}}
    world = replace(leaving(settled()), claim=foreign, daemon_set=None, holders=(), persistent_volume=None)

    assert (release(world).finish, release(world).actions) == (True, ())


def test_force_asks_for_all_at_once_and_waits_for_living_nodes_and_inline_users_only() -> None:
    world = replace(leaving(settled(), detach="Force"), users=("pod ns/a",))
    bare = replace(world, daemon_set=None)

    first = release(world)
    lost = release(replace(bare, holders=holding("b"), down=frozenset("b")))
    living = release(replace(bare, holders=holding("b")))
    inline = release(replace(bare, holders=(), inline_users=("pod ns/i",)))

    assert (first.finish, deleted(first.actions)) == (False, ["DaemonSet", "PersistentVolumeClaim", "PersistentVolume"])
    assert (lost.finish, living.finish, inline.finish) == (True, False, False)
    assert "pod ns/i" in next(each.message for each in inline.status.conditions if each.type == "DeletionBlocked")


def test_without_our_finalizer_nothing_is_done() -> None:
    step = release(facts(attachment(deleting=True, held=False)))

    assert (step.actions, step.finish) == ((), False)
