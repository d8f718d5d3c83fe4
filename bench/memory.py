"""Resident memory of every process of ours, from /proc in its own container."""

from bench.record import Figures
from harness.install import NAMESPACE
from harness.kube import Kube

SCRIPT = 'for f in /proc/[0-9]*/status; do awk \'/^(Name|VmRSS)/{printf "%s ", $2} END{print ""}\' $f; done'


def resident(kube: Kube, namespace: str) -> Figures:
    """MiB per process name, one container of each component."""
    rows: Figures = {}
    seen: set[str] = set()
    for each in kube.items("pods", NAMESPACE):
        component = each["metadata"]["labels"].get("app.kubernetes.io/component", "")
        if component in seen or component in ("s3", ""):
            continue  # the S3 image has no shell
        seen.add(component)
        container = each["spec"]["containers"][0]["name"]
        ok, text = kube.attempt(
            "exec", "-n", NAMESPACE, each["metadata"]["name"], "-c", container, "--", "sh", "-c", SCRIPT
        )
        if not ok:
            continue
        figures: dict[str, float | str] = {}
        for line in text.splitlines():
            name, _, kib = line.strip().partition(" ")
            if kib.strip().isdigit() and name not in ("sh", "awk", "pause"):
                figures[f"{name}_MiB"] = round(int(kib) / 1024, 1)
        rows[f"resident memory, {component}"] = figures
    return rows


ROWS = (resident,)
