"""StorageAttachments: a volume for another namespace, with its consent, and for the nodes of a group."""

import time
from collections.abc import Iterator

import pytest

from cluster.command import CommandFailed
from cluster.provider import Provider
from harness.kube import Kube, condition, wait_for
from harness.manifests import attachment, by_claim, inline, pod, shared, volume

UNDISTURBED = 15.0  # seconds: longer than the kubelet's first tries to unmount and the operator's looks together


class Group:
    """A node group of the test's own: a label on nodes."""

    def __init__(self, kube: Kube, name: str) -> None:
        self._kube = kube
        self.key = f"e2e.moorage.dev/{name}"
        self.members: set[str] = set()

    @property
    def nodes(self) -> dict[str, dict[str, dict[str, str]]]:
        """What spec.nodes says to mean it."""
        return {"selector": {"matchLabels": {self.key: "yes"}}}

    def add(self, *nodes: str) -> None:
        for node in nodes:
            self._kube("label", "node", node, f"{self.key}=yes", "--overwrite")
            self.members.add(node)

    def remove(self, *nodes: str) -> None:
        for node in nodes:
            self._kube("label", "node", node, f"{self.key}-")
            self.members.discard(node)


@pytest.fixture
def group(kube: Kube, namespace: str) -> Iterator[Group]:
    made = Group(kube, namespace)
    yield made
    made.remove(*made.members)


def read(bed: Provider, node: str, path: str) -> str:
    """The file as a process of the node itself sees it; empty when it is not there."""
    try:
        return bed.node_exec(node, ["cat", path])
    except CommandFailed:
        return ""


def exists(bed: Provider, node: str, path: str) -> bool:
    return bed.node_exec(node, ["sh", "-c", f"[ -e {path} ] && echo yes || echo no"]).strip() == "yes"


def fill(kube: Kube, namespace: str, name: str = "data") -> None:
    """A READY shared volume with /imagenet/1.jpg and /private in it."""
    kube.apply(shared(name, "256Mi", namespace))
    kube.wait_phase("StorageVolume", name, "READY", namespace)
    kube.apply(pod("filler", by_claim(name), namespace))
    kube.wait_pod("filler", namespace)
    script = "mkdir -p /data/imagenet /data/private && echo cat > /data/imagenet/1.jpg && sync /data/imagenet/1.jpg"
    kube.exec("filler", "sh", "-c", script, namespace=namespace)
    kube("delete", "pod", "filler", "-n", namespace, "--timeout=90s", timeout=100)


@pytest.mark.light
def test_another_namespace_gets_a_folder_only_with_consent(kube: Kube, namespace: str, elsewhere: str) -> None:
    fill(kube, namespace)
    kube.apply(attachment("imagenet-ro", "data", elsewhere, namespace, mountFrom="/imagenet", readOnly=True))
    refused = kube.wait_phase("StorageAttachment", "imagenet-ro", "PENDING", elsewhere)
    kube.apply(pod("inline", inline("imagenet-ro"), elsewhere))

    kube.apply(shared("data", "256Mi", namespace, share={"from": "Names", "names": [elsewhere]}))
    kube.wait_phase("StorageAttachment", "imagenet-ro", "READY", elsewhere)
    kube.apply(pod("claimed", by_claim("imagenet-ro"), elsewhere))

    assert condition(refused, "Ready")["status"] == "False"
    assert "share" in condition(refused, "Ready")["message"]
    for name in ("claimed", "inline"):
        kube.wait_pod(name, elsewhere, timeout=180)
        assert kube.exec(name, "ls", "/data", namespace=elsewhere) == "1.jpg\n"
        ok, said = kube.attempt("exec", "-n", elsewhere, name, "--", "touch", "/data/new")
        assert not ok and "Read-only file system" in said


@pytest.mark.light
def test_a_destroyed_volume_waits_for_its_attachment_and_names_it(kube: Kube, namespace: str, elsewhere: str) -> None:
    fill(kube, namespace)
    kube.apply(shared("data", "256Mi", namespace, share={"from": "All"}))
    kube.apply(attachment("there", "data", elsewhere, namespace))
    kube.wait_phase("StorageAttachment", "there", "READY", elsewhere)

    kube.delete("StorageVolume", "data", namespace, wait=False)

    def blocked() -> str:
        found = condition(kube.get("StorageVolume", "data", namespace) or {}, "DeletionBlocked")
        return found["message"] if found.get("status") == "True" else ""

    assert f"{elsewhere}/there" in wait_for("DeletionBlocked", blocked, 60)
    kube.delete("StorageAttachment", "there", elsewhere)
    kube.wait_gone("StorageVolume", "data", namespace)


