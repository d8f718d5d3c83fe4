"""The local cluster on paper: its nodes, their names and addresses. Nothing here touches the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KUBERNETES = "v1.36.3"
BRIDGE = "mo0"
GATEWAY = "10.88.0.1"  # the machine itself on the bridge; the API server listens here
API_SERVER = f"https://{GATEWAY}:6443"
PODS = "10.188.0.0/16"
SERVICES = "10.189.0.0/16"
SERVICE_API = "10.189.0.1"
SERVICE_DNS = "10.189.0.10"
PAUSE = "registry.k8s.io/pause:3.10.1"
# Between a user-mode-linux machine and its router: a link-local next hop, so the node's own address needs no subnet.
TAP_GATEWAY = "169.254.1.1"
TAP_PREFIX = "mot"
FILER_ADDRESS = "10.88.0.9"  # a kernel NFS server that tests start when they need one, on the bridge itself
FILER_TAP = "motfiler"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
KIND_LABEL = "moorage.dev/bed-node"  # its values: namespace, uml


@dataclass(frozen=True)
class Node:
    """One node. A `namespace` node shares the machine's kernel; a `uml` node is a machine of its own."""

    index: int
    kind: Literal["namespace", "uml"]

    @property
    def name(self) -> str:
        """Its name in Kubernetes."""
        return f"node{self.index}"

    @property
    def address(self) -> str:
        """Its InternalIP."""
        return f"10.88.0.{10 + self.index}"

    @property
    def router(self) -> str:
        """The address, on the bridge, of the network namespace that routes for a uml node."""
        return f"10.88.0.{110 + self.index}"

    @property
    def pods(self) -> str:
        """The addresses of its pods."""
        return f"10.188.{self.index}.0/24"

    @property
    def veth(self) -> str:
        """The bridge's end of its cable."""
        return f"mov{self.index}"

    @property
    def tap(self) -> str:
        """The router's end of a uml node's cable."""
        return f"{TAP_PREFIX}{self.index}"

    @property
    def mac(self) -> str:
        """The hardware address of a uml node's card (locally administered)."""
        return f"02:00:58:00:00:{self.index:02x}"


# node1 carries the servers and the cluster's own pods; what mounts volumes runs on the other two.
NODES = (Node(1, "namespace"), Node(2, "uml"), Node(3, "uml"))


def node_named(name: str) -> Node:
    """The node of that name; ValueError names the ones there are."""
    for node in NODES:
        if node.name == name:
            return node
    raise ValueError(f"no node {name!r}; there are {', '.join(node.name for node in NODES)}")
