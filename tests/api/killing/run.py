"""One run of a story: a scope of its own, and operators that die as they are doomed to, one after the other."""

import asyncio
import contextlib
import difflib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from killing.death import DEATH, Call, Death, Doom, Mortal
from killing.engine import engine_state
from killing.mirror import Mirror
from killing.players import RUNNING, Players
from killing.snapshot import Snapshot, snapshot
from moorage import names
from moorage.actions import Manifest, Problem, Reference
from moorage.model import StorageBackend
from moorage_operator.cluster import Cluster
from moorage_operator.runtime import Operator
from moorage_operator.settings import Settings

PATIENCE = 180.0  # seconds for one stage, on a machine that is overloaded; an idle one needs less than one
SETTLED = 0.3  # seconds without work or change, after which a run that nobody disturbs is where it wants to be


class Shown(Operator):
    """The operator, shown by the mirror what kopf would show it: a fresh one is at work within milliseconds."""

    def __init__(self, mirror: Mirror, scope: str, cluster: Cluster) -> None:
        super().__init__(cluster, Settings(scope, "tester"), _all_is_well)
        self._mirror = mirror
        self._scope = scope

    @property
    def idle(self) -> bool:
        return not self.queue.depth and not self.queue.busy

    async def _watch(self, ready: asyncio.Event | None, on_watch: Callable[[], None]) -> None:
        with self._mirror.listening(self._scope, self.see):
            if ready:
                ready.set()
            await asyncio.get_running_loop().create_future()


async def _all_is_well(_: StorageBackend) -> Problem | None:
    return None


