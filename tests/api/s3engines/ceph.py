"""Ceph's RADOS gateway on loopback, with one monitor and one OSD in memory.

Debian's packages are unpacked into the cache, and not installed.
"""

import os
import shutil
import subprocess
import sysconfig
import uuid
from contextlib import ExitStack
from pathlib import Path

from cluster.cache import cache_dir, digest, locked
from harness.ports import free_ports
from moorage.sigv4 import Key
from s3engines.process import answers, spawn, until
from s3engines.server import Server

PACKAGES = ("radosgw", "ceph-mon", "ceph-osd")
MULTIARCH = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
CAPS = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
ROOT_CAPS = "users=*;buckets=*;metadata=*;usage=*"

CONF = """[global]
fsid = {fsid}
keyring = {home}/keyring
mon host = v2:127.0.0.1:{mon}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
run dir = {home}
admin socket =
pid file =
log file = {home}/$name.ceph
plugin dir = {libraries}/ceph
erasure code dir = {libraries}/ceph/erasure-code
osd class dir = {libraries}/rados-classes
osd class load list = *
osd class default list = *
osd objectstore = memstore
memstore device bytes = 1073741824
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 2
osd pool default pgp num = 2
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 0
mon data avail warn = 0
mon data = {home}/mon
osd data = {home}/osd
rgw data = {home}/rgw
rgw frontends = beast endpoint=127.0.0.1:{gateway}
rgw bucket quota ttl = 0
"""


def programs() -> Path:
    """The unpacked packages with what they need; fetched once per version that apt knows."""
    assert shutil.which("apt-get"), "the tests of flavor rgw take Ceph from Debian's packages: run them on Debian"
    archives = _archives()
    if not archives and not shutil.which("radosgw"):  # a machine that has no lists of packages yet
        _run("apt-get", "update", "-q")
        archives = _archives()
    root = cache_dir() / f"ceph-{digest(archives)}"
    with locked(root.with_suffix(".lock"), wait=600):
        if not root.is_dir():
            _unpack(root.with_suffix(".draft"), [each.split("_")[0] for each in archives])
            root.with_suffix(".draft").rename(root)
    return root


def _archives() -> list[str]:
    """Names of the packages' files that this machine lacks."""
    asked = ("install", "-y", "-q", "--no-install-recommends", "--print-uris", *PACKAGES)
    listed = subprocess.run(["apt-get", *asked], capture_output=True, text=True, timeout=300).stdout
    return sorted(line.split()[1] for line in listed.splitlines() if line.startswith("'"))


def _unpack(draft: Path, packages: list[str]) -> None:
    shutil.rmtree(draft, ignore_errors=True)
    debs = draft / "debs"
    debs.mkdir(parents=True)
    _run("apt-get", "download", "-q", *packages, cwd=debs)
    for each in debs.glob("*.deb"):
        _run("dpkg-deb", "-x", each, draft)
    shutil.rmtree(debs)


def start(home: Path, stack: ExitStack) -> Server:
    root, (mon, gateway) = programs(), free_ports(2)
    libraries, fsid, disk = _libraries(root), str(uuid.uuid4()), str(uuid.uuid4())
    for each in ("mon", "osd", "rgw"):
        (home / each).mkdir()
    values = {"home": home, "libraries": libraries, "fsid": fsid, "mon": mon, "gateway": gateway}
    (home / "ceph.conf").write_text(CONF.format(**values))
    env = {
        "LD_LIBRARY_PATH": f"{libraries}:{libraries}/ceph:{root}/usr/lib/{MULTIARCH}:{root}/lib/{MULTIARCH}",
        "CEPH_CONF": str(home / "ceph.conf"),
    }
    ceph = _Ceph(root, home, env, stack)
    ceph.keys()
    ceph.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{mon}]", home / "monmap")
    ceph.run("osdmaptool", "--createsimple", "1", "--clobber", home / "osdmap")
    maps = ("--monmap", home / "monmap", "--osdmap", home / "osdmap", "--keyring", home / "keyring")
    ceph.run("ceph-mon", "-i", "a", "--mkfs", "--fsid", fsid, *maps)
    ceph.spawn("ceph-mon", "-i", "a", "-f")
    ceph.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
    ceph.spawn("ceph-osd", "-i", "0", "-f")
    server = Server("rgw", f"http://127.0.0.1:{gateway}", Key("rgwroot", os.urandom(20).hex()))
    who = ("--uid=moorage-root", "--display-name=moorage", f"--caps={ROOT_CAPS}")
    ceph.run(
        "radosgw-admin", "user", "create", *who, f"--access-key={server.root.access}", f"--secret={server.root.secret}"
    )
    ceph.spawn("radosgw", "-n", "client.rgw.a", "-f")
    until(lambda: answers(server.endpoint), "the RADOS gateway does not answer", home)
    return server


def _libraries(root: Path) -> Path:
    unpacked = root / "usr/lib" / MULTIARCH
    return unpacked if (unpacked / "rados-classes").is_dir() else Path("/usr/lib") / MULTIARCH


class _Ceph:
    """Ceph's commands with their libraries."""

    def __init__(self, root: Path, home: Path, env: dict[str, str], stack: ExitStack) -> None:
        self._root, self._home, self._env, self._stack = root, home, env, stack

    def run(self, name: str, *argv: str | Path) -> None:
        _run(self._program(name), *argv, env={**os.environ, **self._env})

    def spawn(self, name: str, *argv: str) -> None:
        spawn(self._home / f"{name}.log", self._stack, self._program(name), *argv, env=self._env)

    def _program(self, name: str) -> Path:
        """Of the unpacked packages, or of the machine's own, which are not unpacked then."""
        unpacked = self._root / "usr/bin" / name
        return unpacked if unpacked.exists() else Path("/usr/bin") / name

    def keys(self) -> None:
        keyring = self._home / "keyring"
        self.run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        for name in ("client.admin", "client.rgw.a", "osd.0"):
            self.run("ceph-authtool", keyring, "--gen-key", "-n", name, *CAPS)


def _run(*argv: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([*map(str, argv)], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{argv[0]}: {done.stderr[-2000:]}"
    return done.stdout
