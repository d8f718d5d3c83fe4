"""Installing and removing the chart, with the images loaded first."""

from pathlib import Path

from cluster.command import run
from cluster.provider import Provider
from cluster.toolchain import Toolchain

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "moorage"
NAMESPACE = "moorage"
RELEASE = "moorage"
TIMEOUT = 420


def helm(cluster: Provider, *args: str, timeout: float = TIMEOUT) -> str:
    """Run Helm on the cluster; what it prints. Raises CommandFailed with its words."""
    argv = [str(Toolchain().tool("helm")), "--kubeconfig", str(cluster.kubeconfig), *args]
    return run(argv, timeout=timeout).stdout


def install(cluster: Provider, *extra: str) -> str:
    """`helm upgrade --install --wait` with the cluster's own values; Helm's notes."""
    values = ["--values", str(cluster.values)] if cluster.values else []
    wait = ["--wait", "--timeout", f"{TIMEOUT - 20}s"]
    return helm(
        cluster, "upgrade", "--install", RELEASE, str(CHART), "-n", NAMESPACE, "--create-namespace",
        *values, *wait, *extra,
    )  # fmt: skip


def uninstall(cluster: Provider) -> str:
    return helm(cluster, "uninstall", RELEASE, "-n", NAMESPACE, "--wait", "--timeout", "180s")