class Run:
    """Short words for what stories do, and the operator that they are about."""

    def __init__(self, mirror: Mirror, players: Players) -> None:
        self.scope = f"k-{secrets.token_hex(4)}"
        self.mirror = mirror
        self.players = players
        self.cluster = mirror.cluster
        self.deaths = 0
        self._dooms: list[Doom | int] = []
        self._operator: Shown | None = None
        self._death = Death()

    @contextlib.asynccontextmanager
    async def operated(self) -> AsyncIterator["Run"]:
        self.mirror.scopes.add(self.scope)
        await self.cluster._call("POST", "/api/v1/namespaces", {"metadata": {"name": self.scope}})
        ready = asyncio.Event()
        keeper = asyncio.create_task(self._keep(ready))
        await ready.wait()
        try:
            yield self
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            self.mirror.forget(self.scope)

    async def _keep(self, ready: asyncio.Event) -> None:
        """One operator after the other."""
        while True:
            death = self._death = Death()
            self._operator = Shown(self.mirror, self.scope, Mortal(self.cluster, death, self.scope))
            life = asyncio.create_task(self._live(self._operator, death, ready))
            end = asyncio.create_task(death.dead.wait())
            try:
                await asyncio.wait({life, end}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                death.strike()
                await _bury(life, end)
            self.deaths += 1

    async def _live(self, operator: Shown, death: Death, ready: asyncio.Event) -> None:
        DEATH.set(death)
        watching = asyncio.Event()
        life = asyncio.create_task(operator.run(watching))
        try:
            await watching.wait()
            death.begin(self._dooms.pop(0) if self._dooms else None)
            ready.set()
            await life
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    def begin(self, *dooms: Doom | int) -> None:
        """From now on calls are counted anew; the operator dies at the first doom, its successor at the next."""
        self._dooms = list(dooms[1:])
        self._death.begin(dooms[0] if dooms else None)

    @property
    def calls(self) -> list[Call]:
        """Of the operator at work, since the beginning."""
        return self._death.calls

    # Words of stories.

    def ref(self, kind: str, name: str, api_version: str = names.API_VERSION) -> Reference:
        return Reference(api_version, kind, name, self.scope)

    async def make(self, kind: str, name: str, api_version: str = names.API_VERSION, **fields: Any) -> None:
        metadata = {"name": name, "namespace": self.scope}
        await self.cluster.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields})

    async def change(self, kind: str, name: str, **spec: Any) -> None:
        await self.cluster.merge(self.ref(kind, name), {"spec": spec})

    async def delete(self, kind: str, name: str, api_version: str = names.API_VERSION) -> None:
        await self.cluster.delete(self.ref(kind, name, api_version))

    async def node(self, number: int) -> None:
        """A node of the scope."""
        await self.cluster.create(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"{self.scope}-n{number}", "labels": self.nodes}}
        )
        status = {"conditions": [{"type": "Ready", "status": "True"}]}
        await self.cluster._call("PATCH", f"/api/v1/nodes/{self.scope}-n{number}/status", {"status": status}, "merge")

    @property
    def nodes(self) -> dict[str, str]:
        """The label of the nodes of the scope."""
        return {"scope": self.scope}

    async def pod(self, name: str, *volumes: Manifest) -> None:
        """On a node, but with nothing mounted yet."""
        spec = {"nodeName": f"{self.scope}-n1", "containers": [{"name": "c", "image": "i"}], "volumes": list(volumes)}
        await self.make("Pod", name, "v1", spec=spec)

    async def pod_runs(self, name: str) -> None:
        await self.cluster._call("PATCH", f"{self._pod(name)}/status", {"status": RUNNING}, "merge")

    async def pod_ends(self, name: str) -> None:
        """It was told to; the kubelet has still to unmount."""
        await self.cluster._call("DELETE", self._pod(name))

    async def pod_is_gone(self, name: str) -> None:
        await self.cluster._call("DELETE", self._pod(name), {"gracePeriodSeconds": 0})

    def _pod(self, name: str) -> str:
        return f"/api/v1/namespaces/{self.scope}/pods/{name}"

    def get(self, kind: str, name: str) -> Manifest | None:
        return self.mirror.get(self.scope, kind, name)

    def phase(self, name: str, kind: str = "StorageVolume") -> str | None:
        return ((self.get(kind, name) or {}).get("status") or {}).get("phase")

    def condition(self, name: str, type: str, kind: str = "StorageVolume") -> str | None:
        found = ((self.get(kind, name) or {}).get("status") or {}).get("conditions", [])
        return next((each["status"] for each in found if each["type"] == type), None)

    # Where it is.

    async def settle(self, goal: Callable[["Run"], Any] = lambda _: True) -> Snapshot:
        """Where it comes to rest, with the `goal` reached."""
        loop = asyncio.get_running_loop()
        seen, since, end = None, 0.0, loop.time() + PATIENCE
        while loop.time() < end:
            now = self._snapshot() if self._is_idle() and goal(self) else None
            if now is None or now != seen:
                seen, since = now, loop.time()
            if now is not None and loop.time() - since > SETTLED:
                return now
            await asyncio.sleep(0.02)
        text = json.dumps(self._snapshot(), indent=1)
        raise AssertionError(f"the run that nobody disturbs does not come to rest where it should: {text}")

    async def reach(self, wanted: Snapshot) -> str | None:
        """What differs from the snapshot `wanted` in the end; None when nothing does."""
        if await self.mirror.until(self.scope, lambda: self._is_idle() and self._snapshot() == wanted, PATIENCE):
            return None
        queue = f"depth {self._operator.queue.depth}, busy {self._operator.queue.busy}" if self._operator else ""
        recent = ", ".join(str(each) for each in self._death.calls[-8:])
        return f"queue: {queue}; last calls: {recent}\n{_differ(wanted, self._snapshot())}"

    def _snapshot(self) -> Snapshot:
        return snapshot(self.mirror, self.scope)

    def _is_idle(self) -> bool:
        return self._operator is not None and not self._death.dead.is_set() and self._operator.idle


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a story: what somebody does, and what must be so when it has come to rest."""

    name: str
    do: Callable[[Run], Awaitable[Any]]
    goal: Callable[[Run], Any]


@dataclass(frozen=True, slots=True)
class Rest:
    """Where a stage comes to rest when nobody disturbs it, in cluster and engine, and the calls until then."""

    world: Snapshot
    engine: dict[str, Any]
    calls: list[Call]


Story = tuple[Stage, ...]


async def tell(run: Run, story: Story) -> list[Rest]:
    """The story without disturbance."""
    rests: list[Rest] = []
    for stage in story:
        run.begin()
        await stage.do(run)
        world = await run.settle(stage.goal)
        rests.append(Rest(world, await engine_state(run.mirror, run.scope), list(run.calls)))
    return rests


async def retell(
    run: Run, story: Story, rests: list[Rest], dooms: Sequence[Doom | None]
) -> tuple[set[int], str | None]:
    """The same story with a death in each stage for which there is a doom.

    Gives the stages in which somebody died, and how the first one ended otherwise, if one did: the rest is not told.
    """
    died: set[int] = set()
    for number, (stage, rest, doom) in enumerate(zip(story, rests, dooms, strict=True)):
        before = run.deaths
        run.begin(*([doom] if doom else []))
        await stage.do(run)
        differs = await run.reach(rest.world) or _differ(rest.engine, await engine_state(run.mirror, run.scope))
        if run.deaths > before:
            died.add(number)
        if differs:
            return died, f"stage {stage.name!r}, killed {doom} ({run.deaths - before} deaths):\n{differs}"
    return died, None


def _differ(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """Nothing when they are the same."""
    lines = (json.dumps(each, indent=1, sort_keys=True).splitlines() for each in (wanted, found))
    return "\n".join(difflib.unified_diff(*lines, "undisturbed", "after a death", lineterm="", n=4))


async def _bury(*tasks: asyncio.Task[Any]) -> None:
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
