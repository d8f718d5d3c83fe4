"""A story, and all its deaths, in a process of its own: one event loop is not enough for thousands of operators."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from unittest import mock

from kubernetes.aio import client

from killing.death import Doom, dooms, mortal_s3
from killing.mirror import Mirror
from killing.players import Players
from killing.run import Rest, Run, Story, retell, tell
from killing.snapshot import KINDS, Snapshot, snapshot
from killing.stories import SHARED_SPEC, STORIES
from moorage import names
from moorage.actions import Reference
from moorage.errors import MoorageError
from moorage_operator import attachmentwatch, runtime, watch
from moorage_operator.cluster import Cluster

AT_ONCE = 24
ALL_READS = bool(os.environ.get("MOORAGE_EVERY_KILL"))
ROUNDS = 3
CROWD = 50
KILLS = 5
CROWD_PATIENCE = 120.0
ENOUGH = 5  # failures: each takes its patience
SWEPT = (
    "StorageAttachment",
    "StorageSnapshot",
    "StorageVolume",
    "Bucket",
    "StorageBackend",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "Node",
)


@dataclass(frozen=True, slots=True)
class Address:
    """Of an API server."""

    url: str
    token: str
    certificate: str


@dataclass(frozen=True, slots=True)
class Report:
    """`calls` of the undisturbed run; `deaths` died; `missed` (stage, write) nobody died at; `failures` in words."""

    calls: int
    deaths: int
    missed: list[str]
    failures: list[str]
    seconds: float


Fate = tuple[int, Doom]  # in which stage, and when


def prove(address: Address, title: str) -> Report:
    """Tell the story without disturbance, then again until at each call of the operator in it an operator has died."""
    return asyncio.run(_prove(address, STORIES[title]))


async def _prove(address: Address, story: Story) -> Report:
    began = time.monotonic()
    async with _stage(address) as (mirror, players):
        async with Run(mirror, players).operated() as run:
            rests = await tell(run, story)
        fates = [(number, doom) for number, rest in enumerate(rests) for doom in dooms(rest.calls, ALL_READS)]
        met, failures = await _meet(mirror, players, story, rests, fates)
    # A read that one telling made (its watch was late) and ROUNDS others did not is chance; a write never is.
    missed = sorted(_names(fate for fate in fates if fate[1].call.writes) - _names(met))
    calls = sum(len(rest.calls) for rest in rests)
    return Report(calls, len(met), missed, failures, time.monotonic() - began)


def _names(fates: Iterable[Fate]) -> set[str]:
    return {f"stage {number}: {doom.when} {doom.call.name}" for number, doom in fates}


async def _meet(
    mirror: Mirror, players: Players, story: Story, rests: list[Rest], fates: list[Fate]
) -> tuple[set[Fate], list[str]]:
    """The fates that were met, and what ended otherwise.

    One telling takes a fate of each stage: a stage begins only when the one before has come to its right end. Where
    tasks run side by side a call may not come: then it is tried again.
    """
    gate = asyncio.Semaphore(AT_ONCE)
    met: set[Fate] = set()
    failures: list[str] = []

    async def one(fated: tuple[Doom | None, ...]) -> None:
        async with gate:
            if len(failures) >= ENOUGH:
                return
            async with Run(mirror, players).operated() as run:
                died, differs = await retell(run, story, rests, fated)
            met.update((number, doom) for number, doom in enumerate(fated) if doom and number in died)
            failures.extend([differs] if differs else [])

    for _ in range(ROUNDS):
        left = [fate for fate in fates if fate not in met]
        by_stage = ([doom for number, doom in left if number == stage] for stage in range(len(story)))
        await asyncio.gather(*(one(fated) for fated in zip_longest(*by_stage)))
        if failures:
            break
    return met, failures


def crowd(address: Address, seed: int) -> list[str]:
    """Many volumes at once, while operators are killed at random calls: what is not as it should be, in words."""
    return asyncio.run(_crowd(address, random.Random(seed)))  # noqa: S311 - repeats a run, guards nothing


async def _crowd(address: Address, chance: random.Random) -> list[str]:
    volumes = [f"v{number}" for number in range(CROWD)]
    async with _stage(address) as (mirror, players), Run(mirror, players).operated() as run:

        async def all_are(wanted: str | None) -> list[str]:
            await mirror.until(run.scope, lambda: all(run.phase(each) == wanted for each in volumes), CROWD_PATIENCE)
            return [f"{each} is {run.phase(each)}, not {wanted}" for each in volumes if run.phase(each) != wanted]

        run.begin(*(chance.randint(10, CROWD) for _ in range(KILLS)))
        await asyncio.gather(*(run.make("StorageVolume", each, spec=SHARED_SPEC) for each in volumes))
        troubles = await all_are("READY")
        run.begin(*(chance.randint(10, CROWD) for _ in range(KILLS)))
        await asyncio.gather(*(run.delete("StorageVolume", each) for each in volumes))
        troubles += await all_are(None)
        await mirror.until(run.scope, lambda: not mirror.all(run.scope, *KINDS), CROWD_PATIENCE)
        if run.deaths != 2 * KILLS:
            troubles.append(f"{run.deaths} deaths")
        return troubles + _untidy(snapshot(mirror, run.scope))


def _untidy(world: Snapshot) -> list[str]:
    """What was left, made twice, or not told once and in order."""
    left = [f"{title} is left" for title in world["objects"]]
    twice = [f"{title} was made {count} times" for title, count in world["made"].items() if count != 1]
    life = ["Provisioning", "Ready", "Destroying", "Destroyed"]
    told = [f"{who}: {reasons}" for who, reasons in world["events"].items() if reasons != life]
    return left + twice + told


@contextlib.asynccontextmanager
async def _stage(address: Address) -> AsyncIterator[tuple[Mirror, Players]]:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # tasks of the dead have nothing to tell
    async with connected(address) as cluster:
        mirror = Mirror(cluster)
        players = Players(mirror)
        tasks = [asyncio.create_task(mirror.run()), asyncio.create_task(players.run())]
        try:
            with mortal_s3(), _haste():
                async with Run(mirror, players).operated() as run:
                    await run.settle()  # with the backends, so that stories are about nothing else
                yield mirror, players
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _haste() -> Iterator[None]:
    """No waiting for more pods to be counted at once, and no listing that is there for what watches may miss."""
    with contextlib.ExitStack() as stack:
        for module in (watch, attachmentwatch):
            stack.enter_context(mock.patch.object(module, "COUNT_DELAY", 0.1))
        stack.enter_context(mock.patch.object(runtime, "SECOND_LISTING", 600.0))
        yield


@contextlib.asynccontextmanager
async def connected(address: Address) -> AsyncIterator[Cluster]:
    configuration = client.Configuration(host=address.url, api_key={"BearerToken": f"Bearer {address.token}"})
    configuration.ssl_ca_cert = address.certificate
    cluster = Cluster(configuration)
    try:
        yield cluster
    finally:
        await cluster.close()


async def make_backends(address: Address, s3: dict[str, str], root: dict[str, str]) -> None:
    """One of each engine, for all operators: `s3` is the engine's spec, `root` its key. Called ready from the start."""
    secret = {"name": "killing-root", "namespace": "default"}
    engines = {
        "shared": {"ganesha": {"namespace": "moorage", "statefulSet": "moorage-nfs"}},
        "object": {"s3": {**s3, "credentialsSecret": secret}},
    }
    async with connected(address) as cluster:
        await cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": root})
        for name, engine in engines.items():
            body = {"apiVersion": names.API_VERSION, "kind": "StorageBackend", "metadata": {"name": name}}
            await cluster.create({**body, "spec": {"default": True, "engine": engine}})
            condition = {"type": "Ready", "status": "True", "reason": "Ready", "message": "it answers"}
            condition["lastTransitionTime"] = "2026-01-01T00:00:00Z"
            await cluster.apply({**body, "status": {"conditions": [condition]}}, sub="status")


async def sweep(address: Address) -> None:
    async with connected(address) as cluster:
        for kind in SWEPT:
            api_version = names.API_VERSION if kind.startswith(("Storage", "Bucket")) else "v1"
            for each in await cluster.list(api_version, kind):
                metadata = each["metadata"]
                ref = Reference(api_version, kind, metadata["name"], metadata.get("namespace", ""))
                with contextlib.suppress(MoorageError):
                    await cluster.merge(ref, {"metadata": {"finalizers": None}})
                    await cluster.delete(ref)
