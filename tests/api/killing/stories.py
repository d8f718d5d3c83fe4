"""What happens to volumes, attachments and buckets in their lives.

What an operator can only see while it lasts is a stage of its own: agent and kubelets wait until it was seen.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from killing.run import Run, Stage, Story
from moorage import names

Do = Callable[[Run], Awaitable[Any]]
Goal = Callable[[Run], Any]

SHARED_SPEC = {"type": "shared", "size": "1Gi"}


def claim(name: str) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": name}}


def inline(name: str, what: str = "volume") -> dict[str, Any]:
    return {"name": name, "csi": {"driver": names.DRIVER, "volumeAttributes": {what: name}}}


# What somebody does.


def make(kind: str, name: str, **spec: Any) -> Do:
    return lambda run: run.make(kind, name, spec=spec)


def destroy(kind: str, name: str) -> Do:
    return lambda run: run.delete(kind, name)


async def _grow(run: Run) -> None:
    run.players.idle.add(run.scope)
    await run.change("StorageVolume", "data", size="2Gi")


async def _work_on(run: Run) -> None:
    run.players.back_to_work(run.scope)


async def _change_without_key(run: Run) -> None:
    await run.delete("Secret", "models-s3", "v1")
    await run.change("Bucket", "models", versioning=True)


async def _attach_to_nodes(run: Run) -> None:
    run.players.idle.add(run.scope)
    spec = {"volume": {"name": "data"}, "mountAs": "/mnt/data", "nodes": {"selector": {"matchLabels": run.nodes}}}
    await run.make("StorageAttachment", "group", spec=spec)


async def _clone(run: Run) -> None:
    run.players.idle.add(run.scope)
    await run.make("StorageVolume", "copy", spec={**SHARED_SPEC, "source": {"snapshot": "monday"}})


async def _make_with_nodes(run: Run) -> None:
    await run.node(1)
    await run.node(2)
    await run.make("StorageVolume", "data", spec=SHARED_SPEC)


async def _let_go_of_nodes(run: Run) -> None:
    run.players.idle.add(run.scope)
    await run.delete("StorageAttachment", "group")


# Where it leads.


def phase(name: str, wanted: str | None, kind: str = "StorageVolume") -> Goal:
    """`None`: it is gone."""
    return lambda run: run.phase(name, kind) == wanted and bool(run.get(kind, name)) == bool(wanted)


def used_by(name: str, count: int, kind: str = "StorageVolume") -> Goal:
    return lambda run: (run.get(kind, name) or {}).get("status", {}).get("attached") == count


def holds(name: str, type: str, status: str, kind: str = "StorageVolume") -> Goal:
    return lambda run: run.condition(name, type, kind) == status


def both(one: Goal, other: Goal) -> Goal:
    return lambda run: one(run) and other(run)


def _versioned(run: Run) -> bool:
    bucket = run.get("Bucket", "models") or {}
    up_to_date = bucket["status"]["observedGeneration"] == bucket["metadata"]["generation"]
    return bool(up_to_date and run.phase("models", "Bucket") == "READY" and run.get("Secret", "models-s3"))


def pod_comes(pod: str, volume: dict[str, Any], name: str) -> tuple[Stage, ...]:
    return (
        Stage(f"pod {pod} waits", lambda run: run.pod(pod, volume), phase(name, "ATTACHING")),
        Stage(f"pod {pod} runs", lambda run: run.pod_runs(pod), both(phase(name, "READY"), used_by(name, 1))),
    )


def pod_goes(pod: str, name: str) -> tuple[Stage, ...]:
    return (
        Stage(f"pod {pod} ends", lambda run: run.pod_ends(pod), phase(name, "DETACHING")),
        Stage(f"pod {pod} is gone", lambda run: run.pod_is_gone(pod), both(phase(name, "READY"), used_by(name, 0))),
    )


SHARED: Story = (
    Stage("create", make("StorageVolume", "data", **SHARED_SPEC), phase("data", "READY")),
    *pod_comes("one", claim("data"), "data"),
    Stage("ask for more", _grow, holds("data", "Resized", "False")),
    Stage("get more", _work_on, holds("data", "Resized", "True")),
    *pod_goes("one", "data"),
    *pod_comes("two", inline("data"), "data"),
    Stage("destroy in use", destroy("StorageVolume", "data"), holds("data", "DeletionBlocked", "True")),
    Stage("the last pod is gone", lambda run: run.pod_is_gone("two"), phase("data", None)),
)

KEPT: Story = (
    Stage("create", make("StorageVolume", "data", **SHARED_SPEC, onDelete="Retain"), phase("data", "READY")),
    Stage("destroy", destroy("StorageVolume", "data"), phase("data", None)),
)

OWNED: Story = (
    Stage("create", make("StorageVolume", "own", type="object"), phase("own", "READY")),
    *pod_comes("one", claim("own"), "own"),
    *pod_goes("one", "own"),
    Stage("destroy", destroy("StorageVolume", "own"), phase("own", None, "Bucket")),
)

NAMED: Story = (
    Stage(
        "create the volume first",
        make("StorageVolume", "part", type="object", bucket={"name": "models", "prefix": "a/"}),
        phase("part", "PENDING"),
    ),
    Stage("create the bucket", make("Bucket", "models"), phase("part", "READY")),
    *pod_comes("one", inline("part"), "part"),
    Stage(
        "destroy the bucket in use", destroy("Bucket", "models"), holds("models", "DeletionBlocked", "True", "Bucket")
    ),
    Stage("destroy the volume in use", destroy("StorageVolume", "part"), holds("part", "DeletionBlocked", "True")),
    Stage("the pod is gone", lambda run: run.pod_is_gone("one"), phase("models", None, "Bucket")),
)

BUCKET: Story = (
    Stage("create", make("Bucket", "models", versioning=False), phase("models", "READY", "Bucket")),
    Stage("change, with the key lost", _change_without_key, _versioned),
    Stage("destroy", destroy("Bucket", "models"), phase("models", None, "Bucket")),
)

KEPT_BUCKET: Story = (
    Stage("create", make("Bucket", "models", onDelete="Retain"), phase("models", "READY", "Bucket")),
    Stage("destroy", destroy("Bucket", "models"), phase("models", None, "Bucket")),
)

ATTACHED: Story = (
    Stage("create", make("StorageVolume", "data", **SHARED_SPEC), phase("data", "READY")),
    Stage(
        "attach",
        make("StorageAttachment", "view", volume={"name": "data"}, mountFrom="/a", readOnly=True),
        phase("view", "READY", "StorageAttachment"),
    ),
    Stage("a pod runs", lambda run: run.pod("one", claim("view")), phase("data", "ATTACHING")),
    Stage(
        "detach in use",
        destroy("StorageAttachment", "view"),
        holds("view", "DeletionBlocked", "True", "StorageAttachment"),
    ),
    Stage("destroy in use", destroy("StorageVolume", "data"), holds("data", "DeletionBlocked", "True")),
    Stage("the pod is gone", lambda run: run.pod_is_gone("one"), phase("data", None)),
)

ON_NODES: Story = (
    Stage("create", _make_with_nodes, phase("data", "READY")),
    Stage("attach to nodes", _attach_to_nodes, phase("data", "ATTACHING")),
    Stage("the nodes mount it", _work_on, both(phase("group", "READY", "StorageAttachment"), phase("data", "READY"))),
    Stage("detach from nodes", _let_go_of_nodes, phase("data", "DETACHING")),
    Stage("the nodes let go", _work_on, both(phase("group", None, "StorageAttachment"), phase("data", "READY"))),
    Stage("destroy", destroy("StorageVolume", "data"), phase("data", None)),
)

CLONED: Story = (
    Stage("take", make("StorageSnapshot", "monday", volume="data"), phase("monday", "PENDING", "StorageSnapshot")),
    Stage("create", make("StorageVolume", "data", **SHARED_SPEC), phase("monday", "READY", "StorageSnapshot")),
    Stage("clone", _clone, phase("copy", "PROVISIONING")),
    Stage(
        "destroy the snapshot in use",
        destroy("StorageSnapshot", "monday"),
        holds("monday", "DeletionBlocked", "True", "StorageSnapshot"),
    ),
    Stage("the clone is made", _work_on, both(phase("copy", "READY"), phase("monday", None, "StorageSnapshot"))),
    Stage("destroy the copy", destroy("StorageVolume", "copy"), phase("copy", None)),
    Stage("destroy", destroy("StorageVolume", "data"), phase("data", None)),
)

STORIES: dict[str, Story] = {  # the long ones first: each has a process of its own
    "an object volume of a named bucket": NAMED,
    "an object volume with its own bucket": OWNED,
    "an attachment to nodes": ON_NODES,
    "a shared volume": SHARED,
    "an attachment": ATTACHED,
    "a snapshot and a volume from it": CLONED,
    "a bucket": BUCKET,
    "a shared volume that is kept": KEPT,
    "a bucket that is kept": KEPT_BUCKET,
}
