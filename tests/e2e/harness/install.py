"""Installing and removing the chart; a failed install says which pods are not ready, and why."""

import json
from pathlib import Path

from cluster.command import CommandFailed, run
from cluster.provider import Provider
from cluster.toolchain import Toolchain
from harness.snapshotter import ensure_snapshotter

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "moorage"
NAMESPACE = "moorage"
RELEASE = "moorage"
WAIT = 180  # seconds; installs take 10 to 20 here


class NotInstalled(RuntimeError):
    """Helm gave up; the message holds what the pods say."""


def helm(cluster: Provider, *args: str, timeout: float = WAIT + 30) -> str:
    """Run Helm on the cluster; what it prints. Raises CommandFailed with its words."""
    argv = [str(Toolchain().tool("helm")), "--kubeconfig", str(cluster.kubeconfig), *args]
    return run(argv, timeout=timeout).stdout


def install(cluster: Provider, *extra: str) -> str:
    """`helm upgrade --install --wait` with the cluster's own values; Helm's notes. Snapshots' part goes first."""
    ensure_snapshotter(cluster)
    values = ["--values", str(cluster.values)] if cluster.values else []
    wanted = [RELEASE, str(CHART), "-n", NAMESPACE, "--create-namespace", *values]
    try:
        return helm(cluster, "upgrade", "--install", *wanted, "--wait", "--timeout", f"{WAIT}s", *extra)
    except CommandFailed as error:
        raise NotInstalled(f"{error}\n{unready(cluster)}") from error


def uninstall(cluster: Provider) -> str:
    return helm(cluster, "uninstall", RELEASE, "-n", NAMESPACE, "--wait", "--timeout", f"{WAIT}s")


def unready(cluster: Provider) -> str:
    """The pods of the release that are not ready, with the end of their logs."""
    told: list[str] = []
    for pod in json.loads(cluster.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))["items"]:
        states = pod["status"].get("containerStatuses", [])
        if states and all(state["ready"] for state in states):
            continue
        name = pod["metadata"]["name"]
        told.append(f"{name}: {json.dumps([state['state'] for state in states]) or pod['status']['phase']}")
        try:
            told.append(cluster.kubectl("logs", "-n", NAMESPACE, name, "--all-containers", "--tail=15"))
        except CommandFailed as error:
            told.append(str(error))
    return "\n".join(told)
