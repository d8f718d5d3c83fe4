"""`moor grow`: ask for a larger size, and wait until `df` in the pods shows it."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from moorage import growth, quantity
from moorage.errors import DeadlineExceeded, InvalidInput, NotFound, Retry
from moorage.model import StorageVolume
from moorage_cli.api import Volumes

LOOK_EVERY = 0.25  # seconds
PATIENCE_WITH_TROUBLE = 3.0  # seconds that it must last: the agent may be trying again

Tell = Callable[[str], None]


async def grow(volumes: Volumes, namespace: str, name: str, size: str, patience: float, tell: Tell) -> None:
    """Raises MoorageError when it is refused, NoCapacity when the backend cannot, DeadlineExceeded after `patience`
    seconds."""
    before = await _get(volumes, namespace, name)
    wanted = growth.check(before, size)
    had = growth.progress(before, wanted)
    if had.done and before.spec.size and quantity.parse(before.spec.size) == wanted:
        tell(f"{name} has {quantity.format(had.has)} already")
        return
    asked = _parse(await volumes.grow(namespace, name, size))
    has = await _wait(volumes, asked, wanted, patience)
    tell(f"{name} has {quantity.format(has)} now, and had {quantity.format(had.has)}")


async def _wait(volumes: Volumes, asked: StorageVolume, wanted: int, patience: float) -> int:
    namespace, name = asked.metadata["namespace"], asked.metadata["name"]
    end, bad_since = time.monotonic() + patience, 0.0
    while True:
        volume = await _look(volumes, asked)
        seen = growth.progress(volume, wanted)
        if seen.done:
            return seen.has
        now = time.monotonic()
        bad_since = (bad_since or now) if seen.trouble else 0.0
        if seen.trouble and now - bad_since >= PATIENCE_WITH_TROUBLE:
            raise growth.refused(seen.trouble)
        if now >= end:
            text = f"{name} has {quantity.format(seen.has)} after {patience:.0f} s; it goes on growing by itself"
            raise DeadlineExceeded(f"{text}: kubectl -n {namespace} describe sv {name} says what it waits for")
        await asyncio.sleep(LOOK_EVERY)


async def _look(volumes: Volumes, asked: StorageVolume) -> StorageVolume:
    """The volume as it is; as it was asked for while the API server does not answer."""
    try:
        found = await _get(volumes, asked.metadata["namespace"], asked.metadata["name"])
    except Retry:
        return asked
    if found.metadata["uid"] != asked.metadata["uid"]:
        raise NotFound(f"{asked.metadata['name']} was deleted, and another volume has its name")
    return found


async def _get(volumes: Volumes, namespace: str, name: str) -> StorageVolume:
    try:
        return _parse(await volumes.get(namespace, name))
    except NotFound:
        raise NotFound(f"there is no StorageVolume {name} in namespace {namespace}: try -n NAMESPACE") from None


def _parse(body: dict[str, Any]) -> StorageVolume:
    try:
        return StorageVolume.model_validate(body)
    except ValidationError:
        raise InvalidInput("the StorageVolume cannot be read: this moor is of another version than its CRD") from None
