"""What the world looks like, without what differs from run to run: times, uids and what is derived from them."""

import json
import re
from typing import Any

from killing.mirror import Mirror
from moorage import names
from moorage.actions import Manifest
from moorage.keyslots import access_key

KINDS = (
    *("StorageVolume", "StorageAttachment", "StorageSnapshot", "Bucket", "PersistentVolume", "PersistentVolumeClaim"),
    *("Secret", "Role", "RoleBinding", "DaemonSet"),
)
_METADATA = ("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences")
_COUNTED = ("objects", "bytes", "usageAt")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

Snapshot = dict[str, Any]


def snapshot(mirror: Mirror, scope: str) -> Snapshot:
    """Objects by kind and name; Events (reasons in order) by whom they regard; how often each name was made."""
    found = {_title(each): _object(each) for each in mirror.all(scope, *KINDS)}
    made: dict[str, int] = {}
    for title in mirror.uids[scope].values():
        if title.split("/")[0] in KINDS:
            made[title] = made.get(title, 0) + 1
    whole = {"objects": found, "events": _events(mirror.all(scope, "Event")), "made": made}
    return json.loads(plain_text(json.dumps(whole, sort_keys=True), mirror, scope))


def _object(body: Manifest) -> Manifest:
    metadata = {key: body["metadata"][key] for key in _METADATA if key in body["metadata"]}
    metadata["deleting"] = "deletionTimestamp" in body["metadata"]
    rest = {key: value for key, value in body.items() if key not in ("apiVersion", "kind", "metadata")}
    if body["kind"] == "Bucket":  # counted in the background, perhaps not yet
        rest["status"] = {key: each for key, each in rest.get("status", {}).items() if key not in _COUNTED}
    if body["kind"] == "Secret":
        rest["data"] = sorted(rest.get("data", {}))
    return {"metadata": metadata, **rest}


def _events(events: list[Manifest]) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
    for each in sorted(events, key=lambda event: event["eventTime"]):
        told.setdefault(f"{each['regarding']['kind']}/{each['regarding']['name']}", []).append(each["reason"])
    return told


def plain_text(text: str, mirror: Mirror, scope: str) -> str:
    """Without what differs from run to run."""
    for uid, title in mirror.uids[scope].items():
        text = text.replace(uid, f"<uid {title}>").replace(names.short_id(uid), f"<id {title}>")
        text = text.replace(access_key(uid), f"<key {title}>")
    return _TIME.sub("<time>", text.replace(scope, "<ns>"))


def _title(body: Manifest) -> str:
    return f"{body['kind']}/{body['metadata']['name']}"
