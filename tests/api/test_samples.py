"""Everything in samples/ is accepted by a real API server: our kinds by their rules, the others by theirs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.toolchain import SOURCES, module_folder
from harness.snapshotter import CRDS, GROUP, MODULE

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.yaml"))


def run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def cluster(kubectl: list[str]) -> Iterator[list[str]]:
    """kubectl on a cluster that has the namespaces of the samples, and knows VolumeSnapshots."""
    things = [thing for path in SAMPLES for thing in yaml.safe_load_all(path.read_text())]
    namespaces = sorted({thing["metadata"]["name"] for thing in things if thing["kind"] == "Namespace"})
    crds = module_folder(SOURCES["snapshot-controller"], f"{MODULE}/client/v8") / "config/crd"
    files = [f"--filename={crds / f'{GROUP}_{name}.yaml'}" for name in CRDS]
    for name in namespaces:
        run([*kubectl, "create", "namespace", name])
    run([*kubectl, "apply", "--server-side", *files])
    run([*kubectl, "wait", "--for=condition=Established", *(f"crd/{name}.{GROUP}" for name in CRDS)])
    yield kubectl
    run([*kubectl, "delete", *files])
    run([*kubectl, "delete", "namespace", *namespaces, "--wait=false"])


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_accepted(cluster: list[str], path: Path) -> None:
    things: list[dict[str, Any]] = list(yaml.safe_load_all(path.read_text()))

    said = run([*cluster, "apply", "--dry-run=server", "--validate=strict", f"--filename={path}"])

    assert len(said.splitlines()) == len(things)
    assert all(line.endswith("(server dry run)") for line in said.splitlines())
