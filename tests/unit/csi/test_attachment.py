# ruff: noqa: ASYNC221, ASYNC230, ASYNC240 - the loop of a test has nothing else to do
"""StorageAttachments on a node: a folder of a volume for pods, and for the node itself through its holder pod."""

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from moorage import errors, names
from moorage_csi import api, mounts
from moorage_csi.hostmounts import HostMounts
from moorage_csi.mounter import connection
from moorage_csi.mounts import Mount
from moorage_csi.node import Node
from moorage_csi.state import Publication, Store

from .conftest import SHARED, Bench, capability

ID = "research/data/abcd2345-cdef4567"  # volume data of namespace research, through attachment cdef4567
HOLDER = "moorage-cdef4567-x7k2p"


@pytest.fixture
async def node(bench: Bench) -> Node:
    """A node where the attachment's claim is staged, whose volume has a folder `sets`."""
    _attach(bench, "sets", "cdef4567")
    node = bench.node()
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=_attributes(bench))
    folder = Path(bench.staging, "sets")
    folder.mkdir()
    (folder / "one").write_text("1")
    return node


def _attach(bench: Bench, name: str, id: str, **spec: object) -> None:
    """The StorageAttachment `name` of namespace team is there, with mounts on all nodes."""
    asked = {"nodes": {"selector": {}}, "detach": "Wait"} | spec
    bench.api.objects[api.attachment_path("team", name)] = {"spec": asked, "status": {"id": id}}


async def _away(path: str) -> dict[str, object]:
    raise errors.Retry("the Kubernetes API server does not answer")


def _attributes(bench: Bench, **more: str) -> dict[str, str]:
    return SHARED | {"mountFrom": "/sets", "mountAs": str(bench.mnt / "data"), "attachment": "team/sets"} | more


async def _publish(
    node: Node,
    bench: Bench,
    pod: str = HOLDER,
    namespace: str = "team",
    volume_id: str = ID,
    staging: str = "",
    **more: str,
) -> str:
    target = bench.target(f"{namespace}-{pod}")
    told = {"csi.storage.k8s.io/pod.name": pod, "csi.storage.k8s.io/pod.namespace": namespace}
    context = _attributes(bench, **more) | told
    await node.NodePublishVolume(volume_id, target, capability(), staging or bench.staging, False, context)
    return target


def _on_node(bench: Bench) -> Path:
    return bench.mnt / "data"


async def test_a_pod_sees_only_the_folder_of_mount_from(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench, "train")
    assert os.listdir(target) == ["one"]


async def test_a_read_only_attachment_is_read_only_for_every_pod(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench, "train", readOnly="true")
    with pytest.raises(OSError, match="Read-only"):
        Path(target, "two").write_text("2")
    Path(bench.staging, "sets", "two").write_text("2")


async def test_a_holder_pod_has_the_folder_mounted_on_the_node(bench: Bench, node: Node) -> None:
    await _publish(node, bench)
    assert os.listdir(_on_node(bench)) == ["one"]
    (_on_node(bench) / "two").write_text("2")
    assert Path(bench.staging, "sets", "two").read_text() == "2"


@pytest.mark.parametrize(("asked", "flag"), [({}, "rw"), ({"readOnly": "true"}, "ro")])
async def test_what_pods_write_as_root_gives_users_of_the_node_no_rights(
    bench: Bench, node: Node, asked: dict[str, str], flag: str
) -> None:
    """A setuid program, or a device: pods write them as root, and the export squashes nobody."""
    await _publish(node, bench, **asked)
    lines = (line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines())
    options = next(parts[5].split(",") for parts in lines if parts[4] == str(_on_node(bench)))
    assert options[:3] == [flag, "nosuid", "nodev"]


async def test_a_read_only_attachment_is_read_only_on_the_node_too(bench: Bench, node: Node) -> None:
    await _publish(node, bench, readOnly="true")
    with pytest.raises(OSError, match="Read-only"):
        (_on_node(bench) / "two").write_text("2")


