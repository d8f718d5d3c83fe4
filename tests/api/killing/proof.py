"""A story, and all its deaths, in a process of its own: one event loop is not enough for thousands of operators."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from unittest import mock

from kubernetes.aio import client

from killing.death import Call, Doom, dooms, mortal_s3
from killing.mirror import Mirror
from killing.players import Players
from killing.run import Run, Story, retell, tell
from killing.snapshot import KINDS, Snapshot, snapshot
from killing.stories import SHARED_SPEC, STORIES
from moorage import names
from moorage.actions import Reference
from moorage.errors import MoorageError
from moorage_operator import watch
from moorage_operator.cluster import Cluster

AT_ONCE = 24
ROUNDS = 3
CROWD = 50
KILLS = 5
CROWD_PATIENCE = 120.0
ENOUGH = 5  # failures: each takes its patience
SWEPT = (
    "StorageAttachment",
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
    """`calls` of the undisturbed run; `deaths` died; `missed` (call, when) nobody died at; `failures` in words."""

    calls: list[Call]
    deaths: int
    missed: list[tuple[str, str]]
    failures: list[str]
    seconds: float


def prove(address: Address, title: str) -> Report:
    """Tell the story without disturbance, then again for each call of the operator in it, with a death at that call."""
    return asyncio.run(_prove(address, STORIES[title]))


async def _prove(address: Address, story: Story) -> Report:
    began = time.monotonic()
    async with _stage(address) as (mirror, players):
        async with Run(mirror, players).operated() as run:
            wanted = await tell(run, story)
            calls = list(run.first_calls)
        deaths, failures = await _retell_with_deaths(mirror, players, story, wanted, dooms(calls))
    missed = {(each.call.name, each.when) for each in dooms(calls)} - {(each.call.name, each.when) for each in deaths}
    return Report(calls, len(deaths), sorted(missed), failures, time.monotonic() - began)


async def _retell_with_deaths(
    mirror: Mirror, players: Players, story: Story, wanted: list[Snapshot], all_dooms: list[Doom]
) -> tuple[set[Doom], list[str]]:
    """Who died, and what ended otherwise. Where tasks run side by side a call may not come: then it is tried again."""
    gate = asyncio.Semaphore(AT_ONCE)
    deaths: set[Doom] = set()
    failures: list[str] = []

    async def die_at(doom: Doom) -> None:
        if len(failures) >= ENOUGH:
            return
        async with Run(mirror, players, doom).operated() as run:
            differs = await retell(run, story, wanted)
            if differs:
                failures.append(f"killed {doom}: {differs}")
            if run.deaths:
                deaths.add(doom)

    async def in_turn(doom: Doom) -> None:
        async with gate:
            await die_at(doom)

    for _ in range(ROUNDS):
        await asyncio.gather(*(in_turn(each) for each in all_dooms if each not in deaths))
        if failures:
            break
    return deaths, failures


def crowd(address: Address, seed: int) -> list[str]:
    """Many volumes at once, while operators are killed at random calls: what is not as it should be, in words."""
    return asyncio.run(_crowd(address, random.Random(seed)))  # noqa: S311 - repeats a run, guards nothing


async def _crowd(address: Address, chance: random.Random) -> list[str]:
    volumes = [f"v{number}" for number in range(CROWD)]
    async with _stage(address) as (mirror, players), Run(mirror, players).operated() as run:

        async def all_are(wanted: str | None) -> list[str]:
            await mirror.until(run.scope, lambda: all(run.phase(each) == wanted for each in volumes), CROWD_PATIENCE)
            return [f"{each} is {run.phase(each)}, not {wanted}" for each in volumes if run.phase(each) != wanted]

        run.doom(*(chance.randint(10, CROWD) for _ in range(KILLS)))
        await asyncio.gather(*(run.make("StorageVolume", each, spec=SHARED_SPEC) for each in volumes))
        troubles = await all_are("READY")
        run.doom(*(len(run.recent) + chance.randint(10, CROWD), *(chance.randint(10, CROWD) for _ in range(KILLS - 1))))
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
    async with connected(address) as cluster:
        mirror = Mirror(cluster)
        players = Players(mirror)
        tasks = [asyncio.create_task(mirror.run()), asyncio.create_task(players.run())]
        try:
            with mortal_s3(), mock.patch.object(watch, "COUNT_DELAY", 0.1):
                async with Run(mirror, players).operated() as run:
                    await run.settle()  # with the backends, so that stories are about nothing else
                yield mirror, players
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


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
