"""Mounted buckets follow their keys: the Secret of each is looked at now and then, and the mounter is told of a change.

The Secret is the one that the volume's attributes name (`secret: <namespace>/<name>`), which the node's account may get
by the Role of its Bucket. A volume from before there was that attribute is asked for at the API server, once. A key is
replaced with an overlap that is much longer than two looks, so nobody who writes meets a key that is gone.
"""

import asyncio
import hashlib
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Protocol

from moorage import names
from moorage.errors import MoorageError, NotFound
from moorage.objectmount import is_fuse
from moorage_csi import lookup, mounts
from moorage_csi.api import Api
from moorage_csi.state import Store

log = logging.getLogger(__name__)

PAUSE = 30.0  # seconds; with what the API server needs, far below any sensible overlap
_PARTS = (names.SECRET_ACCESS_KEY_ID, names.SECRET_SECRET_ACCESS_KEY)


class Rekeyer(Protocol):
    """The daemon that owns the FUSE processes."""

    async def rekey(self, target: str, secrets: Mapping[str, str]) -> None: ...


class KeyWatch:
    """Tells the mounter of each newer key once. After a start it tells all: who has the key already does nothing."""

    def __init__(self, store: Store, mounter: Rekeyer, api: Callable[[], Api]) -> None:
        self._store = store
        self._mounter = mounter
        self._api = api
        self._told: dict[str, str] = {}  # by mount: digest of the key
        self._found: dict[str, str] = {}  # by volume without the attribute: its Secret, or ""

    async def keep(self) -> None:
        """Look for ever, not all nodes at the same time."""
        while True:
            await asyncio.sleep(PAUSE * random.uniform(0.75, 1.25))  # noqa: S311 - spreads requests, guards nothing
            await self.look()

    async def look(self) -> None:
        """One look at every Secret; trouble with one is told and concerns no other."""
        mounted = await self._mounted()
        stagings = {each for found in mounted.values() for each in found}
        self._told = {path: digest for path, digest in self._told.items() if path in stagings}
        for secret, paths in mounted.items():
            try:
                await self._follow(secret, sorted(paths))
            except MoorageError as error:
                log.warning("Secret %s: mounts of its bucket go on with the key that they have: %s", secret, error)

    async def _follow(self, secret: str, paths: list[str]) -> None:
        namespace, _, name = secret.partition("/")
        data = await lookup.secret(self._api(), {"namespace": namespace, "name": name})
        digest = _digest(data)
        for path in paths:
            if self._told.get(path) == digest:
                continue
            try:
                await self._mounter.rekey(path, data)
            except NotFound:  # unmounted meanwhile, or about to be mounted again with the Secret of then
                continue
            self._told[path] = digest

    async def _mounted(self) -> dict[str, set[str]]:
        """Where buckets are mounted on this node, by their Secret."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for volume in self._store.all():
            mount = mounts.at(volume.staging)
            if mount is None or not is_fuse(mount.fstype):
                continue
            secret = volume.secret or await self._secret_of(volume.volume_id)
            if secret:
                found[secret].add(volume.staging)
        return found

    async def _secret_of(self, volume_id: str) -> str:
        """Of a volume that was mounted before there was the attribute; "" when nothing tells it."""
        if volume_id not in self._found:
            try:
                self._found[volume_id] = await lookup.secret_name(self._api(), volume_id)
            except MoorageError as error:
                log.info("the Secret of %s is not known (yet): %s", volume_id, error)
                return ""
        return self._found[volume_id]


def _digest(secrets: Mapping[str, str]) -> str:
    """Stands for a key, and does not tell it."""
    return hashlib.sha256("\0".join(secrets.get(each, "") for each in _PARTS).encode()).hexdigest()
