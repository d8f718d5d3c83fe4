"""A node as a machine, of either kind: its files and its disk, its start, commands on it, its power cut."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

from . import disks, nsnode, pki, umlnode
from .golden import link_tree
from .layout import Node
from .nodeconfig import cni, containerd, hosts, resolv_conf
from .state import State

POOL_BYTES = 96 << 30  # of the namespace node's NFS pool, for the bench's 200 volumes; a sparse file


def prepare(state: State, node: Node, tools: Path, golden: Path) -> None:
    """Its files and its disk; `golden`: what the namespace node's disk begins as."""
    home = state.node(node)
    home.mkdir(parents=True, exist_ok=True)
    _write_files(state, node, home)
    if node.kind == "namespace":
        disks.make(state, nsnode.POOL, POOL_BYTES)
        link_tree(golden, home / "disk")
        nsnode.prepare(state, node, tools)
    else:
        umlnode.prepare(state, node, tools)


def _write_files(state: State, node: Node, home: Path) -> None:
    files = {
        "containerd.toml": containerd(node),
        "cni.conflist": cni(node),
        "resolv.conf": resolv_conf(),
        "hosts": hosts(node),
    }
    for name, text in files.items():
        (home / name).write_text(text)
    pki.write_kubeconfig(state.pki, node.name, home / "kubeconfig")
    for kind in ("crt", "key"):
        shutil.copy2(state.pki / f"{node.name}.{kind}", home / f"tls.{kind}")


def start(state: State, node: Node, tools: Path) -> None:
    if node.kind == "namespace":
        nsnode.start(state, node)
    else:
        umlnode.start(state, node, tools)


def execute(state: State, node: Node, argv: Sequence[str], timeout: float) -> CompletedProcess[str]:
    """Run a command on it, for `timeout` seconds at most."""
    run = nsnode.execute if node.kind == "namespace" else umlnode.execute
    return run(state, node, argv, timeout)


def power_cut(state: State, node: Node) -> None:
    """Nothing of it runs on, and what it has not written is lost."""
    kind = nsnode if node.kind == "namespace" else umlnode
    kind.power_cut(state, node)
