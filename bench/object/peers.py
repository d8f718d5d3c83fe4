"""The peers: s3fs and rclone as Debian has them, in a root directory that is made once, each in a mount namespace."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from s3engine import Engine

from bench.object import load
from cluster.cache import cache_dir, digest, locked
from cluster.command import contained, run
from cluster.debian import mirror
from cluster.progress import slow

SUITE = "trixie"
PACKAGES = ("ca-certificates", "fuse3", "mount", "python3-minimal", "rclone", "s3fs", "util-linux")
S3FS = (
    "-f -o sigv4,use_path_request_style,allow_other,compat_dir,complement_stat,disable_noobj_cache,stat_cache_expire=1"
)
RCLONE = "--allow-other --no-check-certificate --dir-cache-time 1s --attr-timeout 1s"
PROGRAMS = {
    "s3fs": f"s3fs {{bucket}} /mnt/b {S3FS} -o url={{endpoint}},passwd_file=/tmp/passwd,tmpdir=/var/tmp",
    "rclone-cached": (
        f"rclone mount s3:{{bucket}} /mnt/b --config /tmp/rclone.conf {RCLONE} --vfs-cache-mode full"
        " --vfs-write-back 0s --cache-dir /var/tmp/cache"
    ),
    "rclone": f"rclone mount s3:{{bucket}} /mnt/b --config /tmp/rclone.conf {RCLONE} --vfs-cache-mode off",
}
APPEAR = 30.0


def root() -> Path:
    """The root directory, made by debootstrap if the cache lacks it."""
    home = cache_dir() / f"bench-root-{digest([SUITE, *PACKAGES])}"
    with locked(cache_dir() / "bench-root.lock"):
        if not home.is_dir():
            draft = home.with_name(home.name + ".draft")
            shutil.rmtree(draft, ignore_errors=True)
            with slow(f"making a root directory with s3fs and rclone (debootstrap {SUITE}, once per machine)"):
                argv = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(draft)]
                source = mirror()
                run(contained([*argv, *([source] if source else [])]), timeout=1800)
            draft.rename(home)
    return home


@dataclass(frozen=True)
class Mounted:
    """A mounted bucket: the process that serves it, whose namespace shows it at `folder`."""

    pid: int
    folder: str

    def load(self, *steps: str, seconds: float = 600) -> dict[str, float]:
        """What bench.object.load found."""
        program = Path(load.__file__).read_text()
        argv = ["nsenter", "--mount", f"--target={self.pid}", sys.executable, "-IS", "-c", program, self.folder, *steps]
        said = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
        assert said.returncode == 0, said.stderr[-2000:]
        lines = (json.loads(line) for line in said.stdout.splitlines())
        return {name: figure for line in lines for name, figure in line.items()}

    def cost(self) -> dict[str, float]:
        """Most memory at a time, and processor time until now, of the process that serves."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return {"memory MiB": round(int(peak) / 1024), "CPU s": round(seconds, 1)}


@contextmanager
def peer(command: str, engine: Engine, bucket: str, endpoint: str = "") -> Generator[Mounted]:
    """The program mounts the bucket in a namespace of its own; afterwards nothing of it is left.

    Its temporary files are on the same disk as our cache, which is how the mounter's pod has them.
    """
    with tempfile.TemporaryDirectory(prefix="peer-") as scratch:
        yield from _peer(command, engine, bucket, endpoint, scratch)


def _peer(command: str, engine: Engine, bucket: str, endpoint: str, scratch: str) -> Generator[Mounted]:
    tree, where = root(), endpoint or engine.endpoint
    words = command.format(bucket=bucket, endpoint=where)
    config = f"[s3]\\ntype = s3\\nprovider = Other\\nendpoint = {where}\\nregion = us-east-1\\nlist_version = 2\\n"
    config += f"access_key_id = {engine.access}\\nsecret_access_key = {engine.secret}\\n"
    script = (
        f"mount -t tmpfs tmpfs {tree}/tmp && mount -t tmpfs tmpfs {tree}/mnt && mkdir {tree}/mnt/b"
        f" && mount --bind {scratch} {tree}/var/tmp"
        f" && mount -t proc proc {tree}/proc"
        f" && mount --rbind /dev {tree}/dev && umask 077"
        f" && printf '%s:%s' {engine.access} {engine.secret} > {tree}/tmp/passwd"
        f" && printf '{config}' > {tree}/tmp/rclone.conf && exec chroot {tree} {words}"
    )
    argv = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "setpriv",
        "--pdeathsig",
        "KILL",
        "--",
        "sh",
        "-c",
        script,
    ]
    # Nothing of this machine's settings: proxies, and certificates that rclone does not take.
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp"}
    quiet, said = subprocess.DEVNULL, subprocess.PIPE
    process = subprocess.Popen(argv, stdout=quiet, stderr=said, text=True, env=environment)
    try:
        _until_mounted(process, f"{tree}/mnt/b")
        yield Mounted(process.pid, f"{tree}/mnt/b")
    finally:
        _end(process, f"{tree}/mnt/b")


def _until_mounted(process: "subprocess.Popen[str]", folder: str) -> None:
    end = time.monotonic() + APPEAR
    while " - fuse" not in "\n".join(_lines(process.pid, folder)):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end, f"nothing is mounted at {folder}"
        time.sleep(0.05)


def _lines(pid: int, folder: str) -> list[str]:
    with suppress(OSError):
        table = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        # After its chroot a process is shown its own paths.
        return [line for line in table if line.split()[4] in (folder, "/mnt/b")]
    return []


def _end(process: "subprocess.Popen[str]", folder: str) -> None:
    unmount: Sequence[str] = ("nsenter", "--mount", f"--target={process.pid}", "umount", "-l", folder)
    subprocess.run(unmount, capture_output=True, timeout=30, check=False)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()
    process.wait(10)
