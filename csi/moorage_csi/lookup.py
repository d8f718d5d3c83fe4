"""What the node asks the API server: the plan and the Secret of one volume. Claims with a Secret ask nothing."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage import names, objectmount
from moorage.errors import Forbidden, InvalidInput, MoorageError, NotFound, NotReady, Retry
from moorage.view import View
from moorage_csi import api
from moorage_csi.api import Api, Object

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_ID = re.compile(r"[a-z0-9]{1,16}(-[a-z0-9]{1,16})?")
_SHORT_ID = re.compile(r"[a-z0-9]{1,16}")
NOT_SHARED = "NotShared"
CLONES_NOT_OFFERED = "ClonesNotOffered"  # the backend makes no snapshots and clones


@dataclass(frozen=True, slots=True)
class Found:
    """A volume or bucket that is ready to be mounted."""

    handle: names.VolumeHandle
    attributes: Mapping[str, str]
    secrets: Mapping[str, str]
    view: View  # what of it may be seen: a StorageAttachment may give a folder only
    topology: Mapping[str, str] = field(
        default_factory=dict[str, str]
    )  # labels of the nodes that can use it; none: all


def handle(volume_id: str) -> names.VolumeHandle:
    """Read a volume id; raises InvalidInput for one that this driver never made, so that no URL is made of it."""
    found = names.VolumeHandle.parse(volume_id)
    id = volume_id.rpartition("/")[2]
    if not (_NAME.fullmatch(found.namespace) and _NAME.fullmatch(found.name) and _ID.fullmatch(id)):
        raise InvalidInput(f"volume id {volume_id!r} is not of the form namespace/name/id")
    return found


def snapshot(snapshot_id: str) -> names.SnapshotHandle:
    """Read a snapshot id; raises InvalidInput for one that this driver never made, so that no URL is made of it."""
    found = names.SnapshotHandle.parse(snapshot_id)
    if not (_NAME.fullmatch(found.namespace) and _NAME.fullmatch(found.name) and _SHORT_ID.fullmatch(found.id)):
        raise InvalidInput(f"snapshot id {snapshot_id!r} is not of the form namespace/name/id")
    return found


def is_attachment(volume_id: str) -> bool:
    """Whether this is the volume id of a StorageAttachment's claim."""
    return volume_id.count("/") == 2 and "-" in volume_id.rpartition("/")[2]


async def ready_volume(client: Api, namespace: str, name: str) -> Found:
    """The StorageVolume `name` of the namespace, or what the StorageAttachment `name` shows.

    Raises NotFound, Forbidden when the volume is not shared with the namespace, or NotReady with what is waited for.
    """
    _check_names(namespace, volume=name)
    try:
        volume = await client.get(api.volume_path(namespace, name))
    except NotFound:
        return await _attached_volume(client, namespace, name)
    status = api.part(volume, "status")
    if not is_ready(volume) or not status.get("attributes"):
        raise _not_ready("StorageVolume", volume)
    id = names.VolumeHandle(namespace, name, str(status.get("id", "")))
    return Found(id, status["attributes"], await secrets_of(client, volume), View(), api.part(status, "topology"))


async def _attached_volume(client: Api, namespace: str, name: str) -> Found:
    try:
        attachment = await client.get(api.attachment_path(namespace, name))
    except NotFound:
        raise NotFound(
            f"StorageVolume {namespace}/{name} does not exist: make it, correct the name, or make a StorageAttachment "
            "of that name for a volume of another namespace"
        ) from None
    status = api.part(attachment, "status")
    attributes: Mapping[str, str] | None = status.get("attributes")
    attaching = status.get("phase") == "ATTACHING" and "deletionTimestamp" not in attachment["metadata"]
    if not attributes or not status.get("volumeHandle") or not (is_ready(attachment) or attaching):
        raise _not_ready("StorageAttachment", attachment)
    volume = handle(status["volumeHandle"]).volume
    secrets, topology = await secrets_of(client, attachment), await _topology(client, volume, attributes)
    return Found(volume, attributes, secrets, View.parse(attributes), topology)


async def _topology(client: Api, volume: names.VolumeHandle, attributes: Mapping[str, str]) -> Mapping[str, str]:
    """The labels of the nodes that can use a volume; a bucket can be used everywhere."""
    if attributes.get("type") == "object":
        return {}
    try:
        return api.part(await client.get(api.volume_path(volume.namespace, volume.name)), "status", "topology")
    except NotFound:
        return {}


async def ready_bucket(client: Api, namespace: str, name: str) -> Found:
    """The Bucket `name` of the namespace, whole, as an object volume; raises NotFound or NotReady."""
    _check_names(namespace, bucket=name)
    try:
        bucket = await client.get(api.bucket_path(namespace, name))
    except NotFound:
        raise NotFound(f"Bucket {namespace}/{name} does not exist: make it, or correct the name") from None
    status = api.part(bucket, "status")
    known = [status.get(key, "") for key in ("endpoint", "bucketName", "region", "secretName")]
    if not is_ready(bucket) or not all((known[0], known[1], known[3])):
        raise _not_ready("Bucket", bucket)
    endpoint, bucket_name, region, secret_name = known
    attributes = {"type": "object", "mount": objectmount.DEFAULT, "endpoint": endpoint, "bucket": bucket_name}
    attributes |= {"region": region, "secret": f"{namespace}/{secret_name}", "lacks": status.get("lacks", "")}
    reference = {"namespace": namespace, "name": secret_name}
    id = names.VolumeHandle(namespace, name, str(status.get("id", "")))
    return Found(id, attributes, await secret(client, reference), View())


