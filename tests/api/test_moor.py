"""The command `moor` as a user runs it: a process of its own, a kubeconfig, exit codes and sentences."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from bed import Bed, condition

ROOT = Path(__file__).parents[2]
SHARED = {"type": "shared", "size": "5Gi"}


class Moor:
    """`moor` with a kubeconfig whose context is in the bed's namespace."""

    def __init__(self, api: Any, namespace: str, kubeconfig: Path) -> None:
        self._environ = {**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": f"{ROOT}/core:{ROOT}/cli"}
        cluster = {"server": api.url, "certificate-authority": str(api.certificate)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": api.token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": namespace}}],
            "current-context": "here",
        }
        kubeconfig.write_text(json.dumps(config))

    async def __call__(self, *arguments: str) -> tuple[int | None, str, str]:
        """Exit code, standard output, standard error."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "moorage_cli", *arguments),
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def moor(api: Any, bed: Bed, tmp_path: Path) -> Moor:
    return Moor(api, bed.namespace, tmp_path / "kubeconfig")


async def test_a_volume_grows_and_moor_waits_for_it(bed: Bed, moor: Moor) -> None:
    await bed.make("StorageVolume", "data", spec=SHARED)
    await bed.phase("data", "READY")

    grown = await moor("grow", "data", "9Gi")
    again = await moor("grow", "data", "9Gi", "-n", bed.namespace)

    found = await bed.condition("data", "Resized", "True")
    assert grown == (0, "data has 9Gi now, and had 5Gi\n", "")
    assert again == (0, "data has 9Gi already\n", "")
    assert found["message"] == "it has 9Gi"


async def test_what_is_refused_says_why_and_changes_nothing(bed: Bed, moor: Moor) -> None:
    await bed.make("StorageVolume", "data", spec=SHARED)
    await bed.make("StorageVolume", "objects", spec={"type": "object"})
    before = await bed.phase("data", "READY")

    shrunk = await moor("grow", "data", "4Gi")
    bucket = await moor("grow", "objects", "9Gi")
    nowhere = await moor("grow", "other", "9Gi")
    usage = await moor("grow", "data")
    forbidden = await moor("grow", "data", "9Gi", "--context", "none")

    after = await bed.get("StorageVolume", "data")
    sentence = "size only grows: for less, make a smaller StorageVolume and copy the data"
    by_api = await _refusal_of_the_api(bed)
    assert shrunk == (1, "", f"moor: {sentence}\n")
    assert sentence in by_api
    assert bucket == (1, "", "moor: remove size: an object volume has none, it is as large as its bucket\n")
    assert nowhere[0::2] == (
        1,
        f"moor: there is no StorageVolume other in namespace {bed.namespace}: try -n NAMESPACE\n",
    )
    assert usage[0] == 2
    assert (forbidden[0], "name a --context" in forbidden[2]) == (1, True)
    assert after and after["spec"] == before["spec"]


async def _refusal_of_the_api(bed: Bed) -> str:
    try:
        await bed.cluster.merge(bed.ref("StorageVolume", "data"), {"spec": {"size": "4Gi"}})
    except Exception as error:
        return str(error)
    return ""


async def test_a_growth_that_takes_longer_goes_on_by_itself(bed: Bed, moor: Moor) -> None:
    await bed.make("StorageVolume", "data", spec=SHARED)
    await bed.phase("data", "READY")
    bed.agent_works = False

    code, _, text = await moor("grow", "data", "9Gi", "--timeout", "1")
    bed.agent_works = True

    await bed.condition("data", "Resized", "True")
    assert code == 3
    assert text.startswith("moor: data has 5Gi after 1 s; it goes on growing by itself: kubectl -n")


async def test_a_full_backend_is_told(bed: Bed, moor: Moor) -> None:
    await bed.make("StorageVolume", "data", spec=SHARED)
    await bed.phase("data", "READY")
    bed.agent_state = "Full"

    code, _, text = await moor("grow", "data", "9Gi")

    found = await bed.get("StorageVolume", "data")
    assert (code, text) == (
        1,
        "moor: the pool is full. The size asked stays asked: it grows by itself when that has changed\n",
    )
    assert condition(found, "Resized")["reason"] == "NoCapacity"
    assert condition(found, "Ready")["status"] == "True"
