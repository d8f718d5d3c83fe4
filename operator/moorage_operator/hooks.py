"""`moorage-operator cleanup`: the chart's pre-delete hook, so that an uninstall never hangs on our finalizers.

The operator is stopped first (it would put the finalizers back), then the finalizers go. Data and objects stay.
"""

import asyncio
import logging
import os

from moorage import names
from moorage.actions import Manifest, Reference, reference
from moorage.errors import MoorageError, NotFound
from moorage_operator.cluster import ApiConflict, Cluster

DEADLINE = 60.0  # seconds for all of it
WAIT_FOR_PODS = 40.0
KINDS = ("StorageAttachment", "StorageSnapshot", "StorageVolume", "BucketKey", "Bucket", "StorageBackend")
PARALLEL = 16

log = logging.getLogger(__name__)


async def cleanup(cluster: Cluster, namespace: str, deployment: str = "moorage-operator") -> None:
    """Raises TimeoutError after a minute, MoorageError when the API refuses."""
    async with asyncio.timeout(DEADLINE):
        await _stop(cluster, Reference("apps/v1", "Deployment", deployment, namespace))
        for kind in KINDS:
            count = await _strip(cluster, kind)
            log.info("%d finalizers of kind %s removed; the objects and their data stay", count, kind)


async def _stop(cluster: Cluster, deployment: Reference) -> None:
    found = await cluster.get(deployment)
    if found is None:
        log.info("there is no %s to stop", deployment)
        return
    await cluster.merge(deployment, {"spec": {"replicas": 0}})
    selector = ",".join(f"{key}={value}" for key, value in found["spec"]["selector"]["matchLabels"].items())
    try:
        async with asyncio.timeout(WAIT_FOR_PODS):
            while await cluster.list("v1", "Pod", deployment.namespace, labelSelector=selector):  # noqa: ASYNC110 - remote
                await asyncio.sleep(0.5)
    except TimeoutError:  # its node may be dead; then it puts nothing back either
        log.warning("pods of %s are still there after %.0f s; going on", deployment, WAIT_FOR_PODS)


async def _strip(cluster: Cluster, kind: str) -> int:
    try:
        bodies = await cluster.list(names.API_VERSION, kind)
    except NotFound:  # no such CRD
        return 0
    held = [each for each in bodies if names.FINALIZER in each["metadata"].get("finalizers", ())]
    gate = asyncio.Semaphore(PARALLEL)

    async def free(body: Manifest) -> None:
        async with gate:
            await _free(cluster, body)

    async with asyncio.TaskGroup() as group:
        for body in held:
            group.create_task(free(body))
    return len(held)


async def _free(cluster: Cluster, body: Manifest) -> None:
    """The share agent may write the status meanwhile, which makes a conflict: read again."""
    found: Manifest | None = body
    while found:
        try:
            await cluster.let_go(found)
        except ApiConflict:
            found = await cluster.get(reference(body))
        else:
            return


async def main() -> int:
    """Exit code of the hook."""
    cluster = await Cluster.load()
    try:
        deployment = os.environ.get("MOORAGE_OPERATOR_DEPLOYMENT", "moorage-operator")
        await cleanup(cluster, os.environ["POD_NAMESPACE"], deployment)
    except (MoorageError, TimeoutError, ExceptionGroup) as error:
        log.error("cleanup failed: %s; remove finalizer %s by hand", error or type(error).__name__, names.FINALIZER)
        return 1
    finally:
        await cluster.close()
    return 0
