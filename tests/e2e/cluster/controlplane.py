"""etcd, API server, controller manager and scheduler, as plain processes of the machine, listening on the bridge."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, sleep

from .command import CommandFailed, run
from .layout import GATEWAY, SERVICES
from .pki import write_kubeconfig
from .state import State

ETCD = "https://127.0.0.1:24790"
ETCD_PEER = "http://127.0.0.1:24800"
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
GROUP = "control-plane"


class NotReady(RuntimeError):
    """A part of the cluster did not come up in time; the message holds the end of its log."""


def flags(**settings: str | Path | int) -> list[str]:
    """`data_dir="x"` becomes `--data-dir=x`."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


def etcd_flags(state: State) -> list[str]:
    """No fsync: the data ends with the cluster anyway, and the disk is the slowest part of a busy machine."""
    pki = state.pki
    return [
        "--unsafe-no-fsync",
        "--client-cert-auth",
        *flags(name="bed", data_dir=state.home / "etcd", listen_client_urls=ETCD, advertise_client_urls=ETCD),
        *flags(listen_peer_urls=ETCD_PEER, initial_advertise_peer_urls=ETCD_PEER, initial_cluster=f"bed={ETCD_PEER}"),
        *flags(trusted_ca_file=pki / "ca.crt", cert_file=pki / "etcd.crt", key_file=pki / "etcd.key"),
        *flags(log_level="warn"),
    ]


def apiserver_flags(state: State) -> list[str]:
    """RBAC and node authorization; everything is admitted as on a real cluster, except that privileged pods may be."""
    pki = state.pki
    issuer = "https://kubernetes.default.svc.cluster.local"
    return [
        *flags(etcd_servers=ETCD, etcd_cafile=pki / "ca.crt"),
        *flags(etcd_certfile=pki / "etcd.crt", etcd_keyfile=pki / "etcd.key"),
        *flags(advertise_address=GATEWAY, bind_address=GATEWAY, secure_port=6443, service_cluster_ip_range=SERVICES),
        *flags(authorization_mode="Node,RBAC", enable_admission_plugins="NodeRestriction", allow_privileged="true"),
        *flags(client_ca_file=pki / "ca.crt", tls_cert_file=pki / "apiserver.crt"),
        *flags(tls_private_key_file=pki / "apiserver.key", kubelet_certificate_authority=pki / "ca.crt"),
        *flags(kubelet_client_certificate=pki / "kubelet-client.crt", kubelet_client_key=pki / "kubelet-client.key"),
        *flags(kubelet_preferred_address_types="InternalIP", service_account_issuer=issuer),
        *flags(service_account_key_file=pki / "sa.pub", service_account_signing_key_file=pki / "sa.key"),
        *flags(requestheader_client_ca_file=pki / "front-ca.crt", requestheader_allowed_names="front-proxy-client"),
        *flags(requestheader_extra_headers_prefix="X-Remote-Extra-", requestheader_group_headers="X-Remote-Group"),
        *flags(requestheader_username_headers="X-Remote-User", proxy_client_cert_file=pki / "front-proxy.crt"),
        *flags(proxy_client_key_file=pki / "front-proxy.key", enable_aggregator_routing="true", v=1),
    ]


def manager_flags(state: State) -> list[str]:
    """A silent node counts as lost after 20 s, so that a power cut shows soon."""
    pki = state.pki
    return [
        *_client_flags(state, "kube-controller-manager"),
        "--use-service-account-credentials",
        *flags(root_ca_file=pki / "ca.crt", service_account_private_key_file=pki / "sa.key"),
        *flags(cluster_signing_cert_file=pki / "ca.crt", cluster_signing_key_file=pki / "ca.key"),
        *flags(node_monitor_grace_period="20s", node_monitor_period="2s"),
    ]


def _client_flags(state: State, name: str) -> list[str]:
    # They serve nothing (port 0): no fixed port of the machine is taken. Their own limit on requests, meant for large
    # clusters, would hold the start back by four seconds.
    served = flags(secure_port=0, leader_elect="false", kube_api_qps=500, kube_api_burst=1000, v=1)
    return [f"--kubeconfig={state.pki / name}.kubeconfig", *served]


def start_api(state: State, tools: Path) -> None:
    """Start etcd and the API server; returns before they are ready."""
    for user in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        write_kubeconfig(state.pki, user, state.pki / f"{user}.kubeconfig")
    write_kubeconfig(state.pki, "admin", state.kubeconfig)
    state.processes.spawn("etcd", GROUP, [tools / "etcd", *etcd_flags(state)])
    state.processes.spawn("kube-apiserver", GROUP, [tools / "kube-apiserver", *apiserver_flags(state)])


def start_controllers(state: State, tools: Path) -> None:
    """Start the others, once the API server is ready: earlier, they are refused and wait for seconds to try again."""
    manager, scheduler = "kube-controller-manager", "kube-scheduler"
    state.processes.spawn(manager, GROUP, [tools / manager, *manager_flags(state)])
    state.processes.spawn(scheduler, GROUP, [tools / scheduler, *_client_flags(state, scheduler)])


def wait_ready(state: State, tools: Path, wait: float = 60.0) -> None:
    """Until the API server says it is ready; its log's end is in the error if it does not within `wait` seconds."""
    deadline = monotonic() + wait
    while not answers(state, tools):
        for name in ("etcd", "kube-apiserver"):
            if state.processes.find(name) is None:
                raise NotReady(f"{name} ended by itself:\n{state.processes.tail(name)}")
        if monotonic() > deadline:
            raise NotReady(f"the API server is not ready after {wait:.0f} s:\n{state.processes.tail('kube-apiserver')}")
        sleep(0.1)


def answers(state: State, tools: Path) -> bool:
    """Whether the API server is ready now."""
    argv = [tools / "kubectl", f"--kubeconfig={state.kubeconfig}", "--request-timeout=5s", "get", "--raw", "/readyz"]
    try:
        return run(argv, timeout=10, check=False).returncode == 0
    except CommandFailed:
        return False
