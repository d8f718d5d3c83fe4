"""What the tests and the demo need of a cluster, whoever makes it, and the choice of who does."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .command import CommandFailed, run
from .images import Image
from .progress import say
from .state import State
from .toolchain import Toolchain

NAMES = ("kind", "local", "existing")


class Unsupported(RuntimeError):
    """This provider cannot do that; the message says why and which one can."""


class Provider(ABC):
    """A Kubernetes cluster. All paths are the machine's; all waits have an end."""

    kind: str

    def __init__(self, name: str = "default") -> None:
        self.name = name

    @property
    @abstractmethod
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    @property
    @abstractmethod
    def values(self) -> Path | None:
        """Helm values that the chart needs on this cluster, beyond its own."""

    @abstractmethod
    def create(self) -> None:
        """Bring it up, or do nothing if it is up and well. Ready, with the project's images, when this returns."""

    @abstractmethod
    def delete(self) -> None:
        """Leave nothing of it. Works on a half-made or crashed one, and on none at all."""

    @abstractmethod
    def load_image(self, archive: Path) -> None:
        """Put a docker-archive's images into every node."""

    def load_images(self, images: Sequence[Image]) -> None:
        """Have these in every node, beside the project's own."""
        for image in images:
            self.load_image(image.archive)

    @abstractmethod
    def nodes(self) -> list[str]:
        """The nodes that ordinary pods can run on, by name."""

    @abstractmethod
    def node_exec(self, node: str, argv: Sequence[str], timeout: float = 60.0) -> str:
        """Run a command in a node, at most `timeout` seconds; what it prints. Raises CommandFailed (124: too long)."""

    def node_tool(self, tool: str) -> str:
        """The path, inside every node, of a command of the toolchain."""
        raise Unsupported(f"the nodes of provider {self.kind} do not see {tool}")

    def status(self) -> list[str]:
        """Lines that tell how it is."""
        return self.kubectl("get", "nodes", "-o", "wide").splitlines()

    @abstractmethod
    def node_power_cut(self, node: str) -> None:
        """End the node in an instant, as a power cut would: nothing is flushed, unmounted or said goodbye to."""

    @abstractmethod
    def node_start(self, node: str) -> None:
        """Start a node whose power was cut, on the disk it had. It is Ready some time after this returns."""

    def kubectl_argv(self) -> list[str]:
        """How to call a kubectl that fits, as the administrator."""
        return [str(Toolchain().tool("kubectl")), f"--kubeconfig={self.kubeconfig}"]

    def kubectl(self, *args: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        """Run kubectl and return what it prints; CommandFailed has its words if it fails."""
        return run([*self.kubectl_argv(), *args], stdin=stdin, timeout=timeout).stdout


@dataclass(frozen=True)
class Choice:
    """A provider's name, and why it is that one."""

    provider: str
    reason: str


def weigh(env: Mapping[str, str], docker: str | None, image: str | None) -> Choice:
    """Which provider: what CLUSTER says; else kind if Docker and the node image are there; else local.

    `docker` and `image` are None if there is no hindrance, else a sentence that says what hinders.
    """
    if wanted := env.get("CLUSTER"):
        if wanted not in NAMES:
            raise ValueError(f"CLUSTER={wanted} is none of {', '.join(NAMES)}")
        return Choice(wanted, f"CLUSTER={wanted} says so")
    if docker is not None:
        return Choice("local", docker)
    if image is not None:
        return Choice("local", image)
    return Choice("kind", "a Docker engine answers and has the node image")


def docker_hindrance() -> str | None:
    """Why Docker cannot be used; None if it can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    try:
        run(["docker", "info", "--format", "{{.ServerVersion}}"], timeout=10)
    except CommandFailed:
        return "no Docker engine answers"
    return None


def image_hindrance(image: str) -> str | None:
    """Why the image cannot be used; None if it is here or was pulled."""
    if run(["docker", "image", "inspect", image], timeout=20, check=False).returncode == 0:
        return None
    try:
        run(["docker", "pull", "--quiet", image], timeout=600)
    except CommandFailed:
        return f"Docker answers, but the node image {image.partition('@')[0]} cannot be pulled"
    return None


def decide(name: str) -> Choice:
    """The provider for the cluster `name`: the one that made it if it exists, else as `weigh` says."""
    made_by = State(name).facts().get("provider")
    if made_by and "CLUSTER" not in os.environ:
        return Choice(made_by, "it made the cluster that is there")
    if os.environ.get("CLUSTER"):
        return weigh(os.environ, None, None)
    from .kind import NODE_IMAGE

    docker = docker_hindrance()
    return weigh(os.environ, docker, None if docker else image_hindrance(NODE_IMAGE))


def choose(name: str = "default") -> Provider:
    """The provider for the cluster `name`; says which and why. Nothing is started."""
    choice = decide(name)
    say(f"cluster provider: {choice.provider} ({choice.reason})")
    if choice.provider == "kind":
        from .kind import Kind

        return Kind(name)
    if choice.provider == "existing":
        from .existing import Existing

        return Existing(name)
    from .local import Local

    return Local(name)
