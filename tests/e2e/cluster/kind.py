"""The kind provider: nodes in Docker containers, made through pytest-kind with our own kind, kubectl and node image."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, cast

from .command import run
from .images import ensure_images
from .progress import say, slow
from .provider import Provider
from .state import State
from .toolchain import IN_IMAGES, Toolchain

# The node image that the pinned kind was released with for this Kubernetes (release notes of kind v0.33.0).
NODE_IMAGE = "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed"
WORKERS = 2


class KindCluster(Protocol):
    """What we use of pytest-kind, which has no types of its own."""

    def create(self, config_file: Path) -> None: ...
    def delete(self) -> None: ...


def config() -> dict[str, object]:
    """kind's configuration: one control-plane node and two workers."""
    roles = ["control-plane", *["worker"] * WORKERS]
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": [{"role": role} for role in roles]}


class Kind(Provider):
    """Its containers are called `moorage-NAME-...`."""

    kind = "kind"

    def __init__(self, name: str = "default") -> None:
        super().__init__(name)
        self.state = State(name)
        self.cluster_name = f"moorage-{name}"

    @property
    def kubeconfig(self) -> Path:
        return self.state.kubeconfig

    @property
    def values(self) -> Path | None:
        return Path(__file__).parent / "values-kind.yaml"

    def _cluster(self) -> KindCluster:
        """pytest-kind makes a directory where it stands, and downloads what it is not given: neither may happen."""
        tools = Toolchain()
        self.state.home.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(self.state.home):
            make = cast("Callable[..., KindCluster]", importlib.import_module("pytest_kind").KindCluster)
            return make(self.cluster_name, self.kubeconfig, NODE_IMAGE, tools.tool("kind"), tools.tool("kubectl"))

    def create(self) -> None:
        images = ensure_images(Toolchain().ensure(["kubectl", "helm", "kind", *IN_IMAGES]))
        cluster = self._cluster()
        self.state.note("provider", self.kind)
        file = self.state.home / "kind.json"
        file.write_text(json.dumps(config()))
        with slow("kind create cluster"):
            cluster.create(file)
        known = json.loads(self.state.facts().get("images", "{}"))
        for image in images:
            if known.get(image.ref) != image.key:
                say(f"loading {image.ref}")
                self.load_image(image.archive)
        self.state.note("images", json.dumps({image.ref: image.key for image in images}))
        self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s", timeout=200)

    def delete(self) -> None:
        if not self.state.home.exists():
            return
        self._cluster().delete()
        run(["rm", "-rf", "--", self.state.home])

    def load_image(self, archive: Path) -> None:
        argv = [Toolchain().tool("kind"), "load", "image-archive", archive, "--name", self.cluster_name]
        run(argv, timeout=600)

    def nodes(self) -> list[str]:
        names = [f"{self.cluster_name}-worker{number or ''}" for number in (0, *range(2, WORKERS + 1))]
        return names[:WORKERS]

    def node_exec(self, node: str, argv: Sequence[str], timeout: float = 60.0) -> str:
        return run(["docker", "exec", "--privileged", node, *argv], timeout=timeout).stdout

    def node_tool(self, tool: str) -> str:
        """Copied into every node: a container does not see the machine's cache."""
        target = f"/usr/local/bin/{Path(tool).name}"
        for node in self.nodes():
            run(["docker", "cp", Toolchain().tool(tool), f"{node}:{target}"], timeout=120)
        return target

    def node_power_cut(self, node: str) -> None:
        run(["docker", "kill", node])

    def node_start(self, node: str) -> None:
        run(["docker", "start", node])