@pytest.mark.parametrize(
    ("pod", "namespace"),
    [("train", "team"), ("moorage-cdef4567", "team"), ("moorage-other567-x7k2p", "team"), (HOLDER, "rivals")],
)
async def test_no_other_pod_mounts_on_the_node(bench: Bench, node: Node, pod: str, namespace: str) -> None:
    await _publish(node, bench, pod, namespace)
    assert not _on_node(bench).exists()


@pytest.mark.parametrize(
    "found",
    [
        None,
        {"spec": {}, "status": {"id": "cdef4567"}},
        {"spec": {"nodes": {"selector": {}}}, "status": {"id": "other567"}},
        {"spec": {"nodes": {"selector": {}}}, "metadata": {"uid": "of-another"}},
    ],
    ids=["no attachment", "no nodes", "another of the name", "another without a status"],
)
async def test_a_pod_that_is_only_named_as_a_holder_mounts_nothing_on_the_node(
    bench: Bench, node: Node, found: dict[str, object] | None
) -> None:
    del bench.api.objects[api.attachment_path("team", "sets")]
    if found:
        bench.api.objects[api.attachment_path("team", "sets")] = found
    target = await _publish(node, bench)
    assert os.listdir(target) == ["one"] and not _on_node(bench).exists()


async def test_a_holder_is_known_before_the_attachment_has_a_status(bench: Bench, node: Node) -> None:
    """The operator makes the DaemonSet first, and a lost mount on the node would not be tried again."""
    uid = "0c1d7f0e-6f0c-4f57-9c2e-000000000001"
    id = names.short_id(uid)
    found = {"spec": {"nodes": {"selector": {}}}, "metadata": {"uid": uid}}
    bench.api.objects[api.attachment_path("team", "young")] = found
    volume_id, staging = f"research/data/abcd2345-{id}", f"{bench.staging}-young"
    await node.NodeStageVolume(volume_id, staging, capability(), volume_context=_attributes(bench))
    Path(staging, "sets").mkdir(exist_ok=True)
    pod = f"moorage-{id}-x7k2p"
    await _publish(node, bench, pod, volume_id=volume_id, staging=staging, attachment="team/young")
    assert mounts.at(str(_on_node(bench))) is not None


async def test_an_attachment_that_no_url_can_be_made_of_mounts_nothing_on_the_node(bench: Bench, node: Node) -> None:
    bench.api.objects[api.attachment_path("team", "../sets")] = {
        "spec": {"nodes": {"selector": {}}}, "status": {"id": "cdef4567"},
    }  # fmt: skip
    await _publish(node, bench, attachment="team/../sets")
    assert not _on_node(bench).exists()


async def test_while_the_api_server_is_away_a_holder_waits(
    bench: Bench, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bench.api, "get", _away)
        with pytest.raises(errors.NotReady) as caught:
            await _publish(node, bench)
    assert str(caught.value) == (
        "whether StorageAttachment team/sets asks for mounts on nodes is not known: "
        "the Kubernetes API server does not answer"
    )
    assert not os.path.exists(bench.target(f"team-{HOLDER}")) and not _on_node(bench).exists()
    await _publish(node, bench)
    assert (_on_node(bench) / "one").read_text() == "1"


async def test_publishing_again_does_not_forget_the_mount_on_the_node(bench: Bench, node: Node) -> None:
    """A kubelet that starts publishes everything again, whatever has become of the attachment."""
    target = await _publish(node, bench)
    del bench.api.objects[api.attachment_path("team", "sets")]
    await _publish(node, bench)
    assert mounts.at(str(_on_node(bench))) is not None
    await node.NodeUnpublishVolume(ID, target)
    assert list(bench.mnt.iterdir()) == []


