"""Pods as users of volumes: how far each is, and whom its change concerns."""

from typing import Any

import pytest

from moorage import holders, names
from moorage.holders import PodState, Use, Uses
from moorage_operator.index import Index
from moorage_operator.pods import NO_STIR, NOBODY, Pods

STARTED = {"type": "PodReadyToStartContainers", "status": "True"}
DATA = Use(claim=("ns", "data"))


def inline(**attributes: str) -> dict[str, Any]:
    return {"name": "i", "csi": {"driver": names.DRIVER, "volumeAttributes": attributes}}


def pod(name: str = "p", *volumes: dict[str, Any], node: str = "n1", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": name, **more.pop("metadata", {})}
    shown = volumes or ({"name": "d", "persistentVolumeClaim": {"claimName": "data"}},)
    return {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node, "volumes": shown}, "status": more}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (pod(), PodState.waiting),
        (pod(conditions=[{**STARTED, "status": "False"}]), PodState.waiting),
        (pod(containerStatuses=[{"state": {"waiting": {"reason": "ContainerCreating"}}}]), PodState.waiting),
        (pod(conditions=[STARTED]), PodState.running),
        (pod(initContainerStatuses=[{"state": {"running": {}}}]), PodState.running),
        (pod(containerStatuses=[{"state": {"waiting": {}}, "lastState": {"terminated": {}}}]), PodState.running),
        (pod(conditions=[{**STARTED, "status": "False"}], containerStatuses=[{"restartCount": 2}]), PodState.running),
        (pod(conditions=[STARTED], metadata={"deletionTimestamp": "t"}), PodState.leaving),
    ],
)
def test_how_far_a_pod_is(seen: dict[str, Any], expected: PodState) -> None:
    assert holders.uses(seen).state == expected


def test_each_way_of_use_is_seen() -> None:
    ephemeral = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}
    foreign = {"name": "x", "csi": {"driver": "other", "volumeAttributes": {"volume": "v"}}}

    found = holders.uses(pod("p", ephemeral, inline(volume="v"), inline(bucket="b"), foreign))

    ways = {Use(claim=("ns", "p-scratch")), Use(volume=("ns", "v")), Use(bucket=("ns", "b"))}
    assert (found.uses, found.node) == (ways, "n1")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_uses_nothing(phase: str) -> None:
    assert holders.uses(pod(phase=phase)) == NOBODY


