"""Installing and removing the chart, with the images loaded first."""

from pathlib import Path

from cluster.command import run
from cluster.provider import Cluster
from cluster.toolchain import Toolchain

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "moorage"
NAMESPACE = "moorage"
RELEASE = "moorage"
TIMEOUT = 420


def helm(cluster: Cluster, *args: str, timeout: float = TIMEOUT) -> str:
    """Run Helm on the cluster; what it prints. Raises CommandFailed with its words."""
    argv = [str(Toolchain().tool("helm")), "--kubeconfig", str(cluster.kubeconfig), *args]
    return run(argv, timeout=timeout).stdout


def install(cluster: Cluster, *extra: str) -> str:
    """`helm upgrade --install --wait` with the cluster's own values; Helm's notes."""
    wait = ["--wait", "--timeout", f"{TIMEOUT - 20}s"]
    return helm(
        cluster, "upgrade", "--install", RELEASE, str(CHART), "-n", NAMESPACE, "--create-namespace",
        "--values", str(cluster.values), *wait, *extra,
    )  # fmt: skip


def uninstall(cluster: Cluster) -> str:
    return helm(cluster, "uninstall", RELEASE, "-n", NAMESPACE, "--wait", "--timeout", "180s")
