"""Nodes of a test's own, and the pods of DaemonSets on them (fixture `group`), or nodes alone (`two_nodes`).

Stands in for the DaemonSet controller, the garbage collector and the kubelets, by writing what they write.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from bed import Bed

from moorage import consent, names
from moorage.actions import Manifest, Reference
from moorage.model import LabelSelector


class Group:
    """Nodes of a test's own, and the life of DaemonSets and pods on them."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.pool = secrets.token_hex(4)
        self.selector = {"matchLabels": {"pool": self.pool}}
        self.sick: dict[str, Manifest] = {}  # by node: the state of the holder's container there
        self.stuck: set[str] = set()  # nodes that do not let go

    def node(self, number: int) -> str:
        return f"n{number}-{self.pool}"

    async def add(self, *numbers: int, **labels: str) -> None:
        for number in numbers:
            metadata = {"name": self.node(number), "labels": {"pool": self.pool, **labels}}
            await self.bed.cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
            path = f"/api/v1/nodes/{self.node(number)}/status"
            await self.bed.cluster._call("PATCH", path, {"status": {"conditions": [ready]}}, "merge")

    async def label(self, number: int, **labels: str | None) -> None:
        ref = Reference("v1", "Node", self.node(number))
        await self.bed.cluster.merge(ref, {"metadata": {"labels": labels}})

    async def play(self) -> None:
        """The DaemonSet controller, the garbage collector and the kubelets."""
        while True:
            await self.turn()
            await asyncio.sleep(0.05)

    async def turn(self) -> None:
        cluster = self.bed.cluster
        sets = {each["metadata"]["uid"]: each for each in await cluster.list("apps/v1", "DaemonSet")}
        nodes = [each for each in await cluster.list("v1", "Node") if each["metadata"]["name"].endswith(self.pool)]
        wanted = {(uid, node["metadata"]["name"]) for uid, each in sets.items() for node in nodes if _fits(each, node)}
        pods = await cluster.list("v1", "Pod", labelSelector=names.LABEL_ATTACHMENT_UID)
        mine = [each for each in pods if each["spec"].get("nodeName", "").endswith(self.pool)]
        there = {(each["metadata"]["ownerReferences"][0]["uid"], each["spec"]["nodeName"]): each for each in mine}
        for key in wanted - there.keys():
            await self._start(sets[key[0]], key[1])
        for key in there.keys() - wanted:
            if key[1] not in self.stuck:
                await self._end(there[key], 0)
            elif "deletionTimestamp" not in there[key]["metadata"]:
                await self._end(there[key], 30)
        for key in wanted & there.keys():
            await self._report(there[key])

    async def _start(self, daemon_set: Manifest, node: str) -> None:
        metadata, template = daemon_set["metadata"], daemon_set["spec"]["template"]
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": metadata["name"], "uid": metadata["uid"]}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{metadata['name']}-{secrets.token_hex(3)}",
                "namespace": metadata["namespace"],
                "labels": template["metadata"]["labels"],
                "ownerReferences": [{**owner, "controller": True}],
            },
            "spec": {**template["spec"], "nodeName": node},
        }
        await self.bed.cluster.create(pod)

    async def _end(self, pod: Manifest, grace: int) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        await self.bed.cluster._call("DELETE", path, {"gracePeriodSeconds": grace})

    async def _report(self, pod: Manifest) -> None:
        sick = self.sick.get(pod["spec"]["nodeName"])
        state = sick or {"running": {}}
        container = {"name": "holder", "ready": not sick, "restartCount": 0, "image": "", "imageID": "", "state": state}
        ready = {"type": "Ready", "status": "False" if sick else "True"}
        before = pod.get("status", {})
        if [each["status"] for each in before.get("conditions", []) if each["type"] == "Ready"] == [ready["status"]]:
            return
        status = {"phase": "Pending" if sick else "Running", "conditions": [ready], "containerStatuses": [container]}
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        await self.bed.cluster._call("PATCH", path, {"status": status}, "merge")


def _fits(daemon_set: Manifest, node: Manifest) -> bool:
    affinity = daemon_set["spec"]["template"]["spec"].get("affinity") or {}
    if not affinity:
        return True
    required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    selector = LabelSelector.model_validate({"matchExpressions": required["nodeSelectorTerms"][0]["matchExpressions"]})
    return consent.matches(selector, node["metadata"].get("labels", {}))


@pytest.fixture
async def group(bed: Bed) -> AsyncIterator[Group]:
    group = Group(bed)
    playing = asyncio.create_task(group.play())
    yield group
    assert not playing.done(), playing.result()
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)
    for each in await bed.cluster.list("v1", "Node"):
        await bed.cluster.delete(Reference("v1", "Node", each["metadata"]["name"]))


@pytest.fixture
async def two_nodes(bed: Bed) -> AsyncIterator[Manifest]:
    """Two nodes, and what selects them; nobody plays their kubelets."""
    found = [f"{bed.namespace}-{number}" for number in (1, 2)]
    for name in found:
        labels = {"pool": bed.namespace}
        await bed.cluster._call("POST", "/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
    yield {"selector": {"matchLabels": {"pool": bed.namespace}}}
    for name in found:
        await bed.cluster._call("DELETE", f"/api/v1/nodes/{name}")
