"""Flags of `moorage-csi`. Each can also be given by the environment, as MOORAGE_<FLAG>; a flag wins."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moorage import names, quantity
from moorage.errors import MoorageError

# Twice the pods that a node takes by default (110), and some. Each bucket on a node is a process of some 20 MiB, so an
# unlimited number would end in the node's OOM killer; a shared volume costs a mount in the kernel and nothing else.
MAX_VOLUMES = 256
_MOST = "how many volumes the scheduler may place on a node"
_HEALTH = "true advertises the health calls of CSI 1.13, which Kubernetes 1.37 and later makes"
ROLES = ("controller", "node", "mounter", "all")


@dataclass(frozen=True, slots=True)
class Settings:
    role: str
    endpoint: str  # unix:///path of the socket that is served
    kubelet_dir: Path
    node_name: str
    namespace: str  # for volumes whose claim names none: the driver's own
    mounter: str  # socket of the mounter
    run_dir: Path  # credentials files of the mounter, on a tmpfs
    s3fs: str
    moorfs: str
    rclone: str
    cache_dir: Path  # of the node's disk, for what moorfs and rclone keep
    volume_memory: int  # bytes of memory for each program of the mounter; 0: no limit
    keeper: Path  # socket on which the mounter and the node plugin hold each other's connections
    health_host: str
    health_port: int  # 0: no health server
    log_level: str
    max_volumes: int  # that the scheduler may place on a node; 0: it is not told
    mount_root: str  # directory of the node beneath which StorageAttachments mount volumes
    volume_health: bool  # whether the health calls of CSI 1.13 are advertised

    @property
    def plugin_dir(self) -> Path:
        return self.kubelet_dir / "plugins" / names.DRIVER

    @property
    def registration_socket(self) -> Path:
        return self.kubelet_dir / "plugins_registry" / f"{names.DRIVER}-reg.sock"


def parse(arguments: Sequence[str]) -> Settings:
    given = _parser().parse_args(arguments)
    kubelet = Path(given.kubelet_dir)
    plugin = kubelet / "plugins" / names.DRIVER
    endpoints = {"controller": "/csi/csi.sock", "all": "/csi/csi.sock", "node": f"{plugin}/csi.sock"}
    host = given.health_host if given.health_host is not None else ("" if given.role == "controller" else "127.0.0.1")
    return Settings(
        role=given.role,
        endpoint=given.endpoint or f"unix://{endpoints.get(given.role, f'{plugin}/mounter.sock')}",
        kubelet_dir=kubelet,
        node_name=given.node_name,
        namespace=given.namespace,
        mounter=given.mounter or f"unix://{plugin}/mounter.sock",
        run_dir=Path(given.run_dir),
        s3fs=given.s3fs,
        moorfs=given.moorfs,
        rclone=given.rclone,
        cache_dir=Path(given.cache_dir),
        volume_memory=given.volume_memory,
        keeper=plugin / "keeper.sock",
        health_host=host,
        health_port=given.health_port,
        log_level=given.log_level.upper(),
        max_volumes=given.max_volumes,
        mount_root=given.mount_root,
        volume_health=given.volume_health,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="moorage-csi", description=__doc__)
    parser.add_argument("role", choices=ROLES, help="all: identity, controller and node in one process, for csi-sanity")
    flags = {
        "endpoint": ("", "unix socket to serve, unix:///path"),
        "kubelet-dir": ("/var/lib/kubelet", "the kubelet's directory, mounted at the same path"),
        "mounter": ("", "the mounter's socket; default: beneath the kubelet's directory"),
        "run-dir": ("/run/moorage", "mounter: where credentials files go; a tmpfs"),
        "s3fs": ("s3fs", "mounter: the s3fs program"),
        "moorfs": (f"{sys.executable} -P -m moorfs", "mounter: how moorfs is called"),
        "rclone": ("rclone", "mounter: the rclone program"),
        "cache-dir": ("/var/cache/moorage", "mounter: directory of the node's disk for what moorfs and rclone keep"),
        "log-level": ("INFO", "DEBUG, INFO, WARNING or ERROR"),
        "mount-root": (names.MOUNT_ROOT, "node: directory for the mounts of StorageAttachments, at the same path here"),
    }
    for flag, (default, text) in flags.items():
        parser.add_argument(f"--{flag}", default=_environment(flag, default), help=text)
    most = _environment("max-volumes", str(MAX_VOLUMES))
    parser.add_argument("--max-volumes", type=_count, default=most, help=f"node: {_MOST} ({MAX_VOLUMES}); 0: no limit")
    memory = _environment("volume-memory", "0")
    parser.add_argument("--volume-memory", type=_bytes, default=memory, help="mounter: limit of each program; 0: none")
    health = _environment("volume-health", "false")
    parser.add_argument("--volume-health", type=_flag, default=health, help=f"{_HEALTH} (false)")
    node = os.environ.get("NODE_NAME") or os.uname().nodename
    parser.add_argument("--node-name", default=node, help="the node's name in the API; default: NODE_NAME")
    namespace = os.environ.get("POD_NAMESPACE") or "default"
    parser.add_argument(
        "--namespace", default=namespace, help="for volumes whose claim names none; default: POD_NAMESPACE"
    )
    parser.add_argument(
        "--health-host", default=_environment("health-host", None), help="default: 127.0.0.1, controller: any"
    )
    parser.add_argument("--health-port", type=int, default=int(_environment("health-port", "0") or 0), help="0: none")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative; 0 means no limit")
    return number


def _bytes(text: str) -> int:
    try:
        return quantity.parse(text) if text != "0" else 0
    except MoorageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text} is neither true nor false")
    return text == "true"


def _environment(flag: str, default: str | None) -> str | None:
    return os.environ.get(f"MOORAGE_{flag.upper().replace('-', '_')}", default)
