"""Stand-ins for what is not here: the share agent, and the controllers of kube-controller-manager that matter."""

import contextlib

from killing.death import scope_of
from killing.mirror import Mirror
from moorage import names, quantity
from moorage.actions import Manifest, part, reference
from moorage.errors import NotFound
from moorage_operator.cluster import ApiConflict, resource_path
from moorage_operator.queue import WorkQueue

SERVER = "moorage-nfs-0"
RUNNING = {
    "phase": "Running",
    "conditions": [{"type": each, "status": "True"} for each in ("PodReadyToStartContainers", "Ready")],
}
Seat = tuple[str | None, str, str, str]  # scope, kind, namespace, name


class Players:
    """They act on changes only, as the real ones do. In an `idle` scope neither agent nor kubelets do anything."""

    def __init__(self, mirror: Mirror) -> None:
        self.idle: set[str] = set()
        self._mirror = mirror
        self._cluster = mirror.cluster
        self._gone: set[str] = set()
        self._queue = WorkQueue[Seat](self._act)

    async def run(self) -> None:
        with self._mirror.listening(None, self._see):
            await self._queue.run()

    def back_to_work(self, scope: str) -> None:
        """Agent and kubelets of that scope are at work (again)."""
        self.idle.discard(scope)
        for body in self._mirror.all(scope, "StorageVolume", "StorageSnapshot", "Pod"):
            self._queue.add(_seat(body))

    def _see(self, body: Manifest, deleted: bool) -> None:
        self._queue.add(_seat(body))
        if body["kind"] == "PersistentVolumeClaim" and (name := body["spec"].get("volumeName")):
            self._queue.add((scope_of(body), "PersistentVolume", "", name))
        if deleted:
            self._gone.add(body["metadata"]["uid"])
            for each in self._mirror.objects[scope_of(body)].values():
                if self._is_orphan(each):
                    self._queue.add(_seat(each))

    def _is_orphan(self, body: Manifest) -> bool:
        return any(each["uid"] in self._gone for each in body["metadata"].get("ownerReferences", ()))

    async def _act(self, seat: Seat) -> None:
        scope, *key = seat
        body = self._mirror.objects[scope].get((key[0], key[1], key[2]))
        if body is None:
            return
        with contextlib.suppress(NotFound):  # gone since
            await self._act_on(body)

    async def _act_on(self, body: Manifest) -> None:
        if self._is_orphan(body) and "deletionTimestamp" not in body["metadata"]:
            await self._cluster.delete(reference(body))
        match body["kind"]:
            case "StorageVolume":
                await self._serve(body)
            case "StorageSnapshot":
                await self._take(body)
            case "StorageBackend":
                await self._tell_room(body)
            case "PersistentVolume":
                await self._bind(body)
                await self._unprotect(body)
            case "PersistentVolumeClaim":
                await self._unprotect(body)
            case "DaemonSet":
                await self._place(body)
            case "Pod":
                await self._hold(body)
            case _:
                return

    async def _place(self, daemon_set: Manifest) -> None:
        """One pod on each node of the scope: node groups of stories are all of them."""
        if "deletionTimestamp" in daemon_set["metadata"]:
            return
        metadata, template = daemon_set["metadata"], daemon_set["spec"]["template"]
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": metadata["name"], "uid": metadata["uid"]}
        for node in self._mirror.all(scope_of(daemon_set) or "", "Node"):
            name = node["metadata"]["name"]
            pod = {
                "name": f"{metadata['name']}-{name[-2:]}",
                "namespace": metadata["namespace"],
                "labels": template["metadata"]["labels"],
                "ownerReferences": [{**owner, "controller": True}],
            }
            spec = {**template["spec"], "nodeName": name}
            with contextlib.suppress(ApiConflict):  # it is there
                await self._cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": spec})

    async def _hold(self, pod: Manifest) -> None:
        """The kubelet, for holder pods: they start, and they end when they are told to."""
        metadata = pod["metadata"]
        if scope_of(pod) in self.idle or names.LABEL_ATTACHMENT_UID not in metadata.get("labels", {}):
            return
        path = resource_path("v1", "Pod", metadata["namespace"], metadata["name"])
        if "deletionTimestamp" in metadata:
            await self._cluster._call("DELETE", path, {"gracePeriodSeconds": 0})
        elif pod["status"].get("phase") != "Running":
            await self._cluster._call("PATCH", f"{path}/status", {"status": RUNNING}, "merge")

    async def _unprotect(self, body: Manifest) -> None:
        if "deletionTimestamp" in body["metadata"] and body["metadata"].get("finalizers"):
            await self._cluster.merge(reference(body), {"metadata": {"finalizers": None}})

    async def _bind(self, volume: Manifest) -> None:
        claim = volume["spec"].get("claimRef", {})
        where = ("PersistentVolumeClaim", claim.get("namespace", ""), claim.get("name", ""))
        found = self._mirror.objects[scope_of(volume)].get(where)
        bound = bool(found and claim.get("uid", found["metadata"]["uid"]) == found["metadata"]["uid"])
        if found and bound and "uid" not in claim:
            await self._cluster.merge(reference(volume), {"spec": {"claimRef": {"uid": found["metadata"]["uid"]}}})
        phase = "Bound" if bound else "Released" if "uid" in claim else "Available"
        if volume.get("status", {}).get("phase") != phase:
            path = resource_path("v1", "PersistentVolume", "", volume["metadata"]["name"], "status")
            await self._cluster._call("PATCH", path, {"status": {"phase": phase}}, "merge")

    async def _take(self, snapshot: Manifest) -> None:
        status = part(snapshot, "status")
        state = "Released" if status.get("release") else "Ready"
        placed, told = part(status, "placement"), part(status, "image")
        if scope_of(snapshot) in self.idle or not placed or told.get("state") == state:
            return
        image = {"server": SERVER, "sizeBytes": 2**30, "taken": "2026-01-01T00:00:00Z", **told, "state": state}
        metadata = {key: snapshot["metadata"][key] for key in ("name", "namespace", "uid")}
        body = {"apiVersion": names.API_VERSION, "kind": "StorageSnapshot", "metadata": metadata}
        await self._cluster.apply({**body, "status": {"image": image}}, sub="status", manager=names.AGENT_MANAGER)

    async def _tell_room(self, backend: Manifest) -> None:
        if "ganesha" not in backend["spec"]["engine"] or part(backend, "status").get("servers"):
            return
        body = {key: backend[key] for key in ("apiVersion", "kind")} | {
            "metadata": {"name": backend["metadata"]["name"]}
        }
        servers = [{"name": SERVER, "totalBytes": 2**50, "freeBytes": 2**49, "clones": True}]
        manager = f"{names.AGENT_MANAGER}-{SERVER}"
        await self._cluster.apply({**body, "status": {"servers": servers}}, sub="status", manager=manager)

    async def _serve(self, volume: Manifest) -> None:
        share = _share(volume)
        if scope_of(volume) in self.idle or not share or share == volume["status"].get("share"):
            return
        metadata = {key: volume["metadata"][key] for key in ("name", "namespace", "uid")}
        body = {"apiVersion": names.API_VERSION, "kind": "StorageVolume", "metadata": metadata}
        await self._cluster.apply({**body, "status": {"share": share}}, sub="status", manager=names.AGENT_MANAGER)


def _share(volume: Manifest) -> Manifest | None:
    status = part(volume, "status")
    if part(status, "placement").get("server") != SERVER:
        return None
    if status.get("release"):
        return {**status.get("share", {"server": SERVER}), "state": "Released"}
    return {
        **{"state": "Served", "server": SERVER, "address": f"{SERVER}.moorage.svc", "path": f"/vol/{status['id']}"},
        **{"exportId": 7, "sizeBytes": quantity.parse(volume["spec"]["size"])},
    }


def _seat(body: Manifest) -> Seat:
    metadata = body["metadata"]
    return scope_of(body), body["kind"], metadata.get("namespace", ""), metadata["name"]
