"""The local provider: a whole cluster of plain processes, one namespace node and two user-mode-linux nodes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from time import monotonic, sleep, time

from . import controlplane, disks, dns, host, machine, network, pki, remains, umlnode
from .cache import locked
from .command import CommandFailed
from .golden import ensure_golden
from .images import Image, ensure_images, ensure_project_images
from .layout import CONTROL_PLANE, NODES, Node, node_named
from .progress import say
from .provider import Provider
from .state import State, seen
from .stock import Stock, at_once
from .toolchain import Toolchain
from .umlkernel import ensure_kernel, ensure_stable_kernel
from .umlroot import ensure_root

HERE = Path(__file__).parent


class Local(Provider):
    """One such cluster can run on a machine at a time."""

    kind = "local"

    def __init__(self, name: str = "default") -> None:
        super().__init__(name)
        self.state = State(name)
        self.stock = Stock(self.state, self._import)

    @property
    def kubeconfig(self) -> Path:
        return self.state.kubeconfig

    @property
    def values(self) -> Path | None:
        return HERE / "values-local.yaml"

    def nodes(self) -> list[str]:
        return [node.name for node in NODES if node.kind == "uml"]

    def create(self) -> None:
        host.require_root()
        with locked(self.state.lock):
            tools, images = self._prepare()
            if self._is_up(tools):
                self._mend(tools)
                self.stock.renew(images)
                say("the cluster is up already")
                return
            remains.clear(self.state)
            self._start(tools, images)
            self.state.note("complete", "yes")
        say(f"the cluster is ready: export KUBECONFIG={self.kubeconfig}")

    def delete(self) -> None:
        with locked(self.state.lock, wait=120):
            remains.clear(self.state)
        self.state.lock.unlink(missing_ok=True)

    def _prepare(self) -> tuple[Path, list[Image]]:
        """All that is kept in the cache: commands, images, root directory, kernel. What can be made side by side is."""
        host.ensure_packages()
        host.load_modules("overlay", "veth", "tun", "loop", "xfs", "nf_tables")
        with ThreadPoolExecutor(3) as pool:
            fetched = [pool.submit(job) for job in (ensure_root, ensure_kernel, ensure_project_images)]
            tools = Toolchain().ensure()
            for job in fetched:
                job.result()
        return tools, ensure_images(tools)

    def _is_up(self, tools: Path) -> bool:
        """Whether it was started to the end and its control plane answers; a node may be down."""
        running = all(self.state.processes.find(name) is not None for name in controlplane.NAMES)
        return running and "complete" in self.state.facts() and controlplane.answers(self.state, tools)

    def _mend(self, tools: Path) -> None:
        """Start the nodes whose power was cut, and wait for those that are not Ready."""
        begin = time()
        dead = [node for node in NODES if self.state.processes.find(node.name) is None]
        for node in dead:
            say(f"starting {node.name}, which does not run")
            machine.start(self.state, node, tools)
        self._wait_nodes(dead, begin)  # the API still shows them as they last were
        self._wait_nodes(self._unready())

    def _start(self, tools: Path, images: Sequence[Image]) -> None:
        golden = ensure_golden(images, tools)
        state = self.state
        for key, value in {"provider": self.kind, "tools": str(tools), "golden": str(golden)}.items():
            state.note(key, value)
        self.stock.begin(golden)
        umlnode.choose_kernel(state)
        host.save_and_tune(state.sysctls)
        pki.ensure(state.pki)
        network.raise_bridge(state.home)
        controlplane.start_api(state, tools)
        shutil.copytree(HERE / "init", state.home / "init", dirs_exist_ok=True)
        at_once(lambda node: machine.prepare(state, node, tools, golden))
        controlplane.wait_ready(state, tools)
        controlplane.start_controllers(state, tools)
        say("API server ready")
        for node in NODES:
            machine.start(state, node, tools)
        self.kubectl("apply", "--server-side", "-f", "-", stdin=dns.manifest())
        self._wait_nodes(NODES)
        self.kubectl("rollout", "status", "-n", dns.NAMESPACE, "deployment/coredns", "--timeout=60s")
        say("name service ready")
        self.stock.renew(images)  # the store may be a little older than the images

    def _unready(self, since: float = 0.0) -> list[Node]:
        """The nodes that did not say since then (seconds of the epoch) that they are ready."""
        try:
            found = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        except CommandFailed:
            return list(NODES)
        ready = {
            item["metadata"]["name"]
            for item in found
            for condition in item["status"].get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True" and heard(condition) >= int(since)
        }
        return [node for node in NODES if node.name not in ready]

    def _wait_nodes(self, nodes: Sequence[Node], since: float = 0.0, wait: float = 180.0) -> None:
        deadline, missing = monotonic() + wait, list(nodes)
        while missing:
            left = self._unready(since)
            for node in missing:
                if node not in left:
                    self._welcome(node)
            missing = [node for node in missing if node in left]
            if missing and monotonic() > deadline:
                logs = [f"{node.name}:\n{self.state.processes.tail(node.name)}" for node in missing]
                raise controlplane.NotReady(
                    f"not Ready after {wait:.0f} s; see {self.state.home}/nodes\n" + "\n".join(logs)
                )
            sleep(0.2)

    def _welcome(self, node: Node) -> None:
        if node.kind == "namespace":  # the kubelet itself may not set this label
            self.kubectl("label", "node", node.name, f"{CONTROL_PLANE}=", "--overwrite")
        say(f"{node.name} ({node.kind}) Ready")

    def load_image(self, archive: Path) -> None:
        self.stock.load(archive)

    def load_images(self, images: Sequence[Image]) -> None:
        with locked(self.state.lock):
            self.stock.renew(images)

    def _import(self, node: Node, file: Path) -> None:
        argv = [self.node_tool("ctr"), "--namespace", "k8s.io", "images", "import", str(seen(file))]
        self.node_exec(node.name, argv, timeout=600)
        # containerd does not sync what it unpacks: after a power cut the node would have an image of empty files
        self.node_exec(node.name, ["sync"], timeout=120)

    def node_tool(self, tool: str) -> str:
        return str(seen(Toolchain().tool(tool)))

    def node_exec(self, node: str, argv: Sequence[str], timeout: float = 60.0) -> str:
        done = self.node_run(node, argv, timeout)
        if done.returncode != 0:
            raise CommandFailed([node, *argv], done.returncode, done.stdout, done.stderr)
        return done.stdout

    def node_run(self, node: str, argv: Sequence[str], timeout: float) -> CompletedProcess[str]:
        """As `node_exec`, but a failure is an answer too."""
        return machine.execute(self.state, node_named(node), argv, timeout)

    def node_power_cut(self, node: str) -> None:
        machine.power_cut(self.state, node_named(node))

    def node_start(self, node: str) -> None:
        machine.start(self.state, node_named(node), Path(self.state.facts()["tools"]))

    def disk(self, name: str, size: int) -> None:
        """Make a disk of `size` bytes that can move between nodes, an XFS on it. One that is there stays as it is."""
        disks.make(self.state, name, size)

    def remove_disk(self, name: str) -> None:
        """Throw a disk away that no node has."""
        disks.remove(self.state, name)

    def attach_disk(self, node: str, name: str) -> str:
        """Give the disk to a running node; its device there. DiskInUse names another node that has it."""
        return disks.attach(self.state, node_named(node), name)

    def detach_disk(self, node: str, name: str) -> None:
        """Take the disk from a node that has unmounted it. A node whose power was cut has lost its disks already."""
        disks.detach(self.state, node_named(node), name)

    def node_return(self, node: str) -> None:
        """Start a node whose power was cut; wait until it is Ready (for a while the API shows it as it last was)."""
        begin = time()
        self.node_start(node)
        self._wait_nodes([node_named(node)], begin)

    def node_kernel(self, node: str, old: bool) -> None:
        """Cut the power of a user-mode-linux node and start it with the stable package's kernel, or the usual one."""
        where, tools = node_named(node), Path(self.state.facts()["tools"])
        self.node_power_cut(node)
        umlnode.choose_kernel(self.state, ensure_stable_kernel() if old else ensure_kernel(), where)
        umlnode.write_environment(self.state, where, tools)
        self.node_return(node)

    def status(self) -> list[str]:
        running = {name: self.state.processes.find(name) for name in (*controlplane.NAMES, *(n.name for n in NODES))}
        lines = [f"{name:24} {f'pid {who.pid}' if who else 'not running'}" for name, who in running.items()]
        return lines if not all(running.values()) else [*lines, *super().status()]


def heard(condition: Mapping[str, str]) -> float:
    """When a node last reported a condition, in seconds of the epoch."""
    return datetime.fromisoformat(condition["lastHeartbeatTime"]).timestamp()


def leftovers(name: str = "default") -> list[str]:
    """What of the cluster is still on this machine, one line each; empty after `delete`."""
    return remains.find(State(name))