async def test_of_two_attachments_at_once_one_has_the_path(bench: Bench, node: Node) -> None:
    """Their calls are of two volumes to the kubelet, so nothing keeps them apart before they come here."""
    other, staging = "research/data/abcd2345-ghjk6789", f"{bench.staging}-other"
    _attach(bench, "other", "ghjk6789")
    await node.NodeStageVolume(other, staging, capability(), volume_context=_attributes(bench))
    Path(staging, "sets").mkdir(exist_ok=True)
    pod = {"csi.storage.k8s.io/pod.name": "moorage-ghjk6789-x7k2p", "csi.storage.k8s.io/pod.namespace": "team"}
    context = _attributes(bench, attachment="team/other") | pod
    publish = node.NodePublishVolume(other, bench.target("other"), capability(), staging, False, context)

    ends = await asyncio.gather(_publish(node, bench), publish, return_exceptions=True)

    refused = [each for each in ends if isinstance(each, BaseException)]
    assert [type(each) for each in refused] == [errors.InUse]
    assert len(mounts.stacked(str(_on_node(bench)))) == 1


async def test_publishing_again_changes_nothing(bench: Bench, node: Node) -> None:
    await _publish(node, bench)
    before = mounts.table()
    await _publish(node, bench)
    assert mounts.table() == before


async def test_when_the_holder_goes_the_mount_and_its_directory_go(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench)
    for _ in range(2):
        await node.NodeUnpublishVolume(ID, target)
    assert mounts.at(target) is None and list(bench.mnt.iterdir()) == []


async def test_what_is_in_use_on_the_node_is_not_torn_away(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench)
    with open(_on_node(bench) / "one", encoding="utf-8") as used:
        with pytest.raises(errors.InUse) as caught:
            await node.NodeUnpublishVolume(ID, target)
        assert used.read() == "1"
        assert mounts.at(target) is not None and mounts.at(str(_on_node(bench))) is not None
    assert str(caught.value).startswith(f"{_on_node(bench)} on this node is in use (")
    assert str(caught.value).endswith("end what uses it, or set spec.detach: Force in StorageAttachment team/sets")
    await node.NodeUnpublishVolume(ID, target)
    assert not _on_node(bench).exists()


@pytest.mark.parametrize(
    "attachment",
    [
        {"spec": {"detach": "Force"}, "status": {"id": "cdef4567"}},
        {"spec": {"detach": "Wait"}, "status": {"id": "other567"}},
        {"spec": {"detach": "Wait"}, "metadata": {"uid": "of-another"}},
        None,
    ],
    ids=["forced", "another of the name", "another without a status", "gone"],
)
async def test_forced_or_gone_it_is_taken_away_and_whoever_has_a_file_open_keeps_it(
    bench: Bench, node: Node, attachment: dict[str, object] | None
) -> None:
    target = await _publish(node, bench)
    del bench.api.objects[api.attachment_path("team", "sets")]
    if attachment:
        bench.api.objects[api.attachment_path("team", "sets")] = attachment
    with open(_on_node(bench) / "one", encoding="utf-8") as used:
        await node.NodeUnpublishVolume(ID, target)
        assert used.read() == "1"
    assert mounts.at(str(_on_node(bench))) is None and not _on_node(bench).exists()


