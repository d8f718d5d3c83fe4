"""The configuration files of a node, as text: kubelet, kube-proxy, containerd, CNI. Written before its boot."""

from __future__ import annotations

import json
from pathlib import Path

from .layout import CONTROL_PLANE, GATEWAY, KIND_LABEL, PAUSE, PODS, SERVICE_DNS, TAP_PREFIX, Node


def kubelet(node: Node, home: str, authority: str, cgroup_root: str | None) -> str:
    """KubeletConfiguration. `home` and `authority` are paths as the node sees them.

    Disk pressure never evicts and images are never collected: the disk is shared with the machine, and an image
    that is gone cannot be pulled again. NeverVerify: else an image that is loaded after a failed pull is pulled
    anyway. A namespace node lives in the machine's control groups, in `cgroup_root`; a uml node has its own.
    """
    config: dict[str, object] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": authority},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{home}/tls.crt",
        "tlsPrivateKeyFile": f"{home}/tls.key",
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "clusterDomain": "cluster.local",
        "clusterDNS": [SERVICE_DNS],
        "resolvConf": f"{home}/resolv.conf",
        "failSwapOn": False,
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
        "evictionHard": {
            "memory.available": "50Mi",
            **dict.fromkeys(("nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"), "0%"),
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 20,
        "volumeStatsAggPeriod": "10s",
        "syncFrequency": "10s",
        # its default place is on the node's read-only root
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    }
    if cgroup_root is not None:
        config |= {"failCgroupV1": False, "cgroupRoot": cgroup_root}
    if node.kind == "namespace":
        config["registerWithTaints"] = [{"key": CONTROL_PLANE, "effect": "NoSchedule"}]
    return json.dumps(config, indent=1)


def kubelet_labels(node: Node) -> str:
    """The labels that the kubelet itself may set (the control-plane one it may not)."""
    return f"{KIND_LABEL}={node.kind}"


def kube_proxy(node: Node, kubeconfig: Path | str) -> str:
    """KubeProxyConfiguration.

    A uml node's kube-proxy runs in the node's router: all that comes out of the tap is the node's own or its pods',
    so it counts as local and keeps its address. With `clusterCIDR` there, the node's own traffic to a service would be
    given the router's address, and a server that admits node addresses only (NFS) would refuse it.
    """
    local: dict[str, object] = {"detectLocalMode": "ClusterCIDR", "clusterCIDR": PODS}
    if node.kind == "uml":
        local = {"detectLocalMode": "InterfaceNamePrefix", "detectLocal": {"interfaceNamePrefix": TAP_PREFIX}}
    config: dict[str, object] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": node.name,
        "bindAddress": node.address if node.kind == "namespace" else "0.0.0.0",  # noqa: S104 - in a namespace of its own
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        # the machine's connection tracking table is not ours to size
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "100ms"},
        **local,
    }
    return json.dumps(config, indent=1)


def containerd(node: Node) -> str:
    """containerd's configuration. On a namespace node it may lack CAP_SYS_RESOURCE, so it must not lower OOM scores."""
    restrict = "true" if node.kind == "namespace" else "false"
    return f"""version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {restrict}
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/opt/cni/bin"]
    conf_dir = "/etc/cni/net.d"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "/usr/sbin/runc"
      SystemdCgroup = false
"""


def cni(node: Node) -> str:
    """A plain routed cable per pod. A uml kernel has no NAT, so it has no host ports either."""
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni-ipam",
        "routes": [{"dst": "0.0.0.0/0"}],
        "ranges": [[{"subnet": node.pods}]],
    }
    plugins: list[dict[str, object]] = [{"type": "ptp", "mtu": 1500, "ipMasq": False, "ipam": ipam}]
    if node.kind == "namespace":
        plugins.append({"type": "portmap", "capabilities": {"portMappings": True}})
    return json.dumps({"cniVersion": "1.0.0", "name": "bed", "plugins": plugins}, indent=1)


def resolv_conf() -> str:
    """An address where nothing listens: a stray image pull fails at once."""
    return f"nameserver {GATEWAY}\n"


def hosts(node: Node) -> str:
    """The node's /etc/hosts."""
    return f"127.0.0.1 localhost\n{node.address} {node.name}\n"


def environment(values: dict[str, str]) -> str:
    """Shell assignments for the init script; only values that need no quoting are let through."""
    for value in values.values():
        if not value.replace("/", "").replace("-", "").replace("_", "").replace(".", "").replace("=", "").isalnum():
            raise ValueError(f"{value!r} cannot stand in a node's environment: move XDG_CACHE_HOME to a plainer path")
    return "".join(f"{name}={value}\n" for name, value in values.items())
