"""A node of namespaces: the machine's kernel, but its own network, mounts, processes and names. Starts in a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

from . import disks, network, nodeconfig
from .cache import cache_dir
from .command import CommandFailed, run
from .layout import Node
from .process import Identity, children, identify, kill
from .state import State, seen
from .umlroot import ensure_root

POOL = "pool"  # the disk under its NFS server's pool, an XFS, so that volumes can be cloned; see values-local.yaml
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def group(node: Node) -> str:
    """The control group of the node's own daemons; its pods' is the node's name (version 2 wants them apart)."""
    return f"{node.name}-system"


def prepare(state: State, node: Node, tools: Path) -> None:
    """Write what the node reads at its start."""
    home = state.node(node)
    seen_home = str(seen(home))
    (home / "root").mkdir(exist_ok=True)
    (home / "kubelet.json").write_text(
        nodeconfig.kubelet(node, seen_home, str(seen(state.pki / "ca.crt")), cgroup_root=state.cgroup.path(node.name))
    )
    (home / "kube-proxy.json").write_text(nodeconfig.kube_proxy(node, seen(state.pki / "kube-proxy.kubeconfig")))
    values = {
        "NAME": node.name,
        "ADDRESS": node.address,
        "HOME_DIR": seen_home,
        "TOOLS": str(seen(tools)),
        "DISK": f"{seen_home}/disk",
        "INIT": str(seen(state.home / "init")),
        "POOL": str(seen(disks.path(state, POOL))),
        "LABELS": nodeconfig.kubelet_labels(node),
    }
    (home / "node.env").write_text(nodeconfig.environment(values))


def start(state: State, node: Node) -> None:
    """Start its first process; all others are born of it and die with it."""
    if state.processes.find(node.name) is not None:
        return
    home = state.node(node)
    network.connect(node, state.namespace(node))
    state.cgroup.create(node.name)
    isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--propagation", "private"]
    init = ["/bin/bash", state.home / "init/namespace.sh", home / "node.env", ensure_root(), cache_dir(), home / "root"]
    argv = [*network.inside(state.namespace(node), isolated), *(str(word) for word in init)]
    state.processes.spawn(node.name, group(node), argv)


def first_process(state: State, node: Node) -> Identity | None:
    """The node's pid 1, as the machine sees it."""
    outer = state.processes.find(node.name)
    inner = children(outer.pid) if outer else []
    return identify(inner[0]) if inner else None


def execute(state: State, node: Node, argv: Sequence[str], timeout: float) -> CompletedProcess[str]:
    """Run a command in all of the node's namespaces."""
    first = first_process(state, node)
    if first is None:
        return CompletedProcess(argv, 255, "", f"{node.name} does not run\n")
    enter = ["nsenter", "-t", str(first.pid), "-m", "-p", "-n", "-u", "-i", "--wd=/", "--"]
    words = [*enter, "env", f"PATH={tools_path(state)}:{PATH}", *argv]
    try:
        return run(words, timeout=timeout, check=False)
    except CommandFailed as error:
        return CompletedProcess(argv, error.returncode, "", error.stderr)


def tools_path(state: State) -> Path:
    """The built commands as the nodes see them."""
    return seen(Path(state.facts()["tools"]))


def power_cut(state: State, node: Node) -> None:
    """Kill its first process, and with it all the kernel holds for the node: processes, mounts, FUSE sessions."""
    first = first_process(state, node)
    if first is not None:
        kill(first)
    for name in (group(node), node.name):
        state.cgroup.kill(name)
        # a machine that loses power loses these too; a kubelet that finds old ones takes 3 s over each
        state.cgroup.remove(name)
