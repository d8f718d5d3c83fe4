"""A node that is a machine of its own: user-mode-linux, with the real kernel NFS client and FUSE."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

from . import network, nodeconfig
from .cache import cache_dir
from .host import free_memory_mib
from .layout import TAP_GATEWAY, Node
from .state import State, seen
from .umlkernel import Kernel, ensure_kernel
from .umlroot import ensure_root

AGENT_PORT = 7000
MEMORY_MIB = 768
SMALL_MEMORY_MIB = 512


def memory_mib(free: int) -> int:
    """How much memory to give a node on a machine with `free` MiB: less when the whole cluster would not fit."""
    return MEMORY_MIB if free >= 4 * MEMORY_MIB else SMALL_MEMORY_MIB


def choose_kernel(state: State, kernel: Kernel | None = None, node: Node | None = None) -> None:
    """Settle which kernel the machines run (or just one of them), so that one started later is like the others."""
    kernel = kernel or ensure_kernel()
    told = {"binary": str(kernel.binary), "modules": str(kernel.modules), "fast": kernel.fast}
    state.note(f"kernel-{node.name}" if node else "kernel", json.dumps(told))


def kernel_of(state: State, node: Node) -> Kernel:
    """The kernel of this machine: its own if one was chosen for it, else the cluster's."""
    facts = state.facts()
    told = json.loads(facts.get(f"kernel-{node.name}") or facts["kernel"])
    return Kernel(Path(told["binary"]), Path(told["modules"]), told["fast"])


def group(node: Node) -> str:
    """The control group of the machine's processes."""
    return node.name


def router_group(node: Node) -> str:
    """The control group of its router's kube-proxy, which outlives a power cut."""
    return f"{node.name}-router"


def prepare(state: State, node: Node, tools: Path) -> None:
    """Write what the node reads at its start, so that it need not fork for it."""
    home = state.node(node)
    seen_home = str(seen(home))
    authority = str(seen(state.pki / "ca.crt"))
    (home / "kubelet.json").write_text(nodeconfig.kubelet(node, seen_home, authority, cgroup_root=None))
    (home / "kube-proxy.json").write_text(nodeconfig.kube_proxy(node, state.pki / "kube-proxy.kubeconfig"))
    if not state.token.exists():
        state.token.touch(0o600)
        state.token.write_text(secrets.token_hex(24))
    write_environment(state, node, tools)


def write_environment(state: State, node: Node, tools: Path) -> None:
    """What the machine's init reads; it names the modules of the machine's kernel."""
    home = state.node(node)
    values = {
        "NAME": node.name,
        "ADDRESS": node.address,
        "GATEWAY": TAP_GATEWAY,
        "HOME_DIR": str(seen(home)),
        "TOOLS": str(seen(tools)),
        "INIT": str(seen(state.home / "init")),
        "MODULES": str(seen(kernel_of(state, node).modules)),
        "TOKEN": str(seen(state.token)),
        "LABELS": nodeconfig.kubelet_labels(node),
    }
    (home / "node.env").write_text(nodeconfig.environment(values))


def kernel_arguments(state: State, node: Node, kernel: Kernel, root: Path, disk: Path, memory: int) -> list[str]:
    """The kernel's command line. What the kernel does not know, `bed...`, it hands to init as environment.

    `MOORAGE_UML_ARGS` adds words of your own, for example nfsv4.directory_delegations=0 for an old NFS server.
    """
    home = state.node(node)
    card = f"vec0:transport=tap,ifname={node.tap},depth=64,gro=1,mac={node.mac}"
    words = [f"mem={memory}M", f"umid={node.name}", f"uml_dir={state.home / 'uml'}"]
    words += ["root=/dev/root", "rootfstype=hostfs", f"rootflags={root}", "ro", "init=/bed-init"]
    words += [f"ubd0={home / 'disk.cow'},{disk}", card, "con=null", "con0=null,fd:1", "selinux=0", "quiet"]
    words += [
        f"bed={cache_dir()}",
        f"bed_env={seen(home / 'node.env')}",
        f"bed_init={seen(state.home / 'init/uml.sh')}",
    ]
    return [*words, *kernel.arguments(), *os.environ.get("MOORAGE_UML_ARGS", "").split()]


def start(state: State, node: Node, tools: Path) -> None:
    """Start the router's kube-proxy and the machine, whichever does not run."""
    namespace = state.namespace(node)
    network.connect(node, namespace)
    processes = state.processes
    if processes.find(f"{node.name}-kube-proxy") is None:
        proxy = ["/bin/sh", str(state.home / "init/router.sh"), str(tools / "kube-proxy")]
        config = f"--config={state.node(node) / 'kube-proxy.json'}"
        processes.spawn(f"{node.name}-kube-proxy", router_group(node), network.inside(namespace, [*proxy, config]))
    if processes.find(node.name) is None:
        boot(state, node)


def boot(state: State, node: Node) -> None:
    """Start the machine. What is left of a dying one is ended first: it would still hold the tap and the disk."""
    state.cgroup.kill(group(node))
    shutil.rmtree(state.home / "uml" / node.name, ignore_errors=True)
    (state.home / "uml").mkdir(exist_ok=True)
    kernel, disk = kernel_of(state, node), Path(state.facts()["golden"]) / "disk.ext4"
    words = kernel_arguments(state, node, kernel, ensure_root(), disk, memory_mib(free_memory_mib()))
    argv = network.inside(state.namespace(node), [str(kernel.binary), *words])
    # the memory of the machine is a file there, unlinked at once
    state.processes.spawn(node.name, group(node), argv, env={"TMPDIR": "/dev/shm"})


def power_cut(state: State, node: Node) -> None:
    """Kill all processes of the machine: the main one alone may leave helpers that hold the tap."""
    state.cgroup.kill(group(node))


def execute(state: State, node: Node, argv: Sequence[str], timeout: float, stdin: str = "") -> CompletedProcess[str]:
    """Have the node's agent run a command."""
    asked = {"token": state.token.read_text(), "argv": list(argv), "timeout": timeout, "stdin": stdin}
    try:
        with socket.create_connection((node.address, AGENT_PORT), timeout=10) as link:
            link.settimeout(timeout + 15)
            link.sendall(json.dumps(asked).encode() + b"\n")
            with link.makefile("rb") as stream:
                answer = stream.readline()
    except OSError as error:
        return CompletedProcess(argv, 255, "", f"{node.name} does not answer: {error}\n")
    if not answer:
        return CompletedProcess(argv, 255, "", f"{node.name} hung up\n")
    told = json.loads(answer)
    return CompletedProcess(argv, told["code"], told["stdout"], told["stderr"])
