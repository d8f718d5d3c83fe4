"""The CSI controller in process over a real socket, on the API server and the operator of the tests (`bed`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bed import Bed, until
from programs import tools

from moorage_csi import rpc
from moorage_csi.controller import Controller
from moorage_csi.identity import Identity
from moorage_csi.metrics import Metrics
from moorage_csi.node import Node, Tools
from moorage_csi.rest import Access, RestApi
from moorage_csi.runner import Processes


@dataclass
class Driver:
    """Its socket, and a directory with a kubeconfig for its sidecars."""

    bed: Bed
    socket: Path
    home: Path

    @contextlib.asynccontextmanager
    async def sidecar(self, name: str, *flags: str) -> AsyncIterator[None]:
        """One of the Kubernetes project's own sidecars beside the driver; its log is `home`/<name>.log."""
        (program,) = await asyncio.to_thread(tools, name)
        argv = ("setpriv", "--pdeathsig", "KILL", "--", program, f"--kubeconfig={self.home / 'kubeconfig'}", *flags)
        environment = os.environ | {"NAMESPACE": self.bed.namespace, "POD_NAME": "csi-controller"}
        environment.pop("KUBECONFIG", None)  # a sidecar takes it for its own, whatever its flag says
        with (self.home / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log, env=environment)
        try:
            yield
        finally:
            process.kill()
            await process.wait()

    async def until(self, check: Any, story: str) -> Any:
        """What `check` finds in the end; fails with the sidecars' last words."""

        async def told() -> str:
            logs = (f"== {each.name}\n{each.read_text()[-2000:]}" for each in sorted(self.home.glob("*.log")))
            return "\n".join([story, *logs])

        return await until(check, told)


class NoMounter:
    """Nothing is mounted here."""

    async def mount(self, *_: object) -> None:
        raise AssertionError("nothing is mounted in these tests")

    async def rekey(self, target: str, secrets: object) -> None:
        raise AssertionError("nothing is mounted in these tests")

    async def unmount(self, target: str) -> None:
        """As the real one does when it knows of no mount there."""


@pytest.fixture
async def driver(bed: Bed, api: Any, tmp_path: Path) -> AsyncIterator[Driver]:
    (tmp_path / "token").write_text(api.token)
    cluster = {"server": api.url, "certificate-authority": str(api.certificate)}
    config = {
        **{"apiVersion": "v1", "kind": "Config", "current-context": "c"},
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": api.token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    client = RestApi(Access(api.url, tmp_path / "token", api.certificate))
    controller = Controller(Metrics(), client, bed.namespace)
    node = Node(Metrics(), Tools("node-1", tmp_path / "plugin", Processes(), NoMounter(), lambda: client))
    socket = tmp_path / "csi.sock"
    server = await rpc.listen(f"unix://{socket}", Identity(Metrics(), "1"), controller, node)
    yield Driver(bed, socket, tmp_path)
    await server.stop(0)
