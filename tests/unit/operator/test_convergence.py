"""Crashes, stale looks, pods that come and go, a vandal: the plans converge, and data is never pulled away."""

import copy
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import integers, sampled_from

from moorage import conditions, names, plan, quantity, transitions
from moorage.actions import Action, Apply, Create, Delete, Hold, Notice, Plan
from moorage.facts import VolumeFacts
from moorage.holders import PodState, Uses
from moorage.model import StorageBackend, StorageVolume, StorageVolumeStatus
from moorage.release import RELEASING, release

UID = "0b0c9b4e-0000-4000-8000-000000000003"
ROUNDS = 12  # place, serve, ready; or destroying, claims, release, agent, destroyed; each lost step costs one

Body = dict[str, Any]


class World(RuleBasedStateMachine):
    """A cluster of one volume. `step` is what an operator has decided and not yet carried out."""

    @initialize(
        claim=sampled_from(["Auto", "None"]), on_delete=sampled_from(["Delete", "Retain"]), age=sampled_from([0, 4])
    )
    def begin(self, claim: str, on_delete: str, age: int) -> None:
        spec = {"type": "shared", "size": "5Gi", "claim": claim, "onDelete": on_delete}
        metadata = {"name": "data", "namespace": "ns", "uid": UID, "generation": 1, "finalizers": []}
        self.volume: Body | None = {"metadata": metadata, "spec": spec, "status": {}}
        self.claim: Body | None = None
        self.pv: Body | None = None
        self.claims_made = 0
        self.pods: set[str] = set()
        self.state = PodState.waiting
        self.moment = 0
        self.told: set[tuple[str, str]] = set()  # reason, and the state before
        self.story: list[str] = []
        self.settled = 0  # so much of the story is of steps that were taken to their end
        self.stale = False  # somebody acted on an old look: then the story may be odd
        self.data = False
        self.backend_ready = True
        self.agent_fails = False
        self.step: Plan[StorageVolumeStatus] | None = None
        self.seen: Body | None = None  # the object as `step` was decided
        self.calm(age)

    # The operator.

    def look(self) -> Plan[StorageVolumeStatus] | None:
        if self.volume is None:
            return None
        volume = StorageVolume.model_validate(copy.deepcopy(self.volume))
        deleting = "deletionTimestamp" in volume.metadata
        listing = deleting and volume.status.phase in RELEASING and volume.status.release is None
        facts = VolumeFacts(
            volume,
            f"2026-01-01T00:00:00.{self.moment:06}Z",
            backends=(self.backend(),),
            claim=copy.deepcopy(self.claim),
            persistent_volume=copy.deepcopy(self.pv),
            holders=tuple(f"pod ns/{each}" for each in sorted(self.pods)) if listing else (),
            users={("ns", each): Uses(node="n", state=self.state) for each in self.pods},
        )
        return release(facts) if deleting else plan.plan(facts)

    def backend(self) -> StorageBackend:
        status = "True" if self.backend_ready else "False"
        condition = {"type": "Ready", "status": status, "reason": "x", "lastTransitionTime": "t"}
        engine = {"ganesha": {"namespace": "moorage", "statefulSet": "moorage-nfs"}}
        body = {"metadata": {"name": "shared"}, "spec": {"default": True, "engine": engine}}
        servers = [{"name": "moorage-nfs-0", "freeBytes": 2**40}]
        return StorageBackend.model_validate({**body, "status": {"conditions": [condition], "servers": servers}})

    def carry_out(self, step: Plan[StorageVolumeStatus], crash_after: int, seen: Body | None = None) -> None:
        """The actions, the Events, the status, the end; the process dies after that many of them."""
        deeds = [*step.actions, *step.notices, step.status, *(["finish"] if step.finish else [])]
        for deed in deeds[:crash_after]:
            if self.volume is None:
                return
            if isinstance(deed, Notice):
                self.tell(deed)
            elif isinstance(deed, StorageVolumeStatus):
                if seen not in (None, self.volume) and conditions.is_true(deed.conditions, conditions.READY):
                    return  # a conflict: the object has moved on since the look
                self.check_told(deed)
                self.settle(step)
                share = self.volume["status"].get("share")
                self.volume["status"] = {**deed.dump(), **({"share": share} if share else {})}
                if not share:
                    self.volume["status"].pop("share", None)
            elif deed == "finish":
                assert self.stale or (self.story.count("Destroyed"), self.story[-1]) == (1, "Destroyed"), self.story
                self.volume = None
            else:
                self.act(deed)  # type: ignore[arg-type]

    def tell(self, notice: Notice) -> None:
        assert self.volume
        before = transitions.mark(StorageVolumeStatus.model_validate(self.volume["status"]))
        if (notice.reason, before) not in self.told:
            self.told.add((notice.reason, before))
            self.story.append(notice.reason)

    def settle(self, step: Plan[StorageVolumeStatus]) -> None:
        """What an operator told before it died, of a step that then was not taken, may be told of a later one."""
        taken = {each.reason for each in step.notices}
        self.story[self.settled :] = [each for each in self.story[self.settled :] if each in taken]
        self.settled = len(self.story)

    def check_told(self, status: StorageVolumeStatus) -> None:
        """No phase is entered untold, and none is told a second time while it lasts."""
        assert self.volume
        before = StorageVolumeStatus.model_validate(self.volume["status"])
        if before.phase != status.phase:
            self.moment += 1
        if before.phase != status.phase and not self.stale:
            reasons = {reason for reason, mark in self.told if mark == transitions.mark(before)}
            assert reasons, f"{before.phase} -> {status.phase} was not told"

    def act(self, action: Action) -> None:
        assert self.volume
        match action:
            case Hold():
                self.volume["metadata"]["finalizers"] = [names.FINALIZER]
            case Apply():
                self.apply_pv(action.manifest)
            case Create():
                if self.claim is None:
                    self.claims_made += 1
                    self.claim = copy.deepcopy(action.manifest)
                    self.claim["metadata"]["uid"] = f"claim-{self.claims_made}"
            case Delete():
                target = self.claim if action.reference.kind == "PersistentVolumeClaim" else self.pv
                if target:
                    target["metadata"]["deletionTimestamp"] = "t"
            case _:
                raise AssertionError(action)

    def apply_pv(self, manifest: Body) -> None:
        assert self.volume
        assert self.volume["status"].get("share", {}).get("state") == "Served", "a PersistentVolume without a share"
        remembered = self.pv["spec"]["claimRef"].get("uid") if self.pv else None
        self.pv = copy.deepcopy(manifest)
        if remembered:
            self.pv["spec"]["claimRef"].setdefault("uid", remembered)

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
            self.reconcile_whole()
            self.agent()
            self.controllers()

    @rule()
    def decide(self) -> None:
        self.step, self.seen = self.look(), copy.deepcopy(self.volume)

    @precondition(lambda self: self.step is not None)
    @rule(crash_after=integers(0, 6))
    def act_on_an_old_look(self, crash_after: int) -> None:
        step, self.step = self.step, None
        assert step
        served = (self.volume or {}).get("status", {}).get("share", {}).get("state") == "Served"
        if served or not any(isinstance(each, Apply) for each in step.actions):
            self.stale = True
            self.carry_out(step, crash_after, self.seen)

    @rule()
    def agent(self) -> None:
        if self.volume is None:
            return
        status = self.volume["status"]
        if not status.get("placement"):
            return
        if status.get("release") and "deletionTimestamp" in self.volume["metadata"]:
            assert not self.pods, "data was released under a pod"
            assert self.claim is None, "data was released under a claim"
            self.data = status["release"] == "Retain" and self.data
            status["share"] = {**status.get("share", {"server": "moorage-nfs-0"}), "state": "Released"}
        elif self.agent_fails and not self.data:
            status["share"] = {"state": "Failed", "server": "moorage-nfs-0", "reason": "NoCapacity"}
        else:
            self.data = True
            size = quantity.parse(self.volume["spec"]["size"])
            share = {"state": "Served", "server": "moorage-nfs-0", "address": "nfs", "path": "/vol/x", "exportId": 1}
            status["share"] = {**share, "sizeBytes": size}

    @rule()
    def controllers(self) -> None:
        """Binding, and the protection of what is in use."""
        if self.claim and "deletionTimestamp" in self.claim["metadata"] and not self.pods_by_claim():
            self.claim = None
        if self.pv and "deletionTimestamp" in self.pv["metadata"] and self.claim is None:
            self.pv = None
        if self.pv and self.claim:
            self.pv["spec"]["claimRef"].setdefault("uid", self.claim["metadata"]["uid"])

    def pods_by_claim(self) -> set[str]:
        return {each for each in self.pods if each.startswith("claim")}

    @rule(number=integers(0, 2))
    def pod_by_claim(self, number: int) -> None:
        if self.claim and "deletionTimestamp" not in self.claim["metadata"] and self.is_bound():
            self.pods.add(f"claim-{number}")

    def is_bound(self) -> bool:
        assert self.claim
        return bool(self.pv and self.pv["spec"]["claimRef"].get("uid") == self.claim["metadata"]["uid"])

    @rule(number=integers(0, 2))
    def pod_inline(self, number: int) -> None:
        """The node plugin mounts only what is Ready at that moment."""
        conditions = (self.volume or {}).get("status", {}).get("conditions", [])
        if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            self.pods.add(f"inline-{number}")

    @rule(state=sampled_from(PodState))
    def pods_move(self, state: PodState) -> None:
        self.state = state

    @rule()
    def pods_leave(self) -> None:
        self.pods.clear()

    @rule()
    def user_deletes(self) -> None:
        if self.volume:
            self.volume["metadata"]["deletionTimestamp"] = "t"
            if not self.volume["metadata"]["finalizers"]:
                self.volume = None

    @rule()
    def user_grows(self) -> None:
        if self.volume:
            self.volume["spec"]["size"] = "9Gi"
            self.volume["metadata"]["generation"] += 1

    @rule(ready=sampled_from([True, False]))
    def backend_comes_and_goes(self, ready: bool) -> None:
        self.backend_ready = ready

    @rule(fails=sampled_from([True, False]))
    def pool_is_full(self, fails: bool) -> None:
        self.agent_fails = fails

    @rule(what=sampled_from(["claim", "pv"]))
    def vandal(self, what: str) -> None:
        target = self.claim if what == "claim" else self.pv
        if target:
            target["metadata"]["deletionTimestamp"] = "t"

    # What must hold.

    @invariant()
    def a_pod_never_loses_its_data(self) -> None:
        assert self.data or not self.pods

    def teardown(self) -> None:
        """Left in peace, the world converges in a few rounds, and a converged world plans nothing."""
        if not hasattr(self, "volume"):
            return
        self.backend_ready, self.agent_fails, self.step = True, False, None
        self.pods.clear()
        self.calm(ROUNDS)
        self.reconcile_whole()
        last = self.look()
        if self.volume is None:
            assert (self.claim, self.pv) == (None, None)
            return
        assert last
        assert self.volume["status"]["phase"] == "READY", self.volume
        assert (last.actions, last.notices) == ((), ())
        assert self.stale or all(one != other for one, other in pairwise(self.story)), self.story
        assert last.status.dump() == StorageVolumeStatus.model_validate(self.volume["status"]).dump()
        assert (self.pv is not None) == (self.volume["spec"]["claim"] == "Auto")

    def reconcile_whole(self) -> None:
        step = self.look()
        if step:
            self.carry_out(step, 99)


World.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestConvergence = World.TestCase


def test_two_pods_that_attach_are_told_of_each_although_the_first_left_while_no_operator_was_there() -> None:
    world = World()
    world.begin("Auto", "Delete", 4)
    world.pod_inline(0)
    world.reconcile(1)  # tells, and dies before the status
    world.pods_leave()
    world.user_grows()
    world.agent()
    world.reconcile_whole()  # no phase is entered, but another size is judged
    world.pod_inline(0)
    world.reconcile_whole()

    assert world.story == ["Provisioning", "Ready", "Attaching"]
    assert [reason for reason, _ in sorted(world.told)].count("Attaching") == 2
    world.teardown()
