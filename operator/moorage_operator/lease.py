"""One active replica: a coordination.k8s.io Lease, taken over only when its holder has been silent for its duration.

Silence is measured by our own clock from the last change that we saw (as client-go does), so clocks need not agree.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime

from moorage.actions import Manifest, Reference
from moorage.errors import MoorageError
from moorage_operator.cluster import ApiConflict, Cluster

NAME = "moorage-operator"
DURATION = 15.0  # seconds
RENEW = 5.0
GIVE_UP = 10.0  # an active replica that could not renew for so long stops, before another may start

log = logging.getLogger(__name__)


class LeaseLost(MoorageError):
    """This process must stop: another one may be active."""


class Lease:
    """Hold the Lease while something runs."""

    def __init__(self, cluster: Cluster, namespace: str, identity: str, duration: float = DURATION) -> None:
        self._cluster = cluster
        self._ref = Reference("coordination.k8s.io/v1", "Lease", NAME, namespace)
        self._identity = identity
        self._duration = duration
        self._seen: tuple[str, float] = ("", 0.0)  # resourceVersion, and when we saw it first
        self.held = False

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        while not await self._try():  # noqa: ASYNC110 - remote
            await asyncio.sleep(min(RENEW, self._duration / 3))
        self.held = True
        log.info("this replica (%s) is active", self._identity)

    async def keep(self) -> None:
        """Renew until cancelled; raises LeaseLost when that fails for too long."""
        renewed = time.monotonic()
        while time.monotonic() - renewed < GIVE_UP:
            await asyncio.sleep(min(RENEW, self._duration / 3))
            if await self._try():
                renewed = time.monotonic()
        self.held = False
        raise LeaseLost(
            f"the Lease could not be renewed for {GIVE_UP:.0f} s; stopping, so that another replica can start"
        )

    async def release(self) -> None:
        """Let the next replica start at once."""
        self.held = False
        found = await self._cluster.get(self._ref)
        if found and found["spec"].get("holderIdentity") == self._identity:
            found["spec"]["holderIdentity"] = ""
            await self._cluster.replace(found)

    async def _try(self) -> bool:
        try:
            async with asyncio.timeout(RENEW):
                return await self._take(await self._cluster.get(self._ref))
        except ApiConflict:
            return False
        except (MoorageError, TimeoutError) as error:
            log.warning("the Lease cannot be read or written: %s", error)
            return False

    async def _take(self, found: Manifest | None) -> bool:
        if found is None:
            await self._cluster.create(self._manifest({"name": self._ref.name, "namespace": self._ref.namespace}, 0))
            return True
        holder, version = found["spec"].get("holderIdentity"), found["metadata"]["resourceVersion"]
        if holder not in (self._identity, "", None) and not self._silent(version):
            return False
        transitions = found["spec"].get("leaseTransitions", 0) + (holder != self._identity)
        await self._cluster.replace(self._manifest(found["metadata"], transitions))
        return True

    def _silent(self, version: str) -> bool:
        if self._seen[0] != version:
            self._seen = (version, time.monotonic())
        return time.monotonic() - self._seen[1] > self._duration

    def _manifest(self, metadata: Manifest, transitions: int) -> Manifest:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, int(self._duration)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        return {"apiVersion": self._ref.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
