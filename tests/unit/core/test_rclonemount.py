"""How rclone is called, and what its queue and its records say."""

import pytest

from moorage import objectmount, rclonemount
from moorage.errors import InvalidInput
from moorage.rclonemount import Files, Unsaved

PARAMETERS = {"endpoint": "http://s3:7070", "bucket": "models", "prefix": "run1", "region": "eu-1"}
FILES = Files(config="/run/r.conf", socket="/run/control", cache="/cache/v")


def argv(options: str = "", **more: str) -> tuple[str, ...]:
    return rclonemount.argv("rclone", PARAMETERS | {"options": options} | more, FILES, "/target")


def test_the_command_line() -> None:
    assert argv(cache="1000") == (
        "rclone", "mount", "bucket:models/run1", "/target", "--config=/run/r.conf", "--cache-dir=/cache/v",
        "--devname=models:/run1", "--allow-other", "--default-permissions",
        "--uid=0", "--gid=0", "--umask=0", "--dir-perms=0755", "--file-perms=0644",
        "--vfs-cache-mode=full", "--vfs-cache-max-size=1000B", "--vfs-cache-min-free-space=1Gi",
        "--dir-cache-time=1s", "--vfs-cache-max-age=24h", "--vfs-write-back=1s",
        "--rc", "--rc-addr=unix:///run/control", "--rc-no-auth", "--rc-server-write-timeout=30s",
    )  # fmt: skip


def test_without_a_prefix_the_bucket_is_the_root_and_without_a_size_the_cache_has_ten_gibibytes() -> None:
    said = argv(prefix="")

    assert said[2] == "bucket:models" and "--devname=models" in said
    assert f"--vfs-cache-max-size={10 * 2**30}B" in said


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"uid": "1000", "gid": "2000", "mode": "0750"}, ("--uid=1000", "--gid=2000", "0750", "0640")),
        ({"group": "3000"}, ("--uid=0", "--gid=3000", "0775", "0664")),
        ({"group": "3000", "uid": "5", "mode": "700"}, ("--uid=5", "--gid=3000", "0770", "0660")),
    ],
)
def test_owner_and_mode_are_those_of_the_volume_or_of_the_pods_group(
    more: dict[str, str], wanted: tuple[str, str, str, str]
) -> None:
    uid, gid, folders, files = wanted
    assert {uid, gid, f"--dir-perms={folders}", f"--file-perms={files}"} <= set(argv(**more))


def test_mount_options_of_a_claim_are_over_the_defaults() -> None:
    said = argv("ro,dir-cache-time=5m,transfers=8")

    assert {"--read-only", "--dir-cache-time=5m", "--transfers=8", "--vfs-write-back=1s"} <= set(said)
    assert "--dir-cache-time=1s" not in said


@pytest.mark.parametrize("option", ["vfs-write-back=0s", "config=/etc/shadow", "rc-addr=:5572", "noexec", "ttl=1"])
def test_other_options_are_refused(option: str) -> None:
    with pytest.raises(InvalidInput, match="is not among those that Moorage allows"):
        argv(option)


def test_the_configuration_names_who_tells_the_key_and_holds_none() -> None:
    said = rclonemount.config(PARAMETERS, "/run/aws.conf")

    assert said.splitlines() == [
        "[bucket]", "type = s3", "provider = Other", "env_auth = true", "shared_credentials_file = /run/aws.conf",
        "endpoint = http://s3:7070", "region = eu-1", "force_path_style = true", "no_check_bucket = true",
        "directory_markers = true",
    ]  # fmt: skip
    told = rclonemount.key_config(("python3", "/opt/a b.py", "/run/key.json"))
    assert told == "[default]\ncredential_process = python3 '/opt/a b.py' /run/key.json\n"


# As rclone 1.75 answers vfs/queue.
QUEUE = {
    "queue": [
        {"name": "a", "id": 1, "size": 10, "expiry": 0.5, "tries": 0, "delay": 1, "uploading": False},
        {"name": "b", "id": 2, "size": 200, "expiry": -1, "tries": 1, "delay": 1, "uploading": True},
        {"name": "c", "id": 3, "size": 3000, "expiry": 40.5, "tries": 3, "delay": 64, "uploading": False},
        {"name": "d", "id": 4, "size": 40000, "expiry": -3, "tries": 2, "delay": 64, "uploading": True},
    ]
}


def test_what_is_queued_what_was_refused_and_what_can_be_hurried() -> None:
    assert Unsaved.queued(QUEUE) == Unsaved(4, 43210)
    assert Unsaved.refused(QUEUE) == Unsaved(2, 43000)
    assert rclonemount.hurry(QUEUE) == ({"id": 1, "expiry": -1e9}, {"id": 3, "expiry": -1e9})
    assert str(Unsaved.queued(QUEUE)) == "4 files (43210 bytes)" and str(Unsaved(1, 5)) == "1 file (5 bytes)"


@pytest.mark.parametrize("answer", [{}, {"queue": None}, {"queue": []}])
def test_an_empty_queue_is_nothing(answer: dict[str, object]) -> None:
    assert not Unsaved.queued(answer) and rclonemount.hurry(answer) == ()


@pytest.mark.parametrize(
    ("record", "dirty"),
    [
        ('{\n\t"Size": 4,\n\t"Dirty": true\n}\n', True),
        ('{\n\t"Size": 4,\n\t"Dirty": false\n}\n', False),
        ("", True),  # broken off: nobody knows
        ('{\n\t"Size": 4,', True),
        ("[]", False),
    ],
)
def test_a_record_is_dirty_unless_it_says_otherwise(record: str, dirty: bool) -> None:
    assert rclonemount.is_dirty(record) is dirty


@pytest.mark.parametrize(
    ("attributes", "later"),
    [
        ({"mount": "rclone"}, True),
        ({"mount": "moorfs", "writeback": "true"}, True),
        ({"mount": "moorfs"}, False),
        ({"mount": "s3fs"}, False),
        ({"mount": "nfs"}, False),
    ],
)
def test_which_volumes_store_after_close(attributes: dict[str, str], later: bool) -> None:
    assert objectmount.stores_later(attributes) is later
