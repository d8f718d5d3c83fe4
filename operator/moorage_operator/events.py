"""Events for transitions. The name is derived from the state before, so that telling it twice makes one Event."""

import asyncio
import hashlib
import logging
from datetime import UTC, datetime

from moorage import names
from moorage.actions import Manifest, Notice
from moorage.errors import MoorageError
from moorage_operator.cluster import ApiConflict, ApiUnavailable, Cluster

NOTE_MAX = 1000  # the API takes 1024 bytes
AGAIN = 0.2  # seconds

log = logging.getLogger(__name__)


def event(body: Manifest, notice: Notice, mark: str, instance: str) -> Manifest:
    """The Event of a transition of `body`; `mark` is the state before it (`moorage.transitions.mark`)."""
    metadata = body["metadata"]
    namespace = metadata.get("namespace", "default")  # where Events of cluster-scoped objects live
    digest = hashlib.sha256(f"{metadata['uid']}/{notice.reason}/{mark}".encode()).hexdigest()[:16]
    regarding = {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    if "namespace" in metadata:
        regarding["namespace"] = namespace
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": namespace},
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": names.OPERATOR_MANAGER,
        "reportingInstance": instance,
        "action": "Reconcile",
        "reason": notice.reason,
        "note": notice.message.encode()[:NOTE_MAX].decode(errors="ignore"),
        "type": "Warning" if notice.warning else "Normal",
        "regarding": regarding,
    }


async def post(cluster: Cluster, manifest: Manifest) -> None:
    """An Event that cannot be posted, twice, is logged: it is news, and no volume waits for it."""
    try:
        try:
            await cluster.create(manifest)
        except ApiUnavailable:
            await asyncio.sleep(AGAIN)
            await cluster.create(manifest)
    except ApiConflict:  # it was told before
        return
    except MoorageError as error:
        log.warning("an Event was lost: %s", error)
