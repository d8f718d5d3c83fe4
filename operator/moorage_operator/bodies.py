"""What a single object says, as the API server gives it: read off the body, without a model of the whole."""

from moorage import conditions, names
from moorage.actions import Manifest, part
from moorage_operator.store import Name, name_of


def full_name(body: Manifest) -> str:
    """For messages: namespace/name."""
    return "/".join(name_of(body))


def handle_of(volume: Manifest) -> str:
    """The CSI volume id of a StorageVolume."""
    return str(names.VolumeHandle(*name_of(volume), id_of(volume)))


def id_of(body: Manifest) -> str:
    return part(body, "status").get("id") or names.short_id(body["metadata"]["uid"])


def backend_mark(body: Manifest) -> tuple[str, ...]:
    """What of a backend concerns the volumes on it: not its free space, which changes all the time."""
    found: list[Manifest] = part(body, "status").get("conditions", [])
    ready = next((each for each in found if each["type"] == conditions.READY), Manifest())
    metadata = body["metadata"]
    return (
        metadata["uid"],
        str(metadata.get("generation", 0)),
        metadata.get("deletionTimestamp", ""),
        ready.get("status", ""),
        ready.get("message", ""),
    )


def placed_on(body: Manifest) -> str | None:
    return part(body, "status", "placement").get("backend")


def shown_bucket(volume: Manifest) -> Name | None:
    """The bucket that an object volume shows: the named one, else that of its own name."""
    if part(volume, "spec").get("type") != "object":
        return None
    named = part(volume, "spec", "bucket")
    own = volume["metadata"]
    return named.get("namespace") or own["namespace"], named.get("name") or own["name"]


def is_deleting(body: Manifest | None) -> bool:
    return bool(body and "deletionTimestamp" in body["metadata"])


def volume_uid(body: Manifest) -> str | None:
    return part(body, "metadata", "labels").get(names.LABEL_VOLUME_UID)
