"""The chart as Helm renders it, for a real API server."""

import os
import subprocess
from pathlib import Path
from typing import Any

import requests
import yaml

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "moorage"
Api = Any  # conftest.Api: a conftest cannot be imported by name


def helm() -> str:
    """Of $MOORAGE_TOOLS if set, else the one that the bed builds into its cache."""
    if directory := os.environ.get("MOORAGE_TOOLS"):
        return str(Path(directory) / "helm")
    from cluster.toolchain import Toolchain

    return str(Toolchain().ensure(["helm"]) / "helm")


def rendered(*more: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    chart = str(ROOT / "charts/moorage")
    argv = [helm(), "template", "moorage", chart, "-n", namespace, "--kube-version", "1.36.0", *more]
    text = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    return [each for each in yaml.safe_load_all(text) if each]


def collection(thing: dict[str, Any]) -> str:
    """The URL path that objects like this one are created at."""
    version, kind = thing["apiVersion"], thing["kind"].lower()
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    inside = f"/namespaces/{thing['metadata']['namespace']}" if "namespace" in thing["metadata"] else ""
    return f"{base}{inside}/{plural}"


def create(api: Api, thing: dict[str, Any], **query: str) -> requests.Response:
    return api.call("POST", collection(thing), thing, fieldValidation="Strict", **query)