def test_the_nodes_of_a_group_have_it_mounted_and_lose_it_when_they_leave(
    kube: Kube, bed: Provider, namespace: str, workers: list[str], group: Group
) -> None:
    fill(kube, namespace)
    first, second = workers[:2]
    group.add(first)
    kube.apply(attachment("gpu", "data", namespace, mountFrom="/imagenet", nodes=group.nodes))
    lonely = kube.wait_phase("StorageAttachment", "gpu", "PENDING", namespace)
    wait_for(
        "TooFewNodes",
        lambda: (
            condition(kube.get("StorageAttachment", "gpu", namespace) or {}, "Attached").get("reason") == "TooFewNodes"
        ),
    )

    group.add(second)
    ready = kube.wait_phase("StorageAttachment", "gpu", "READY", namespace, timeout=180)

    place = ready["status"]["mountAs"]
    assert "nodes" not in lonely["status"] or lonely["status"]["nodes"] != "2/2"
    assert place.startswith("/mnt/shared-")
    assert ready["status"]["nodes"] == "2/2"
    assert [read(bed, node, f"{place}/1.jpg") for node in (first, second)] == ["cat\n", "cat\n"]

    group.remove(second)
    wait_for(f"no mount on {second}", lambda: not exists(bed, second, place), 120)
    assert read(bed, first, f"{place}/1.jpg") == "cat\n"

    kube.delete("StorageAttachment", "gpu", namespace, timeout=120)
    assert not exists(bed, first, place)


def test_a_process_on_a_node_holds_the_mount_and_force_lets_go(
    kube: Kube, bed: Provider, namespace: str, workers: list[str], group: Group
) -> None:
    fill(kube, namespace)
    group.add(*workers[:2])
    kube.apply(attachment("gpu", "data", namespace, nodes=group.nodes, mountAs=f"/mnt/{namespace}"))
    kube.wait_phase("StorageAttachment", "gpu", "READY", namespace, timeout=180)
    where = f"/mnt/{namespace}"
    start = f"cd {where} && (sleep 600 >/dev/null 2>&1 </dev/null & echo $!)"
    process = bed.node_exec(workers[0], ["sh", "-c", start]).strip()

    kube.delete("StorageAttachment", "gpu", namespace, wait=False)

    def told() -> str:
        found = condition(kube.get("StorageAttachment", "gpu", namespace) or {}, "Ready")
        return found["message"] if workers[0] in found.get("message", "") else ""

    try:
        assert wait_for("the node is named", told, 90)
        time.sleep(UNDISTURBED)
        assert kube.get("StorageAttachment", "gpu", namespace)
        assert exists(bed, workers[0], f"{where}/imagenet")
        patch = '{"spec":{"detach":"Force"}}'
        kube("patch", "storageattachments.moorage.dev", "gpu", "-n", namespace, "--type=merge", "-p", patch)
        kube.wait_gone("StorageAttachment", "gpu", namespace, timeout=240)
        assert not exists(bed, workers[0], where)
    finally:
        bed.node_exec(workers[0], ["kill", process])


@pytest.mark.light
def test_detaching_waits_for_a_pod_and_names_it(kube: Kube, namespace: str) -> None:
    fill(kube, namespace)
    kube.apply(attachment("again", "data", namespace), attachment("folder", "data", namespace, mountFrom="/imagenet"))
    source = {"volumes": [{"name": "more", **by_claim("folder")}]}
    user = pod("user", by_claim("again"), namespace)
    user["spec"]["volumes"] += source["volumes"]
    user["spec"]["containers"][0]["volumeMounts"].append({"name": "more", "mountPath": "/more"})
    kube.apply(user)
    kube.wait_pod("user", namespace, timeout=180)
    assert kube.exec("user", "cat", "/data/imagenet/1.jpg", "/more/1.jpg", namespace=namespace) == "cat\ncat\n"

    kube.delete("StorageAttachment", "folder", namespace, wait=False)

    def blocked() -> str:
        found = condition(kube.get("StorageAttachment", "folder", namespace) or {}, "DeletionBlocked")
        return found["message"] if found.get("status") == "True" else ""

    assert f"{namespace}/user" in wait_for("DeletionBlocked", blocked, 60)
    assert kube.exec("user", "cat", "/more/1.jpg", namespace=namespace) == "cat\n"
    kube("delete", "pod", "user", "-n", namespace, "--timeout=90s", timeout=100)
    kube.wait_gone("StorageAttachment", "folder", namespace)


def test_an_object_volume_is_mounted_on_the_nodes_of_a_group(
    kube: Kube, bed: Provider, namespace: str, workers: list[str], group: Group
) -> None:
    kube.apply(volume("models", namespace, type="object"))
    kube.wait_phase("StorageVolume", "models", "READY", namespace)
    group.add(workers[0])
    kube.apply(attachment("models-gpu", "models", namespace, nodes=group.nodes))

    ready = kube.wait_phase("StorageAttachment", "models-gpu", "READY", namespace, timeout=180)

    place = ready["status"]["mountAs"]
    assert place.startswith("/mnt/object-") and ready["status"]["nodes"] == "1/1"
    bed.node_exec(workers[0], ["sh", "-c", f"echo weights > {place}/w"])
    kube.apply(pod("reader", inline("models"), namespace))
    kube.wait_pod("reader", namespace, timeout=180)
    assert kube.exec("reader", "cat", "/data/w", namespace=namespace) == "weights\n"