async def test_while_the_api_server_is_away_nothing_in_use_is_torn_away(
    bench: Bench, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = await _publish(node, bench)
    monkeypatch.setattr(bench.api, "get", _away)
    with open(_on_node(bench) / "one", encoding="utf-8"), pytest.raises(errors.Retry, match="does not answer"):
        await node.NodeUnpublishVolume(ID, target)
    assert mounts.at(str(_on_node(bench))) is not None


async def test_a_holders_successor_keeps_the_mount(bench: Bench, node: Node) -> None:
    first = await _publish(node, bench)
    second = await _publish(node, bench, "moorage-cdef4567-y8y8y")
    await node.NodeUnpublishVolume(ID, first)
    assert (_on_node(bench) / "one").read_text() == "1"
    await node.NodeUnpublishVolume(ID, second)
    assert not _on_node(bench).exists()


async def _refused(node: Node, bench: Bench, match: str, error: type[errors.MoorageError] = errors.InUse) -> None:
    with pytest.raises(error, match=match):
        await _publish(node, bench)
    assert not os.path.exists(bench.target(f"team-{HOLDER}"))


async def test_a_directory_with_something_in_it_is_not_hidden(bench: Bench, node: Node) -> None:
    _on_node(bench).mkdir()
    (_on_node(bench) / "precious").write_text("x")
    await _refused(node, bench, "is taken: it is a directory that is not empty")
    assert (_on_node(bench) / "precious").read_text() == "x"


async def test_an_empty_directory_is_used(bench: Bench, node: Node) -> None:
    _on_node(bench).mkdir()
    await _publish(node, bench)
    assert (_on_node(bench) / "one").read_text() == "1"


@pytest.mark.parametrize("to", ["/etc", "nowhere"])
async def test_a_symbolic_link_is_not_followed(bench: Bench, node: Node, to: str) -> None:
    _on_node(bench).symlink_to(to)
    await _refused(node, bench, "is taken: it is a file or a symbolic link")
    assert mounts.at("/etc") is None and os.readlink(_on_node(bench)) == to


async def test_a_file_is_not_hidden(bench: Bench, node: Node) -> None:
    _on_node(bench).write_text("x")
    await _refused(node, bench, "is taken: it is a file")


async def test_what_somebody_else_mounted_there_stays(bench: Bench, node: Node) -> None:
    _on_node(bench).mkdir()
    subprocess.run(["mount", "-t", "ramfs", "scratch", str(_on_node(bench))], check=True)
    await _refused(node, bench, r"is taken: scratch \(ramfs\) is mounted there; unmount it or choose another mountAs")
    assert mounts.at(str(_on_node(bench))) is not None


async def test_what_somebody_mounted_in_our_place_stays_when_the_holder_goes(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench)
    subprocess.run(["umount", str(_on_node(bench))], check=True)
    subprocess.run(["mount", "-t", "ramfs", "scratch", str(_on_node(bench))], check=True)
    await node.NodeUnpublishVolume(ID, target)
    left = mounts.at(str(_on_node(bench)))
    assert mounts.at(target) is None and left is not None and left.fstype == "ramfs"


async def test_two_attachments_never_share_a_place_on_the_node(bench: Bench, node: Node) -> None:
    await _publish(node, bench)
    other, staging = "research/data/abcd2345-defg5678", str(bench.kubelet / "other")
    _attach(bench, "other", "defg5678")
    await node.NodeStageVolume(other, staging, capability(), volume_context=_attributes(bench))
    Path(staging, "sets").mkdir()
    with pytest.raises(errors.InUse, match=f"taken by {ID}"):
        pod = "moorage-defg5678-aaaaa"
        await _publish(node, bench, pod, volume_id=other, staging=staging, attachment="team/other")


async def test_a_folder_that_is_missing_is_an_error_and_nothing_is_mounted(bench: Bench, node: Node) -> None:
    with pytest.raises(errors.NotFound, match="folder /nowhere does not exist"):
        await _publish(node, bench, mountFrom="/nowhere")
    assert not os.path.exists(bench.target(f"team-{HOLDER}")) and not _on_node(bench).exists()


async def test_a_restarted_plugin_takes_the_mount_on_the_node_away(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench)
    node = bench.node()
    await node.recover()
    await node.NodeUnpublishVolume(ID, target)
    assert list(bench.mnt.iterdir()) == []


async def test_after_a_crash_between_the_two_mounts_the_one_on_the_node_is_not_forgotten(
    bench: Bench, node: Node
) -> None:
    target = await _publish(node, bench)
    subprocess.run(["umount", target], check=True)
    node = bench.node()
    await node.recover()
    await node.NodeUnpublishVolume(ID, target)
    assert list(bench.mnt.iterdir()) == []


async def test_after_a_reboot_the_mount_on_the_node_is_made_anew(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench)
    subprocess.run(["umount", target, str(_on_node(bench)), bench.staging], check=True)
    node = bench.node()
    await node.recover()
    await node.NodeUnpublishVolume(ID, target)
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=_attributes(bench))
    Path(bench.staging, "sets").mkdir()
    await _publish(node, bench)
    assert mounts.at(str(_on_node(bench))) is not None


