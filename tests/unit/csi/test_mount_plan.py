"""A volume's attributes become a mount plan, or are refused with a reason."""

import pytest

from moorage import mount
from moorage.errors import InvalidInput
from moorage.objectmount import ObjectMount, s3fs_argv

SHARED = {
    "type": "shared",
    "mount": "nfs",
    "server": "nfs-0.moorage.svc",
    "path": "/vol/abc",
    "options": "vers=4.1,hard",
}
OBJECT = {
    "type": "object", "mount": "s3fs", "endpoint": "http://moorage-s3.moorage.svc:7070", "bucket": "models-abc",
    "prefix": "checkpoints/", "region": "eu-1",
}  # fmt: skip


def test_shared_attributes_become_an_nfs_plan() -> None:
    assert mount.parse(SHARED) == mount.Nfs("nfs-0.moorage.svc", "/vol/abc", ("vers=4.1", "hard"))


def test_object_attributes_become_an_s3fs_plan() -> None:
    assert mount.parse(OBJECT) == ObjectMount(
        "s3fs", "http://moorage-s3.moorage.svc:7070", "models-abc", "checkpoints", "eu-1"
    )


def test_what_kubernetes_adds_is_passed_over() -> None:
    added = {"csi.storage.k8s.io/pod.name": "p", "storage.kubernetes.io/csiProvisionerIdentity": "1-csi.moorage.dev"}
    assert mount.parse(SHARED | added) == mount.parse(SHARED)


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({}, "type ''"),
        (SHARED | {"mount": "s3fs"}, "mount 's3fs'"),
        (SHARED | {"mountfrom": "/x"}, "mountfrom"),
        (SHARED | {"server": "10.0.0.1\n"}, "server"),
        (OBJECT | {"bucket": "models\n"}, "bucket"),
        (SHARED | {"server": "host;reboot"}, "server"),
        (SHARED | {"server": "-o"}, "server"),
        (SHARED | {"path": "vol/abc"}, "path"),
        (SHARED | {"path": "/vol/../etc"}, "without"),
        (SHARED | {"options": "vers=3"}, "vers=3"),
        (SHARED | {"options": "exec,suid"}, "exec"),
        (SHARED | {"options": "nconnect=17"}, "nconnect=17"),
        (SHARED | {"options": "hard=1"}, "hard=1"),
        (OBJECT | {"endpoint": "file:///etc"}, "endpoint"),
        (OBJECT | {"endpoint": "http://user:pw@host"}, "endpoint"),
        (OBJECT | {"bucket": "a b"}, "bucket"),
        (OBJECT | {"bucket": "x,passwd_file=/etc/shadow"}, "bucket"),
        (OBJECT | {"prefix": "a/../b"}, "without"),
        (OBJECT | {"prefix": "a//b"}, "prefix"),
        (OBJECT | {"region": "eu 1"}, "region"),
    ],
)
def test_bad_attributes_are_refused_by_name(attributes: dict[str, str], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        mount.parse(attributes)


def test_options_of_the_claim_win_over_those_of_the_volume() -> None:
    plan = mount.Nfs("s", "/vol/a", ("vers=4.1", "hard", "timeo=600"))
    assert plan.with_flags(["vers=4.2", "nconnect=4,noatime"]) == (
        "hard",
        "timeo=600",
        "vers=4.2",
        "nconnect=4",
        "noatime",
    )


@pytest.mark.parametrize(("address", "source"), [("10.0.0.7", "10.0.0.7:/vol/a"), ("fd00::7", "[fd00::7]:/vol/a")])
def test_the_source_brackets_an_ipv6_address(address: str, source: str) -> None:
    assert mount.Nfs("s", "/vol/a", ()).source(address) == source


def _options(argv: tuple[str, ...]) -> set[str]:
    return {argv[i + 1] for i, word in enumerate(argv) if word == "-o"}


def test_s3fs_runs_in_the_foreground_with_the_credentials_in_a_file() -> None:
    argv = s3fs_argv("s3fs", ObjectMount.parse(OBJECT).parameters((), ""), "/run/moorage/x.passwd", "/target")
    assert argv[:4] == ("s3fs", "models-abc:/checkpoints", "/target", "-f")
    assert _options(argv) == {
        "url=http://moorage-s3.moorage.svc:7070", "endpoint=eu-1", "passwd_file=/run/moorage/x.passwd",
        "sigv4", "use_path_request_style", "allow_other", "compat_dir", "complement_stat", "disable_noobj_cache",
        "stat_cache_expire=1", "connect_timeout=10", "readwrite_timeout=60", "retries=5",
    }  # fmt: skip


def test_nothing_that_delays_writes_is_given_to_s3fs() -> None:
    argv = s3fs_argv("s3fs", ObjectMount.parse(OBJECT).parameters((), ""), "/p", "/t")
    assert not any(option.startswith(("use_cache", "nonempty", "dbglevel")) for option in _options(argv))


def test_a_mount_group_owns_the_bucket() -> None:
    argv = s3fs_argv("s3fs", ObjectMount.parse(OBJECT).parameters((), "2000"), "/p", "/t")
    assert {"gid=2000", "uid=0", "umask=0000", "mp_umask=0000"} <= _options(argv)


def test_an_allowed_option_replaces_the_default() -> None:
    argv = s3fs_argv("s3fs", ObjectMount.parse(OBJECT).parameters(["retries=9"], ""), "/p", "/t")
    assert "retries=9" in _options(argv) and "retries=5" not in _options(argv)


@pytest.mark.parametrize("flag", ["passwd_file=/etc/shadow", "url=http://evil", "allow_other", "uid=0", "curldbg"])
def test_options_with_a_meaning_for_security_are_refused(flag: str) -> None:
    with pytest.raises(InvalidInput, match="not among"):
        ObjectMount.parse(OBJECT).with_flags([flag])


@pytest.mark.parametrize("group", ["root", "-1", "1,allow_root", str(2**32)])
def test_a_group_that_is_no_number_is_refused(group: str) -> None:
    with pytest.raises(InvalidInput, match="group"):
        s3fs_argv("s3fs", ObjectMount.parse(OBJECT).parameters((), group), "/p", "/t")
