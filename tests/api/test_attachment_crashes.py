"""The operator dies after each single write of an attach and of a detach; the next one ends in the same place."""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from bed import Bed, until
from group import Group

from moorage.actions import Manifest
from moorage_operator.cluster import Cluster
from moorage_operator.runtime import Operator
from moorage_operator.settings import Settings

SATT = "StorageAttachment"
STORY = ["Attaching", "Ready", "Detaching", "Detached"]
MOST_WRITES = 60  # more than any attach or detach takes: the loop ends long before


class Mortal(Cluster):
    """Makes so many writes; then nothing that was begun ever goes on, as in a process that was killed."""

    def __init__(self, configuration: Any, lives: int) -> None:
        super().__init__(configuration)
        self.dead = asyncio.Event()
        self._lives = lives

    async def _call(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        content: Literal["apply", "merge", "json"] = "json",
        query: Mapping[str, str] | None = None,
    ) -> Manifest:
        if method != "GET":
            if self._lives == 0:
                self.dead.set()
                await asyncio.Event().wait()
            self._lives -= 1
        return await super()._call(method, path, body, content, query)


async def runs_until(bed: Bed, mortal: Mortal, done: Any) -> bool:
    """Whether the operator died before its work was done."""
    operator = Operator(mortal, Settings(bed.namespace, "mortal", resync=2.0), bed._probe)
    running = asyncio.create_task(operator.run())

    async def settled() -> bool:
        return mortal.dead.is_set() or bool(await done())

    async def story() -> str:
        return f"the work is neither done nor given up: {await bed.get(SATT, 'gpu')}"

    try:
        await until(settled, story)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await mortal.close()
    return mortal.dead.is_set()


async def attach(bed: Bed, group: Group, lives: int) -> bool:
    async def ready() -> bool:
        found = await bed.get(SATT, "gpu")
        return bool(found and found.get("status", {}).get("phase") == "READY")

    await bed.make(SATT, "gpu", spec={"volume": {"name": "data"}, "nodes": {"selector": group.selector}})
    return await runs_until(bed, Mortal(bed.cluster.configuration, lives), ready)


async def detach(bed: Bed, lives: int) -> bool:
    async def gone() -> bool:
        return await bed.get(SATT, "gpu") is None

    await bed.delete(SATT, "gpu")
    return await runs_until(bed, Mortal(bed.cluster.configuration, lives), gone)


async def story_of(bed: Bed, uid: str) -> list[str]:
    found = await bed.cluster.list("events.k8s.io/v1", "Event", bed.namespace)
    mine = (each for each in found if each["regarding"].get("uid") == uid)
    return [each["reason"] for each in sorted(mine, key=lambda each: each["eventTime"])]


async def test_an_operator_that_dies_after_any_write_is_followed_by_one_that_finishes(bed: Bed, group: Group) -> None:
    await bed.make("StorageVolume", "data", spec={"type": "shared", "size": "5Gi"})
    await bed.phase("data", "READY")
    await group.add(1, 2)
    await bed.kill()

    for lives in range(MOST_WRITES):
        died = [await attach(bed, group, lives)]
        await bed.start()
        ready = await bed.phase("gpu", "READY", SATT)
        own = f"moorage-{ready['status']['id']}"
        there = [await bed.get(*each) for each in _made(own)]
        await bed.kill()
        died.append(await detach(bed, lives))
        await bed.start()
        await bed.gone(SATT, "gpu")
        left = [await bed.get(*each) for each in _made(own)]
        await bed.phase("data", "READY")
        await bed.kill()

        told = await story_of(bed, ready["metadata"]["uid"])
        assert (ready["status"]["nodes"], None in there, left) == ("2/2", False, [None, None, None]), lives
        assert told == [each for each in STORY if each in told], lives  # in order, once each
        assert told[-3:] == STORY[1:], lives
        if not any(died):
            assert lives > 5
            return
    raise AssertionError(f"an attach or a detach takes more than {MOST_WRITES} writes")


def _made(own: str) -> tuple[tuple[str, str, str], ...]:
    return ("PersistentVolume", own, "v1"), ("PersistentVolumeClaim", "gpu", "v1"), ("DaemonSet", own, "apps/v1")