def test_a_pod_that_is_being_deleted_uses_its_volumes_until_it_is_gone_whatever_its_phase() -> None:
    ended = pod("p", inline(volume="v"), phase="Failed")
    ended["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"

    found = holders.uses(ended)

    assert (found.uses, found.state) == ({Use(volume=("ns", "v"))}, PodState.leaving)


def test_the_handle_of_an_attachment_is_one_of_its_volume() -> None:
    pv = {"spec": {"csi": {"driver": names.DRIVER, "volumeHandle": "ns/data/abcdefgh-ijkmnpqr"}}}

    handle = holders.claimed_volume(pv)

    assert handle
    assert (handle.attachment, str(handle.volume)) == ("ijkmnpqr", "ns/data/abcdefgh")


def put(pods: Pods, name: str, state: PodState | None, node: str = "n1", way: Use = DATA) -> tuple[set[Use], set[Use]]:
    after = Uses(frozenset({way}), node, state) if state else NOBODY
    stir = pods.put(("ns", name), after)
    return set(stir.moved), set(stir.counted)


def test_the_first_pod_of_a_node_moves_the_volume_and_a_second_one_only_counts() -> None:
    pods = Pods()

    assert put(pods, "one", PodState.waiting) == ({DATA}, set())
    assert put(pods, "one", PodState.running) == ({DATA}, set())
    assert put(pods, "two", PodState.waiting) == (set(), {DATA})
    assert put(pods, "two", PodState.running) == (set(), set())
    assert put(pods, "three", PodState.waiting, node="n2") == ({DATA}, set())


def test_the_last_pod_of_a_node_moves_the_volume_when_it_leaves_and_when_it_is_gone() -> None:
    pods = Pods()
    put(pods, "one", PodState.running)
    put(pods, "two", PodState.running)

    assert put(pods, "two", PodState.leaving) == (set(), set())
    assert put(pods, "two", None) == (set(), {DATA})
    assert put(pods, "one", PodState.leaving) == ({DATA}, set())
    assert put(pods, "one", None) == ({DATA}, set())
    assert (len(pods), pods.users([DATA])) == (0, {})


def test_what_is_seen_again_stirs_nobody() -> None:
    pods = Pods()
    put(pods, "one", PodState.running)

    assert pods.put(("ns", "one"), Uses(frozenset({DATA}), "n1", PodState.running)) == NO_STIR


def test_a_pod_of_the_same_name_on_another_node_moves_both() -> None:
    pods = Pods()
    put(pods, "one", PodState.running, "n1")

    assert put(pods, "one", PodState.running, "n2") == ({DATA}, set())
    assert pods.standing(DATA, "n1") is None
    assert pods.standing(DATA, "n2") == PodState.running


def test_a_pod_that_holds_an_attachments_mount_is_told_apart() -> None:
    pods = Pods()
    seen = pod("h", metadata={"labels": {names.LABEL_ATTACHMENT_UID: "a1"}}, conditions=[STARTED])

    first = pods.put(("ns", "h"), holders.uses(seen))
    seen["status"]["conditions"] = [STARTED, {"type": "Ready", "status": "True"}]
    second = pods.put(("ns", "h"), holders.uses(seen))

    assert (first.moved, first.counted, first.attachments) == (frozenset(), frozenset(), frozenset({"a1"}))
    assert second.attachments == {"a1"}
    assert pods.users([DATA]) == {}
    assert {name: (each.node, each.ready) for name, each in pods.holders("a1").items()} == {("ns", "h"): ("n1", True)}
    assert pods.put(("ns", "h"), NOBODY).attachments == {"a1"}
    assert pods.holders("a1") == {}


def test_a_label_in_another_namespace_makes_no_holder() -> None:
    index = Index()
    marked = {"labels": {names.LABEL_ATTACHMENT_UID: "a1"}}
    index.put_pod(pod("h", metadata=marked))
    index.put_pod(pod("fake", metadata={**marked, "namespace": "far"}))

    assert set(index.holders_of({"uid": "a1", "namespace": "ns"})) == {("ns", "h")}


def test_a_label_hides_no_inline_user() -> None:
    pods = Pods()
    seen = pod("p", inline(volume="v"), metadata={"labels": {names.LABEL_ATTACHMENT_UID: "a1"}})

    pods.put(("ns", "p"), holders.uses(seen))

    assert set(pods.users([Use(volume=("ns", "v"))])) == {("ns", "p")}
    assert pods.holders("a1") == {}


def test_a_volume_has_the_users_of_all_its_claims_and_each_pod_once() -> None:
    index = Index()
    for name, handle, where in (("a", "ns/data/abcdefgh", "ns"), ("b", "ns/data/abcdefgh-ijkmnpqr", "far")):
        csi = {"driver": names.DRIVER, "volumeHandle": handle}
        spec = {"csi": csi, "claimRef": {"namespace": where, "name": "data"}}
        index.put_persistent_volume({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}, "spec": spec})

    index.put_pod(pod("twice", pod()["spec"]["volumes"][0], inline(volume="data")))
    index.put_pod(pod("far", metadata={"namespace": "far"}))
    index.put_pod(pod("other", inline(volume="other")))

    volume = {"metadata": {"name": "data", "namespace": "ns"}, "status": {"id": "abcdefgh"}}
    assert set(index.users(volume)) == {("ns", "twice"), ("far", "far")}
    assert index.volumes_by({DATA, Use(volume=("ns", "other"))}) == {("ns", "data"), ("ns", "other")}
