"""A shared volume as pods see it: one file system on two nodes, with the size that was asked."""

import pytest

from harness.kube import Kube, condition, wait_for
from harness.manifests import MOORAGE, by_claim, pod, shared

pytestmark = pytest.mark.light

MIB = 1024 * 1024


@pytest.fixture
def two_pods(kube: Kube, namespace: str, workers: list[str]) -> str:
    """A volume `data` of 256Mi with pods `a` and `b` on two nodes; gives the namespace."""
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    kube.apply(*(pod(name, by_claim("data"), namespace, node) for name, node in zip("ab", workers, strict=False)))
    for name in "ab":
        kube.wait_pod(name, namespace)
    return namespace


def df_kib(kube: Kube, namespace: str, name: str) -> int:
    return int(kube.exec(name, "df", "-kP", "/data", namespace=namespace).splitlines()[-1].split()[1])


def test_what_one_node_writes_the_other_reads_at_once(kube: Kube, two_pods: str) -> None:
    kube.exec("a", "sh", "-c", "echo hello > /data/file && sync /data/file", namespace=two_pods)

    seen = kube.exec("b", "cat", "/data/file", namespace=two_pods)

    assert seen == "hello\n"


def test_df_shows_the_size_asked_and_the_byte_after_the_last_gets_enospc(kube: Kube, two_pods: str) -> None:
    size = df_kib(kube, two_pods, "a")

    fill = "dd if=/dev/zero of=/data/big bs=1M count=300 conv=fsync 2>&1; true"
    said = kube.exec("a", "sh", "-c", fill, namespace=two_pods, timeout=180)

    assert size == 256 * 1024
    assert "No space left on device" in said
    # Blocks, not the file's length: the client writes back in any order, so a later write may have found room.
    written = 512 * int(kube.exec("b", "stat", "-c", "%b", "/data/big", namespace=two_pods))
    assert 200 * MIB < written <= 256 * MIB


def test_the_volume_grows_under_a_writer(kube: Kube, two_pods: str) -> None:
    kube.exec(
        "a", "sh", "-c", "(while :; do date +%N >> /data/log; sleep 0.2; done) >/dev/null 2>&1 &", namespace=two_pods
    )

    kube(
        "patch", "storagevolumes.moorage.dev", "data", "-n", two_pods, "--type=merge", "-p", '{"spec":{"size":"384Mi"}}'
    )

    wait_for("df grows", lambda: df_kib(kube, two_pods, "b") == 384 * 1024, 60)
    before = int(kube.exec("a", "stat", "-c", "%s", "/data/log", namespace=two_pods))
    wait_for(
        "the writer goes on",
        lambda: int(kube.exec("a", "stat", "-c", "%s", "/data/log", namespace=two_pods)) > before,
        30,
    )
    volume = kube.wait_phase("StorageVolume", "data", "READY", two_pods)
    assert volume["status"]["capacity"] == "384Mi"


def test_numeric_owners_and_modes_are_kept(kube: Kube, two_pods: str) -> None:
    script = "touch /data/mine && chown 1000:2000 /data/mine && chmod 640 /data/mine"
    kube.exec("a", "sh", "-c", script, namespace=two_pods)

    seen = kube.exec("b", "stat", "-c", "%u:%g %a", "/data/mine", namespace=two_pods).strip()

    assert seen == "1000:2000 640"


def test_directories_walk_copy_and_go_on_a_fresh_mount(kube: Kube, two_pods: str) -> None:
    """Linux 6.19 and later ask for directory delegations, which older servers answer with an error on exactly these."""
    kube.exec("a", "sh", "-c", "mkdir -p /data/x/y/z && echo 1 > /data/x/y/z/f", namespace=two_pods)

    walk = "find /data/x && ls -lR /data/x >/dev/null && cp -a /data/x /data/w && rm -r /data/x && mv /data/w /data/v"
    seen = kube.exec("b", "sh", "-c", f"{walk} && cat /data/v/y/z/f", namespace=two_pods)

    assert seen.splitlines() == ["/data/x", "/data/x/y", "/data/x/y/z", "/data/x/y/z/f", "1"]


# The image of the other tests has no program for locks. Each says on its standard output, or in /data, what it got.
HOLD = """
import fcntl, os, time
lock = open("/data/lock", "a+")
fcntl.lockf(lock, fcntl.LOCK_EX)
open("/data/held", "w").close()
while not os.path.exists("/data/go"):
    time.sleep(0.2)
"""
WAIT = """
import fcntl
lock = open("/data/lock", "a+")
open("/data/waits", "w").close()
fcntl.lockf(lock, fcntl.LOCK_EX)
open("/data/got", "w").close()
"""
TRY = """
import fcntl
try:
    fcntl.lockf(open("/data/lock", "a+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("taken")
except BlockingIOError:
    print("refused")
"""


def test_a_lock_is_refused_to_another_node_and_goes_to_who_waits(
    kube: Kube, namespace: str, workers: list[str]
) -> None:
    kube.apply(shared("data", "256Mi", namespace))
    kube.wait_phase("StorageVolume", "data", "READY", namespace)
    for name, node in zip("ab", workers, strict=False):
        kube.apply(pod(name, by_claim("data"), namespace, node, image=MOORAGE))
    for name in "ab":
        kube.wait_pod(name, namespace)

    def there(file: str) -> bool:
        return kube.attempt("exec", "-n", namespace, "b", "--", "ls", f"/data/{file}")[0]

    free = kube.exec("b", "python3", "-c", TRY, namespace=namespace)
    for name, program, sign in (("a", HOLD, "held"), ("b", WAIT, "waits")):
        kube.exec(name, "sh", "-c", f"python3 -c '{program}' > /tmp/said 2>&1 &", namespace=namespace)
        wait_for(sign, lambda sign=sign: there(sign), 30)
    held = kube.exec("b", "python3", "-c", TRY, namespace=namespace)
    too_early = there("got")
    kube.exec("a", "touch", "/data/go", namespace=namespace)

    wait_for("who waits gets it", lambda: there("got"), 90)
    assert (free, held, too_early) == ("taken\n", "refused\n", False)


def test_sub_path_mounts_only_its_folder_and_user_may_write(kube: Kube, two_pods: str) -> None:
    kube.exec("a", "sh", "-c", "mkdir -p /data/imagenet /data/other && chmod 777 /data/imagenet", namespace=two_pods)
    kube.apply(pod("part", by_claim("data"), two_pods, sub_path="imagenet", user=1234))
    kube.wait_pod("part", two_pods)

    kube.exec("part", "sh", "-c", "echo hi > /data/file", namespace=two_pods)

    assert kube.exec(
        "a", "sh", "-c", "cat /data/imagenet/file && stat -c %u /data/imagenet/file", namespace=two_pods
    ) == ("hi\n1234\n")
    assert kube.exec("part", "ls", "/data", namespace=two_pods) == "file\n"


def test_status_tells_the_truth(kube: Kube, two_pods: str) -> None:
    volume = kube.wait_phase("StorageVolume", "data", "READY", two_pods)

    assert condition(volume, "Ready")["status"] == "True"
    assert condition(volume, "Provisioned")["status"] == "True"
    assert volume["status"]["claimName"] == "data"
    reasons = [event["reason"] for event in kube.events("StorageVolume", "data", two_pods)]
    assert reasons[:2] == ["Provisioning", "Ready"]
    assert set(reasons[2:]) == {"Attaching", "Ready"} and len(reasons[2:]) in (2, 4)  # once for each node, or for both
