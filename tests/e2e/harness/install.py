"""Installing and removing the chart, with the images loaded first."""

import subprocess
from pathlib import Path

from cluster.provider import Provider
from cluster.toolchain import Toolchain

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "moorage"
NAMESPACE = "moorage"
RELEASE = "moorage"
TIMEOUT = 420


def helm(provider: Provider, *args: str, timeout: float = TIMEOUT) -> str:
    """Run Helm on the provider's cluster; what it prints. Raises CalledProcessError with its output."""
    argv = [str(Toolchain().tool("helm")), "--kubeconfig", str(provider.kubeconfig), *args]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=timeout).stdout


def install(provider: Provider, *extra: str) -> str:
    """`helm upgrade --install --wait` with the provider's own values; Helm's notes."""
    values = ["--values", str(provider.values)] if provider.values else []
    wait = ["--wait", "--timeout", f"{TIMEOUT - 20}s"]
    return helm(
        provider, "upgrade", "--install", RELEASE, str(CHART), "-n", NAMESPACE, "--create-namespace",
        *values, *wait, *extra,
    )  # fmt: skip


def uninstall(provider: Provider) -> str:
    return helm(provider, "uninstall", RELEASE, "-n", NAMESPACE, "--wait", "--timeout", "180s")