async def test_a_mount_of_an_older_life_of_the_volume_is_replaced_on_the_node(bench: Bench, node: Node) -> None:
    await _publish(node, bench)
    subprocess.run(["umount", bench.staging], check=True)
    await node.NodeStageVolume(ID, bench.staging, capability(), volume_context=_attributes(bench))
    Path(bench.staging, "sets").mkdir()
    Path(bench.staging, "sets", "new").write_text("life")
    await _publish(node, bench)
    assert os.listdir(_on_node(bench)) == ["new"]


async def test_stats_and_health_tell_when_the_mount_on_the_node_is_lost(bench: Bench, node: Node) -> None:
    target = await _publish(node, bench)
    assert (await node.NodeGetVolumeStats(ID, target)).volume_condition.abnormal is False
    assert list((await node.NodeGetVolumeHealth(ID, target)).volume_health.health_statuses) == []
    subprocess.run(["umount", str(_on_node(bench))], check=True)
    condition = (await node.NodeGetVolumeStats(ID, target)).volume_condition
    assert condition.abnormal is True and f"not mounted at {_on_node(bench)}" in condition.message
    (entry,) = (await node.NodeGetVolumeHealth(ID, target)).volume_health.health_statuses
    assert entry.reason == "NodeMountLost"


BUCKET = Publication(False, "MULTI_NODE_MULTI_WRITER", fstype="fuse.moorfs", source="models")


def _mount_bucket(path: Path, source: str) -> Mount:
    """A mount of a bucket that nobody serves."""
    path.mkdir()
    os.close(connection.open_mounted(str(path), "fuse.moorfs", source))
    found = mounts.at(str(path))
    assert found is not None
    return found


def test_another_mount_with_the_device_number_that_ours_had_is_not_ours(bench: Bench, tmp_path: Path) -> None:
    found = _mount_bucket(tmp_path / "data", "others")
    hosts = HostMounts(bench.runner, str(bench.mnt), lambda: bench.api)
    assert hosts.lost(replace(BUCKET, host=str(tmp_path / "data"), device=found.device))


def test_a_bucket_that_was_mounted_anew_has_another_number_and_is_not_lost(bench: Bench, tmp_path: Path) -> None:
    found = _mount_bucket(tmp_path / "data", "models")
    hosts = HostMounts(bench.runner, str(bench.mnt), lambda: bench.api)
    assert not hosts.lost(replace(BUCKET, host=str(tmp_path / "data"), device=f"{found.device}9"))


@pytest.mark.parametrize(
    ("source", "lost"),
    [
        ("10.0.0.1:/vol/a", False),
        ("10.0.0.1:/vol/a/imagenet", False),  # mountFrom: /imagenet
        ("10.0.0.1:/vol/ab", True),
        ("10.0.0.2:/vol/a", True),
    ],
)
def test_a_folder_of_a_share_on_the_node_is_of_the_share(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, source: str, lost: bool
) -> None:
    present = Mount("0:74", "/", "/mnt/data", False, "nfs4", source)
    monkeypatch.setattr(mounts, "at", lambda path: present)
    known = Publication(False, "MULTI_NODE_MULTI_WRITER", fstype="nfs4", source="10.0.0.1:/vol/a", device="0:74")
    hosts = HostMounts(bench.runner, str(bench.mnt), lambda: bench.api)
    assert hosts.lost(replace(known, host="/mnt/data")) is lost


async def test_a_strangers_mount_on_the_node_with_the_number_that_ours_had_is_not_taken_away(
    bench: Bench, node: Node
) -> None:
    target = await _publish(node, bench)
    subprocess.run(["umount", str(_on_node(bench))], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "stranger", str(_on_node(bench))], check=True)
    stranger, store = mounts.at(str(_on_node(bench))), Store(bench.kubelet / "plugin" / "state")
    (volume,) = store.all()
    assert stranger is not None
    store.save(volume.published(target, replace(volume.targets[target], device=stranger.device)))

    await node.NodeUnpublishVolume(ID, target)

    assert mounts.at(str(_on_node(bench))) == stranger
