"""The directory of one running cluster, and who lives where in it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from .cache import cache_dir, cluster_dir, digest
from .cgroup import Cgroup
from .layout import Node
from .process import Processes

# Where every node sees the cache directory, whatever its path on the machine.
SEEN = Path("/run/bed")


def seen(path: Path) -> Path:
    """The path under which a node sees a file of the cache directory."""
    return SEEN / path.relative_to(cache_dir())


@dataclass(frozen=True)
class State:
    """Paths of the cluster `name`."""

    name: str

    @property
    def home(self) -> Path:
        """All of it."""
        return cluster_dir(self.name)

    @property
    def lock(self) -> Path:
        """Held by `up` and `down`; outside the directory, which goes away."""
        return self.home.with_name(f".{self.name}.lock")

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.home / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, whole in one file."""
        return self.home / "kubeconfig"

    @property
    def netns(self) -> Path:
        """Mount points of the network namespaces."""
        return self.home / "netns"

    @property
    def load(self) -> Path:
        """Image archives on their way into the nodes."""
        return self.home / "load"

    @property
    def sysctls(self) -> Path:
        """The machine's settings before us."""
        return self.home / "sysctl.json"

    @property
    def token(self) -> Path:
        """What the nodes' exec agent wants to hear."""
        return self.home / "agent.token"

    def node(self, node: Node) -> Path:
        """Configuration, disk and logs of a node."""
        return self.home / "nodes" / node.name

    def namespace(self, node: Node) -> Path:
        """The network namespace of a node (of its router, if it is a uml node)."""
        return self.netns / node.name

    @property
    def cgroup(self) -> Cgroup:
        """All processes of the cluster; the name tells clusters of other cache directories apart."""
        return Cgroup(f"moorage-{self.name}-{digest([str(self.home)])[:6]}")

    @property
    def processes(self) -> Processes:
        """The recorded processes."""
        return Processes(self.home / "pids", self.home / "logs", self.cgroup)

    def note(self, key: str, value: str) -> None:
        """Remember a fact about this cluster (which provider made it, which golden disk it stands on)."""
        facts = self.facts()
        facts[key] = value
        self.home.mkdir(parents=True, exist_ok=True)
        draft = self.home / "facts.tmp"
        draft.write_text(json.dumps(facts))
        os.replace(draft, self.home / "facts.json")

    def facts(self) -> dict[str, str]:
        """What was noted; empty when there is no cluster."""
        try:
            return dict(json.loads((self.home / "facts.json").read_text()))
        except (OSError, ValueError):
            return {}
