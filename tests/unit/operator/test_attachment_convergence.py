"""Crashes, stale looks, users, nodes and consent that come and go: an attachment converges and forgets no user."""

import copy
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import booleans, integers, sampled_from

from moorage import attachmentplan, names, nodegroup
from moorage.actions import Action, Apply, Create, Delete, Hold, Plan
from moorage.attachmentfacts import AttachmentFacts, HolderImage
from moorage.attachmentrelease import release
from moorage.model import Phase, StorageAttachment, StorageAttachmentStatus, StorageVolume
from moorage.nodegroup import HolderPod, NodeSeen

UID = "0b0c9b4e-0000-4000-8000-00000000000b"
NOW = "2026-01-01T00:00:00Z"
ROUNDS = 14
NODES = ("a", "b", "c")
GPU = {"selector": {"matchLabels": {"pool": "gpu"}}}
NFS = {"type": "shared", "mount": "nfs", "server": "nfs", "path": "/vol/x", "options": "vers=4.1"}

Body = dict[str, Any]


class World(RuleBasedStateMachine):
    """A cluster of one attachment. `step` is what an operator has decided and not yet carried out."""

    @initialize(grouped=booleans(), detach=sampled_from(["Wait", "Force"]), age=sampled_from([0, 4]))
    def begin(self, grouped: bool, detach: str, age: int) -> None:
        spec = {"volume": {"name": "data", "namespace": "far"}, "detach": detach, **({"nodes": GPU} if grouped else {})}
        metadata = {"name": "photos", "namespace": "ns", "uid": UID, "generation": 1, "finalizers": []}
        self.attachment: Body | None = {"metadata": metadata, "spec": spec, "status": {}}
        self.objects: dict[str, Body] = {}  # by kind
        self.made = 0
        self.users: set[str] = set()
        self.members = {"a", "b"}
        self.holding: dict[str, bool] = {}  # node: ready
        self.there, self.ready, self.agreed = True, True, True
        self.step: Plan[StorageAttachmentStatus] | None = None
        self.blind = False  # the watch of pods lags behind
        self.calm(age)

    # The operator.

    def look(self) -> Plan[StorageAttachmentStatus] | None:
        if self.attachment is None:
            return None
        attachment = StorageAttachment.model_validate(copy.deepcopy(self.attachment))
        deleting = "deletionTimestamp" in attachment.metadata
        group = attachment.spec.nodes
        labelled = tuple(NodeSeen(each, {"pool": "gpu" if each in self.members else "cpu"}) for each in NODES)
        pods = tuple(HolderPod(f"h-{node}", node, ready) for node, ready in sorted(self.holding.items()))
        seen = copy.deepcopy(self.objects)
        listing = deleting and attachment.status.phase == Phase.DETACHING
        facts = AttachmentFacts(
            attachment,
            NOW,
            HolderImage("moorage"),
            volume=self.volume(),
            nodes=nodegroup.members(group.selector, labelled) if group else (),
            holders=pods,
            claim=seen.get("PersistentVolumeClaim"),
            persistent_volume=seen.get("PersistentVolume"),
            daemon_set=seen.get("DaemonSet"),
            attached=0 if self.blind else len(self.users),
            users=tuple(sorted(self.users)) if listing else (),
            inline_users=tuple(sorted(self.by("inline"))) if listing else (),
        )
        if not deleting and facts.is_idle:
            facts = replace(facts, users=tuple(sorted(self.users)))
        return release(facts) if deleting else attachmentplan.plan(facts)

    def volume(self) -> StorageVolume | None:
        if not self.there:
            return None
        state = {"type": "Ready", "status": "True" if self.ready else "False", "reason": "x", "lastTransitionTime": NOW}
        spec = {"type": "shared", "size": "5Gi", "share": {"from": "All" if self.agreed else "Same"}}
        share = {"state": "Served", "server": "s", "sizeBytes": 5 * 2**30}
        status = {"id": "aaaabbbb", "conditions": [state], "attributes": NFS, "share": share}
        metadata = {"name": "data", "namespace": "far", "uid": "v"}
        return StorageVolume.model_validate({"metadata": metadata, "spec": spec, "status": status})

    def carry_out(self, step: Plan[StorageAttachmentStatus], crash_after: int) -> None:
        """The actions, the status, the end; the process dies after that many of them."""
        deeds = [*step.actions, step.status, *(["finish"] if step.finish else [])]
        for deed in deeds[:crash_after]:
            if self.attachment is None:
                return
            if isinstance(deed, StorageAttachmentStatus):
                self.attachment["status"] = deed.dump()
            elif deed == "finish":
                self.attachment = None
            else:
                self.act(deed)  # type: ignore[arg-type]

    def act(self, action: Action) -> None:
        assert self.attachment
        match action:
            case Hold():
                self.attachment["metadata"]["finalizers"] = [names.FINALIZER]
            case Apply() | Create():
                self.make(copy.deepcopy(action.manifest), create=isinstance(action, Create))
            case Delete():
                target = self.objects.get(action.reference.kind)
                if target:
                    target["metadata"]["deletionTimestamp"] = NOW
            case _:
                raise AssertionError(action)

    def make(self, manifest: Body, create: bool) -> None:
        assert self.attachment
        assert self.attachment["metadata"]["finalizers"], "made before it was held"
        found = self.objects.get(manifest["kind"])
        if found and create:
            return
        self.made += 1
        kept = found["metadata"] if found else {"uid": f"u{self.made}"}
        manifest["metadata"] = {**kept, **manifest["metadata"]}
        if found and manifest["kind"] == "PersistentVolume":
            remembered = found["spec"]["claimRef"].get("uid")
            manifest["spec"]["claimRef"] = {"uid": remembered, **manifest["spec"]["claimRef"]} if remembered else {}
        self.objects[manifest["kind"]] = manifest

    # What happens around it.

    @rule(crash_after=integers(0, 6))
    def reconcile(self, crash_after: int) -> None:
        step = self.look()
        if step:
            self.carry_out(step, crash_after)

    @rule(rounds=integers(1, 4))
    def calm(self, rounds: int) -> None:
        """Everybody does his work for a while: without it, few stories would get far."""
        for _ in range(rounds):
            self.reconcile(99)
            self.controllers()

    @rule()
    def controllers(self) -> None:
        """DaemonSets and their pods, binding, and the protection of what is in use."""
        found = self.objects.get("DaemonSet")
        if found and "deletionTimestamp" in found["metadata"]:
            del self.objects["DaemonSet"]
            found = None
        self.holding = dict.fromkeys(self.members, True) if found else {}
        claim, bound = self.objects.get("PersistentVolumeClaim"), self.objects.get("PersistentVolume")
        if claim and "deletionTimestamp" in claim["metadata"] and not self.by("claim") and not self.holding:
            claim = self.objects.pop("PersistentVolumeClaim") and None
        if bound and "deletionTimestamp" in bound["metadata"] and claim is None:
            bound = self.objects.pop("PersistentVolume") and None
        if bound and claim:
            bound["spec"]["claimRef"].setdefault("uid", claim["metadata"]["uid"])

    def by(self, road: str) -> set[str]:
        return {each for each in self.users if each.startswith(road)}

    @rule(number=integers(0, 1))
    def pod_by_claim(self, number: int) -> None:
        claim, bound = self.objects.get("PersistentVolumeClaim"), self.objects.get("PersistentVolume")
        usable = claim and bound and "deletionTimestamp" not in claim["metadata"]
        if usable and bound["spec"]["claimRef"].get("uid") == claim["metadata"]["uid"]:
            self.users.add(f"claim-{number}")

    @rule(number=integers(0, 1))
    def pod_inline(self, number: int) -> None:
        """The node plugin mounts only what is Ready at that moment."""
        found = (self.attachment or {}).get("status", {}).get("conditions", [])
        if any(each["type"] == "Ready" and each["status"] == "True" for each in found):
            self.users.add(f"inline-{number}")

    @rule()
    def watch_of_pods_lags_or_is_back(self) -> None:
        self.blind = not self.blind

    @rule()
    def pods_leave(self) -> None:
        self.users.clear()

    @rule()
    def user_deletes(self) -> None:
        if self.attachment:
            self.attachment["metadata"]["deletionTimestamp"] = NOW
            if not self.attachment["metadata"]["finalizers"]:
                self.attachment = None

    @rule(grouped=booleans())
    def user_edits(self, grouped: bool) -> None:
        if self.attachment:
            self.attachment["spec"].pop("nodes", None)
            self.attachment["spec"] |= {"nodes": GPU} if grouped else {}
            self.attachment["metadata"]["generation"] += 1

    @rule(node=sampled_from(NODES))
    def node_joins_or_leaves(self, node: str) -> None:
        self.members ^= {node}

    @rule(ready=booleans(), agreed=booleans(), there=sampled_from([True, True, False]))
    def volume_changes(self, ready: bool, agreed: bool, there: bool) -> None:
        self.ready, self.agreed, self.there = ready, agreed, there

    @rule(kind=sampled_from(["PersistentVolumeClaim", "PersistentVolume", "DaemonSet"]))
    def vandal(self, kind: str) -> None:
        if kind in self.objects:
            self.objects[kind]["metadata"]["deletionTimestamp"] = NOW

    @rule()
    def decide(self) -> None:
        self.step = self.look()

    @precondition(lambda self: self.step is not None)
    @rule(crash_after=integers(0, 6))
    def act_on_an_old_look(self, crash_after: int) -> None:
        """Only what removes: what makes is done by one worker for one object, which looks anew each time."""
        step, self.step = self.step, None
        assert step
        if not step.finish and not any(isinstance(each, Apply | Create) for each in step.actions):
            self.carry_out(step, min(crash_after, len(step.actions)))

    # What must hold.

    @invariant()
    def every_user_is_remembered(self) -> None:
        """By the PersistentVolume of his claim, or by the attachment, which holds the volume."""
        if not hasattr(self, "users"):
            return
        assert not self.by("claim") or "PersistentVolume" in self.objects
        assert not self.by("inline") or (self.attachment and self.attachment["status"].get("volumeHandle"))

    def teardown(self) -> None:
        """Left in peace, the world converges in a few rounds, and a converged world plans nothing."""
        if not hasattr(self, "users"):
            return
        self.there, self.ready, self.agreed, self.step = True, True, True, None
        self.members |= {"a", "b"}
        self.users.clear()
        self.blind = False
        self.calm(ROUNDS)
        last = self.look()
        if self.attachment is None:
            self.calm(2)
            assert self.objects == {}
            return
        assert last
        assert self.attachment["status"]["phase"] == "READY", self.attachment
        assert (last.actions, last.notices) == ((), ())
        assert last.status.dump() == self.attachment["status"]
        grouped = "nodes" in self.attachment["spec"]
        assert set(self.objects) == {"PersistentVolume", "PersistentVolumeClaim", *(["DaemonSet"] if grouped else [])}
        assert self.attachment["status"].get("nodes") == (
            f"{len(self.members)}/{len(self.members)}" if grouped else None
        )


World.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestConvergence = World.TestCase
