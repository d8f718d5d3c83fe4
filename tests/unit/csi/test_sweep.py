"""Which mounts of deleted folders are taken away."""

from pathlib import Path

import pytest

from moorage_csi import sweep
from moorage_csi.mounts import Mount

KUBELET = Path("/kubelet")
SUBPATH = "/kubelet/pods/uid/volume-subpaths/pvc-1/main/0"


def mount(target: str, root: str = "/data//deleted", fstype: str = "fuse.s3fs") -> Mount:
    return Mount("0:113", root, target, False, fstype, "s3fs")


def test_a_deleted_folder_mounted_as_a_subpath_is_dead() -> None:
    assert sweep.dead([mount(SUBPATH)], KUBELET) == [SUBPATH]


@pytest.mark.parametrize(
    "other",
    [
        mount(SUBPATH, root="/data"),
        mount(SUBPATH, fstype="nfs4"),
        mount(SUBPATH, fstype="fuse.sshfs"),
        mount("/kubelet/pods/uid/volumes/kubernetes.io~csi/pvc-1/mount"),
        mount("/kubelet/pods/uid/volumes/volume-subpaths/0"),
        mount("/kubelet/plugins/volume-subpaths/0"),
        mount("/elsewhere/pods/uid/volume-subpaths/pvc-1/main/0"),
    ],
    ids=["lives", "nfs", "not ours", "the volume itself", "a name in between", "no pod", "no kubelet"],
)
def test_what_lives_or_is_no_subpath_of_ours_stays(other: Mount) -> None:
    assert sweep.dead([other], KUBELET) == []
