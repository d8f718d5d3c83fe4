"""What the node asks the API server: the plan and the Secret of one StorageVolume. Claims with a Secret ask nothing."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from moorage import names
from moorage.errors import InvalidInput, MoorageError, NotFound, NotReady
from moorage_csi import api
from moorage_csi.api import Api, Object

_NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")


@dataclass(frozen=True, slots=True)
class Found:
    """A StorageVolume that is ready to be mounted."""

    handle: names.VolumeHandle
    attributes: Mapping[str, str]
    secrets: Mapping[str, str]


async def ready_volume(client: Api, namespace: str, name: str) -> Found:
    """The StorageVolume `name` of the namespace; raises NotFound, or NotReady with what it is waiting for."""
    if not _NAME.match(name) or not _NAME.match(namespace):
        raise InvalidInput(f"volume {name!r} is not the name of a StorageVolume")
    try:
        volume = await client.get(api.volume_path(namespace, name))
    except NotFound:
        raise NotFound(
            f"StorageVolume {namespace}/{name} does not exist: make it, or correct the volume's name"
        ) from None
    status = api.part(volume, "status")
    if not is_ready(volume) or not status.get("attributes"):
        raise NotReady(f"StorageVolume {namespace}/{name} is {status.get('phase') or 'PENDING'}: {explanation(volume)}")
    handle = names.VolumeHandle(namespace, name, str(status.get("id", "")))
    return Found(handle, status["attributes"], await secrets_of(client, volume))


async def secrets_of(client: Api, volume: Object) -> dict[str, str]:
    """The data of the Secret that mounting the volume needs; empty when it needs none."""
    reference = api.part(volume, "status", "secretRef")
    if not reference:
        return {}
    secret = await client.get(api.secret_path(reference["namespace"], reference["name"]))
    return {key: base64.b64decode(value).decode() for key, value in api.part(secret, "data").items()}


async def secrets_for(client: Api, volume_id: str) -> dict[str, str]:
    """The Secret for a volume handle, when the caller sent none (dynamic claims cannot name it)."""
    handle = names.VolumeHandle.parse(volume_id)
    volume = await client.get(api.volume_path(handle.namespace, handle.name))
    if api.part(volume, "status").get("id") != handle.id:
        raise NotFound(f"StorageVolume {handle.namespace}/{handle.name} is another one than the claim was made for")
    found = await secrets_of(client, volume)
    if not found:
        raise MoorageError(f"StorageVolume {handle.namespace}/{handle.name} names no Secret in status.secretRef")
    return found


def condition(volume: Object, kind: str) -> dict[str, str]:
    """One condition of an object; empty when it is not there."""
    conditions: list[dict[str, str]] = api.part(volume, "status").get("conditions", [])
    missing: dict[str, str] = {}
    return next((entry for entry in conditions if entry.get("type") == kind), missing)


def is_ready(volume: Object) -> bool:
    """Ready, and ready for the spec as it stands now."""
    return condition(volume, "Ready").get("status") == "True" and "deletionTimestamp" not in volume["metadata"]


def explanation(volume: Object) -> str:
    if "deletionTimestamp" in volume["metadata"]:
        return "it is being deleted"
    ready = condition(volume, "Ready")
    return (
        ready.get("message") or ready.get("reason") or "the operator has not answered yet; is moorage-operator running?"
    )
