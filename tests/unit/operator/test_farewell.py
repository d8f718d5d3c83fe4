"""The last words of a volume: what became of its data, by engine."""

from typing import Any

import pytest

from moorage import names
from moorage.facts import VolumeFacts
from moorage.model import StorageBackend, StorageVolume
from moorage.release import release

UID = "0b0c9b4e-0000-4000-8000-000000000002"
ID = names.short_id(UID)
NOW = "2026-01-01T00:00:00Z"
SERVERS = {"ganesha": "nfs-0", "nfs": "moorage-filer-f", "local": "node-1"}


def words(engine: str, on_delete: str = "Delete", state: str = "Released", **more: Any) -> tuple[str, bool]:
    share = {"state": state, "server": SERVERS[engine], "path": "/export/ns/data", **more.pop("share", {})}
    placed = {"backend": "b", "engine": engine, "server": SERVERS[engine]}
    status = {
        "phase": "DESTROYING",
        "release": on_delete,
        "placement": placed,
        "share": share,
        "attributes": {"a": "b"},
    }
    spec = {"type": "local" if engine == "local" else "shared", "size": "5Gi", "onDelete": on_delete}
    metadata = {"name": "data", "namespace": "ns", "uid": UID, "deletionTimestamp": NOW}
    body = {"metadata": {**metadata, "finalizers": [names.FINALIZER]}, "spec": {**spec, **more.pop("spec", {})}}
    volume = StorageVolume.model_validate({**body, "status": {**status, **more.pop("status", {})}})
    step = release(VolumeFacts(volume, NOW, **more))
    return next(each.message for each in step.status.conditions if each.type == "Ready"), step.finish


def provisioned(reason: str) -> dict[str, Any]:
    condition = {"type": "Provisioned", "status": "False", "reason": reason, "lastTransitionTime": NOW}
    return {"conditions": [condition]}


ENDS = {
    "not found on its pool, which may be another one": (
        words("local", status=provisioned("ShareMissing")),
        "the volume is gone; its data was not found (ShareMissing), and stays where it may be",
    ),
    "never made": (words("local", status=provisioned("NoCapacity")), "the volume and its data are gone"),
    "deleted": (words("ganesha"), "the volume and its data are gone"),
    "kept": (
        words("ganesha", "Retain"),
        f"the volume is gone; its data is kept, as onDelete asks; adopt: {ID} takes it over",
    ),
    "archived on a pool, where it is as good as kept": (
        words("ganesha", "Archive"),
        f"the volume is gone; its data is kept, as onDelete asks; adopt: {ID} takes it over",
    ),
    "archived on a filer": (
        words("nfs", "Archive"),
        f"the volume is gone; its data is kept in folder archived-data, as onDelete asks; adopt: {ID} takes it over",
    ),
    "an adopted folder": (
        words("nfs", share={"message": "folder /home/a was there before the volume, and stays as it is"}),
        "the volume is gone; folder /home/a was there before the volume, and stays as it is",
    ),
    "a folder that was not adopted": (
        words("nfs", share={"path": ""}, spec={"adopt": "/home/a"}, status={"attributes": None}),
        "the volume is gone; folder /home/a was not adopted, and stays as it was",
    ),
    "a node that is gone": (
        words("local", state="Served", node_gone=True),
        "the volume is gone; its data stays where it is",
    ),
}


@pytest.mark.parametrize(("said", "expected"), ENDS.values(), ids=ENDS.keys())
def test_the_last_words_say_what_became_of_the_data(said: tuple[str, bool], expected: str) -> None:
    assert said == (expected, True)


@pytest.mark.parametrize(
    ("engine", "who"),
    [("ganesha", "the share agent on nfs-0"), ("nfs", "the filer's worker"), ("local", "the agent of node node-1")],
)
def test_meanwhile_it_says_whom_it_waits_for(engine: str, who: str) -> None:
    message, finished = words(engine, state="Served", backends=(backend(),))

    assert (who in message, finished) == (True, False)


def backend() -> StorageBackend:
    condition = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": NOW}
    spec = {"engine": {"ganesha": {"namespace": "m", "statefulSet": "nfs"}}}
    return StorageBackend.model_validate(
        {"metadata": {"name": "b"}, "spec": spec, "status": {"conditions": [condition]}}
    )
