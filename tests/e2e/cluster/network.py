"""The cables of the local cluster: one bridge, a network namespace per node, a tap per user-mode-linux machine."""

from __future__ import annotations

import os
from pathlib import Path

from .command import CommandFailed, run
from .layout import BRIDGE, FILER_TAP, GATEWAY, NODES, SERVICES, TAP_GATEWAY, Node

LINKS = Path("/sys/class/net")


class BridgeTaken(RuntimeError):
    """Another local cluster runs on this machine."""


def bridge_owner() -> str | None:
    """The cluster directory that the bridge belongs to; "" for a bridge without a note, None for no bridge."""
    note = LINKS / BRIDGE / "ifalias"
    return note.read_text().strip() if note.exists() else None


def raise_bridge(owner: Path) -> None:
    """Make the bridge with the machine's address on it; it is marked with its owner, and another's is refused."""
    now = bridge_owner()
    if now is not None and now not in ("", str(owner)):
        raise BridgeTaken(f"the bridge {BRIDGE} belongs to the cluster in {now}: take that one down first")
    if now is None:
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "link", "set", BRIDGE, "alias", str(owner)])
    _batch([f"addr replace {GATEWAY}/24 dev {BRIDGE}", f"link set {BRIDGE} up"])


def make_namespace(file: Path) -> None:
    """A network namespace held by a bind mount on `file` (not under /run/netns: nothing outside our directory)."""
    if is_mount(file):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    run(["unshare", f"--net={file}", "true"])


def is_mount(path: Path) -> bool:
    """Whether something is mounted on `path` in our own mount namespace."""
    return str(path) in mount_points()


def mount_points() -> list[str]:
    """Every mount point, in the order of mounting, blanks in them decoded (proc(5))."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4].encode().decode("unicode_escape") for line in lines]


def inside(namespace: Path, argv: list[str]) -> list[str]:
    """`argv` as run within the network namespace."""
    return ["nsenter", f"--net={namespace}", *argv]


def connect(node: Node, namespace: Path) -> None:
    """Cable the node to the bridge and set its routes; the machine gets a route to its pods."""
    make_namespace(namespace)
    if not (LINKS / node.veth).exists():
        argv = ["ip", "link", "add", node.veth, "type", "veth", "peer", "name", "eth0", "netns", str(namespace)]
        run(argv)
        run(["ip", "link", "set", node.veth, "master", BRIDGE, "up"])
        run(inside(namespace, ["sysctl", "-qw", *sysctls(node)]))
        _batch(_ns_lines(node) if node.kind == "namespace" else _router_lines(node), namespace)
        if node.kind == "uml":
            run(inside(namespace, ["nft", "-f", "-"]), stdin=hairpin(node))
    routes = [f"route replace {node.pods} via {node.address}"]
    if node.kind == "namespace":  # the machine itself reaches services through this node's kube-proxy
        routes.append(f"route replace {SERVICES} via {node.address}")
    _batch(routes)


def sysctls(node: Node) -> list[str]:
    """Settings of the node's network namespace; a router answers for the machine behind it at once (proxy ARP)."""
    common = ["net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"]
    if node.kind == "namespace":
        return common
    return [*common, "net.ipv4.conf.eth0.proxy_arp=1", "net.ipv4.neigh.eth0.proxy_delay=0"]


def _others(node: Node) -> list[str]:
    return [f"route add {other.pods} via {other.address}" for other in NODES if other != node]


def _ns_lines(node: Node) -> list[str]:
    start = ["link set lo up", f"addr add {node.address}/24 dev eth0", "link set eth0 up"]
    return [*start, f"route add default via {GATEWAY}", *_others(node)]


def _router_lines(node: Node) -> list[str]:
    return [
        f"tuntap add {node.tap} mode tap",
        "link set lo up",
        f"addr add {node.router}/24 dev eth0",
        "link set eth0 up",
        f"addr add {TAP_GATEWAY}/32 dev {node.tap}",
        f"link set {node.tap} up",
        f"route add {node.address}/32 dev {node.tap}",
        f"route add {node.pods} via {node.address} dev {node.tap} onlink",
        f"route add default via {GATEWAY}",
        *_others(node),
    ]


def hairpin(node: Node) -> str:
    """nftables rules of a router: who asks a service and is given a pod on its own node must answer through us.

    The service's address is translated here, outside the node; without this the pod would answer its neighbour
    directly, from an address that the neighbour never called.
    """
    return f"""table ip moorage {{
  chain hairpin {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{node.tap}" ct status dnat ip saddr {{ {node.address}, {node.pods} }} masquerade
  }}
}}
"""


def _batch(lines: list[str], namespace: Path | None = None) -> None:
    argv = ["ip", "-batch", "-"]
    run(argv if namespace is None else inside(namespace, argv), stdin="\n".join(lines) + "\n")


def tear_down(owner: Path, namespaces: Path) -> None:
    """Remove what belongs to `owner`: namespaces (with the taps in them), cables, the bridge, and so all routes."""
    points = [point for point in mount_points() if point.startswith(f"{namespaces}{os.sep}")]
    for point in reversed(points):
        run(["umount", "--lazy", point])
    if bridge_owner() not in ("", str(owner)):
        return
    for name in [*(node.veth for node in NODES), FILER_TAP, BRIDGE]:
        if (LINKS / name).exists():
            try:
                run(["ip", "link", "del", name])
            except CommandFailed:  # its other end went with the namespace in this very moment
                if (LINKS / name).exists():
                    raise
