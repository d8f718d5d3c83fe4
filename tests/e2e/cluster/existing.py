"""The existing provider: a cluster that is there already, by its kubeconfig. It is used, never made or removed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .images import Image
from .progress import say
from .provider import Provider, Unsupported


class Existing(Provider):
    """`KUBECONFIG` names it (default `~/.kube/config`); `VALUES` may name a Helm values file for it."""

    kind = "existing"

    @property
    def kubeconfig(self) -> Path:
        return Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube/config")

    @property
    def values(self) -> Path | None:
        return Path(os.environ["VALUES"]) if os.environ.get("VALUES") else None

    def create(self) -> None:
        """Only look whether it answers."""
        if not self.kubeconfig.is_file():
            raise Unsupported(f"there is no kubeconfig {self.kubeconfig}: set KUBECONFIG to your cluster's")
        self.kubectl("get", "--raw", "/readyz")

    def delete(self) -> None:
        """It is not ours to remove."""
        say(f"the cluster of {self.kubeconfig} was there before and stays")

    def load_image(self, archive: Path) -> None:
        raise Unsupported(f"push {archive.name} to a registry that the cluster pulls from: its nodes are out of reach")

    def load_images(self, images: Sequence[Image]) -> None:
        """They bear the names of a public registry, from which its nodes can pull."""

    def nodes(self) -> list[str]:
        lines = self.kubectl(
            "get", "nodes", "-o", 'jsonpath={range .items[*]}{.metadata.name}{" "}{.spec.taints}{"\\n"}{end}'
        )
        return [name for name, _, taints in (line.partition(" ") for line in lines.splitlines()) if name and not taints]

    def node_exec(self, node: str, argv: Sequence[str], timeout: float = 60.0) -> str:
        raise Unsupported("commands in nodes: only with CLUSTER=local or CLUSTER=kind")

    def node_power_cut(self, node: str) -> None:
        raise Unsupported("power cuts: only with CLUSTER=local or CLUSTER=kind")

    def node_start(self, node: str) -> None:
        raise Unsupported("power cuts: only with CLUSTER=local or CLUSTER=kind")