def _check_names(namespace: str, **named: str) -> None:
    for key, name in named.items():
        if not _NAME.fullmatch(name) or not _NAME.fullmatch(namespace):
            kind = {"volume": "StorageVolume", "bucket": "Bucket"}[key]
            raise InvalidInput(f"{key} {name!r} is not the name of a {kind} in the pod's namespace")


def _not_ready(kind: str, found: Object) -> MoorageError:
    """What to tell a pod whose volume cannot be mounted now."""
    status, metadata = api.part(found, "status"), found["metadata"]
    conditions: list[dict[str, str]] = status.get("conditions", [])
    refused = next((each for each in conditions if each.get("reason") == NOT_SHARED), None)
    what = f"{kind} {metadata['namespace']}/{metadata['name']}"
    if refused:
        return Forbidden(f"{what} may not have its volume: {refused.get('message') or explanation(found)}")
    return NotReady(f"{what} is {status.get('phase') or 'PENDING'}: {explanation(found)}")


async def secrets_of(client: Api, found: Object) -> dict[str, str]:
    """The data of the Secret that mounting the volume needs; empty when it needs none."""
    reference = api.part(found, "status", "secretRef")
    return await secret(client, reference) if reference else {}


async def secret(client: Api, reference: Mapping[str, str]) -> dict[str, str]:
    """The data of the Secret with this `namespace` and `name`; raises NotReady while it is not there."""
    try:
        found = await client.get(api.secret_path(reference["namespace"], reference["name"]))
    except NotFound:
        raise NotReady(f"Secret {reference['namespace']}/{reference['name']} is not there yet") from None
    try:
        return {key: base64.b64decode(value).decode() for key, value in api.part(found, "data").items()}
    except ValueError:
        raise InvalidInput(f"Secret {reference['namespace']}/{reference['name']} has a value that is no text") from None


async def secrets_for(client: Api, volume_id: str) -> dict[str, str]:
    """The Secret for a volume handle, when the caller sent none (dynamic claims cannot name it)."""
    return await secret(client, await _secret_reference(client, volume_id))


async def secret_name(client: Api, volume_id: str) -> str:
    """<namespace>/<name> of the Secret for a volume handle; "" for an id that was not made by this driver's claims."""
    if volume_id.count("/") != 2:
        return ""
    reference = await _secret_reference(client, volume_id)
    return f"{reference['namespace']}/{reference['name']}"


async def _secret_reference(client: Api, volume_id: str) -> Mapping[str, str]:
    wanted = handle(volume_id)
    where = f"StorageVolume {wanted.namespace}/{wanted.name}"
    try:
        volume = await client.get(api.volume_path(wanted.namespace, wanted.name))
    except NotFound:
        raise NotFound(f"{where}, which the claim was made for, does not exist") from None
    if api.part(volume, "status").get("id") != wanted.id:
        raise NotFound(f"{where} is another one than the claim was made for")
    reference = api.part(volume, "status", "secretRef")
    if not reference:
        raise NotReady(f"{where} names no Secret in status.secretRef yet")
    return reference


async def shows_on_nodes(client: Api, attachment: str, id: str) -> bool:
    """Whether the StorageAttachment <namespace>/<name> is the one with this short id and asks for mounts on nodes.

    `mountAs` in the volume's attributes does not say so: it is there before `nodes` is. Raises NotReady while the API
    server does not answer, so that the kubelet asks again.
    """
    try:
        found = await _attachment(client, attachment, id)
    except Retry as error:
        raise NotReady(
            f"whether StorageAttachment {attachment} asks for mounts on nodes is not known: {error}"
        ) from None
    return found is not None and api.part(found, "spec").get("nodes") is not None


async def must_let_go(client: Api, attachment: str, id: str) -> bool:
    """Whether the StorageAttachment <namespace>/<name> with this short id is gone, another one perhaps in its place,
    or asks to be detached whoever uses it.
    """
    found = await _attachment(client, attachment, id)
    return found is None or api.part(found, "spec").get("detach") == "Force"


async def _attachment(client: Api, attachment: str, id: str) -> Object | None:
    """The StorageAttachment of this name if it is the one with this short id."""
    namespace, _, name = attachment.partition("/")
    if not (_NAME.fullmatch(namespace) and _NAME.fullmatch(name)):
        return None  # none can be named so
    try:
        found = await client.get(api.attachment_path(namespace, name))
    except NotFound:
        return None
    # The operator makes the holder pods before it writes the first status.
    known = api.part(found, "status").get("id") or names.short_id(str(found["metadata"]["uid"]))
    return found if known == id else None


def condition(volume: Object, kind: str) -> dict[str, str]:
    """One condition of an object; empty when it is not there."""
    conditions: list[dict[str, str]] = api.part(volume, "status").get("conditions", [])
    missing: dict[str, str] = {}
    return next((entry for entry in conditions if entry.get("type") == kind), missing)


def is_ready(volume: Object) -> bool:
    """Ready, and not being deleted. A phase is not looked at: a volume stays usable while it is ATTACHING."""
    return condition(volume, "Ready").get("status") == "True" and "deletionTimestamp" not in volume["metadata"]


def failures(found: Object) -> frozenset[str]:
    """Why the operator or an agent has given an object up or cannot go on, as reasons; empty while there is hope."""
    status = api.part(found, "status")
    seen = [api.part(status, "share"), api.part(status, "image"), condition(found, "Provisioned")]
    reasons = [condition(found, "Ready").get("reason"), *(each.get("reason") for each in seen)]
    return frozenset(str(reason) for reason in reasons if reason)


def explanation(volume: Object) -> str:
    if "deletionTimestamp" in volume["metadata"]:
        return "it is being deleted"
    ready = condition(volume, "Ready")
    return (
        ready.get("message") or ready.get("reason") or "the operator has not answered yet; is moorage-operator running?"
    )
