"""A Kubernetes control plane without kubelets on loopback, in a temporary directory: kwok plays the nodes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import requests
import yaml

from cluster.command import run
from cluster.toolchain import Source, Toolchain
from harness.ports import free_ports

KWOK = Path(__file__).resolve().parents[1] / "kwok"
OPERATOR = "system:serviceaccount:moorage:moorage-operator"
AGENT = "system:serviceaccount:moorage:moorage-nfs"
DEADLINE = 120.0  # seconds for each part of the start
STAGES = ("node/fast", "node/heartbeat-with-lease", "pod/fast")
# Milliseconds between two statuses of a node: 5 minutes in the mean, as of a kubelet, and not all nodes in one second.
REPORT = (60_000, 540_000)
LEASE = 40  # seconds, as a kubelet's; renewed every quarter of it
# Masters skip the API server's queues, as the parts of a real control plane nearly do; what is measured does not.
USERS: Mapping[str, str] = {
    "admin": "system:masters",
    "system:kube-controller-manager": "system:masters",
    "system:kube-scheduler": "system:masters",
    "kwok": "system:masters",
    OPERATOR: "system:serviceaccounts",
    AGENT: "system:serviceaccounts",
}
POLICY = f"""
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - {{level: Metadata, users: ["{OPERATOR}"]}}
  - {{level: None}}
"""


def flags(**settings: object) -> list[str]:
    """`data_dir="x"` becomes `--data-dir=x`."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


class Plane:
    """etcd, API server, controller manager, scheduler, kwok. A context manager: all of it goes at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.home = Path(tempfile.mkdtemp(prefix="moorage-scale-"))
        self._stack.callback(shutil.rmtree, self.home, ignore_errors=True)
        self.tokens = {user: os.urandom(16).hex() for user in USERS}
        self._secure, self._client, self._peer = free_ports(3)
        self.url = f"https://127.0.0.1:{self._secure}"
        self.certificate = self.home / "certificates" / "apiserver.crt"
        self.audit = self.home / "audit.jsonl"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def spawn(
        self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process that ends with this one, even by a crash (pdeathsig); its words go to `name`.log."""
        with (self.home / f"{name}.log").open("ab") as out:
            command = ["setpriv", "--pdeathsig", "KILL", "--", *(str(word) for word in argv)]
            process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(env or {})})
        self._stack.callback(stop, process)
        self._running[name] = process
        return process

    def kubeconfig(self, user: str) -> Path:
        """A kubeconfig file of a user, readable by us alone."""
        file = self.home / f"{user.replace(':', '-')}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        whole = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "scale", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "scale", "context": {"cluster": "scale", "user": user}}],
            "current-context": "scale",
        }
        file.touch(0o600)
        file.write_text(json.dumps(whole))
        return file

    def call(self, verb: str, path: str, body: Any = None) -> requests.Response:
        """As the administrator."""
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        return requests.request(
            verb, self.url + path, json=body, headers=headers, verify=str(self.certificate), timeout=30
        )

    def until(self, done: Callable[[], bool], complaint: str) -> None:
        """Raises TimeoutError with the ends of the logs."""
        end = time.monotonic() + DEADLINE
        while not done():
            self.check()
            if time.monotonic() > end:
                raise TimeoutError(f"{complaint} after {DEADLINE:.0f} s:\n{self.logs()}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raises RuntimeError when a part of it has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}:\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(f"== {each.name}\n{each.read_text()[-2000:]}" for each in sorted(self.home.glob("*.log")))

    def _start(self) -> None:
        tools = Toolchain().ensure(["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"])
        kwok = Toolchain(KWOK, {"kwok": Source("sigs.k8s.io/kwok/cmd/kwok")}).tool("kwok")
        self._start_api(tools)
        for name in ("kube-controller-manager", "kube-scheduler"):
            common = flags(kubeconfig=self.kubeconfig(f"system:{name}"), secure_port=0, leader_elect="false")
            more = self._manager_flags() if name == "kube-controller-manager" else []
            # their own limits on requests would be all that is measured
            self.spawn(name, [tools / name, *common, *more, *flags(kube_api_qps=1000, kube_api_burst=2000)])
        self.spawn("kwok", [kwok, "--manage-all-nodes", *self._kwok_flags()])

    def _start_api(self, tools: Path) -> None:
        store, peers = f"http://127.0.0.1:{self._client}", f"http://127.0.0.1:{self._peer}"
        addresses = flags(listen_client_urls=store, advertise_client_urls=store, listen_peer_urls=peers)
        cluster = flags(initial_advertise_peer_urls=peers, initial_cluster=f"default={peers}")
        etcd = [tools / "etcd", "--unsafe-no-fsync", *flags(data_dir=self.home / "etcd", log_level="warn")]
        self.spawn("etcd", [*etcd, *addresses, *cluster, *flags(quota_backend_bytes=4 * 2**30)])
        lines = (f'{self.tokens[user]},{user},{user},"{group}"' for user, group in USERS.items())
        tokens = self.home / "tokens.csv"
        tokens.touch(0o600)
        tokens.write_text("\n".join(lines) + "\n")
        key = self.home / "accounts.key"
        run(["openssl", "genrsa", "-out", key, "2048"])
        (self.home / "policy.yaml").write_text(POLICY)
        self.spawn("kube-apiserver", [tools / "kube-apiserver", *self._api_flags(store, tokens, key)])
        self.until(self._ready, "kube-apiserver is not ready")

    def _api_flags(self, store: str, tokens: Path, key: Path) -> list[str]:
        return [
            *flags(etcd_servers=store, bind_address="127.0.0.1", secure_port=self._secure),
            *flags(cert_dir=self.home / "certificates", token_auth_file=tokens, authorization_mode="Node,RBAC"),
            *flags(service_cluster_ip_range="10.0.0.0/24", allow_privileged="true"),
            *flags(service_account_issuer="https://kubernetes.default.svc", service_account_key_file=key),
            *flags(service_account_signing_key_file=key),
            *flags(audit_policy_file=self.home / "policy.yaml", audit_log_path=self.audit),
        ]

    def _manager_flags(self) -> list[str]:
        return flags(service_account_private_key_file=self.home / "accounts.key")

    def _kwok_flags(self) -> list[str]:
        stages = self.home / "stages.yaml"  # in the place of the user's own settings
        stages.write_text(yaml.safe_dump_all(_stages()))
        return flags(kubeconfig=self.kubeconfig("kwok"), config=stages, node_lease_duration_seconds=LEASE, v="ERROR")

    def _ready(self) -> bool:
        try:
            return self.call("GET", "/readyz").ok
        except OSError:  # not listening yet, or its certificate is not there yet
            return False


def _stages() -> list[dict[str, Any]]:
    """What kwok's nodes and pods do, as its authors ship it; but node statuses are written as often as by kubelets."""
    listed = run(["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"], cwd=KWOK, timeout=60)
    home = Path(listed.stdout.strip()) / "kustomize" / "stage"
    files = [file for part in STAGES for file in sorted((home / part).glob("*.yaml"))]
    stages = [stage for file in files for stage in yaml.safe_load_all(file.read_text()) if stage["kind"] == "Stage"]
    for each in stages:
        if each["metadata"]["name"] == "node-heartbeat-with-lease":
            each["spec"]["delay"] = dict(
                zip(("durationMilliseconds", "jitterDurationMilliseconds"), REPORT, strict=True)
            )
    return stages


def stop(process: subprocess.Popen[bytes], grace: float = 10.0) -> None:
    """End that very process and wait for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(grace)
