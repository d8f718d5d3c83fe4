"""A node's own disk: the real local agent with real file systems, in a mount namespace of its own, and the operator."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .bed import Bed, condition, until

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
NODE = "node-1"
# The image's mkfs.xfs has a file of options that this machine's may be too old for.
_START = """
from pathlib import Path
from moorage_operator.agent import format
from moorage_operator.local.__main__ import main
format._OPTIONS = Path("/nonexistent")
main()
"""


@dataclass
class Agent:
    """`python -m moorage_operator.local` on node-1, with its folders beneath `home`."""

    home: Path
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    keeper: subprocess.Popen[bytes] | None = None

    @property
    def disks(self) -> Path:
        return self.home / "kubelet" / "plugins" / "csi.moorage.dev" / "local"

    def start(self) -> None:
        """In a mount namespace of its own, as a pod has one; what it mounts is seen in the node's."""
        if self.keeper is None:
            script = "mount --make-rshared / && echo there && exec sleep infinity"  # as a node's mounts are
            argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
            self.keeper = subprocess.Popen(argv, stdout=subprocess.PIPE)
            assert self.keeper.stdout and self.keeper.stdout.readline() == b"there\n"
        pod = ["unshare", "-m", "--propagation", "unchanged"]  # Bidirectional
        argv = [*self._enter(), *pod, sys.executable, "-c", _START]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, env=self.environ, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        self.kill()
        if self.keeper:
            self.keeper.kill()
            self.keeper.wait()

    def on_node(self, *argv: str) -> str:
        done = subprocess.run([*self._enter(), *argv], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def df(self, volume_id: str) -> int:
        """Bytes that df shows of what is mounted at the volume's place; 0: nothing is."""
        point = str(self.disks / volume_id)
        if f" {point} xfs " not in self.on_node("cat", "/proc/self/mounts"):
            return 0
        return int(self.on_node("stat", "-f", "-c", "%b", point)) * int(self.on_node("stat", "-f", "-c", "%S", point))

    def log(self) -> str:
        return (self.home / "log").read_text()

    def _enter(self) -> list[str]:
        assert self.keeper
        return ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", f"--wdns={Path.cwd()}"]


@pytest.fixture
async def agent(bed: Bed, kubectl: list[str], tmp_path: Path) -> AsyncIterator[Agent]:
    config = next(each.partition("=")[2] for each in kubectl if each.startswith("--kubeconfig"))
    environ = os.environ | {
        "KUBECONFIG": config, "NODE_NAME": NODE, "POD_NAMESPACE": bed.namespace, "MOORAGE_HTTP_PORT": "0",
        "MOORAGE_POOL": str(tmp_path / "pool"), "MOORAGE_KUBELET_DIR": str(tmp_path / "kubelet"),
        "PYTHONPATH": os.pathsep.join(str(ROOT / each) for each in ("core", "operator", "csi")),
    }  # fmt: skip
    environ.pop("KUBERNETES_SERVICE_HOST", None)
    await bed.make("Node", NODE, "v1")
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await bed.cluster._call("PATCH", f"/api/v1/nodes/{NODE}/status", ready, "merge")
    engine = {"local": {"namespace": bed.namespace, "daemonSet": "moorage-local"}}
    await bed.make("StorageBackend", "local", spec={"default": True, "engine": engine})
    found = Agent(tmp_path, environ)
    found.start()
    yield found
    found.stop()
    await bed.delete("Node", NODE, "v1")


async def local(bed: Bed, name: str, size: str = "300Mi", **spec: Any) -> dict[str, Any]:
    return await bed.make("StorageVolume", name, spec={"type": "local", "size": size, **spec})


async def test_a_volume_lives_on_its_node_from_birth_to_death(bed: Bed, agent: Agent) -> None:
    await local(bed, "scratch", root={"mode": "0770", "uid": 1000, "gid": 2000})
    volume = await bed.phase("scratch", "READY")
    status, id = volume["status"], volume["status"]["id"]

    assert status["placement"] == {"backend": "local", "engine": "local", "server": NODE}
    assert status["topology"] == {"topology.moorage.dev/node": NODE}
    assert status["attributes"] == {"type": "local", "mount": "local", "share": id}
    assert status["share"]["path"] == str(agent.disks / id)
    assert agent.df(id) == 300 * MIB
    assert agent.on_node("stat", "-c", "%a %u:%g", str(agent.disks / id)) == "770 1000:2000\n"
    options = agent.on_node("findmnt", "-no", "OPTIONS", str(agent.disks / id)).split(",")
    assert {"nosuid", "nodev"} <= set(options) and "noexec" not in options
    fill = ("dd", "if=/dev/zero", f"of={agent.disks / id}/big", "bs=1M", "count=400", "conv=fsync")
    assert "No space left on device" in agent.on_node(*fill)

    await bed.cluster.merge(bed.ref("StorageVolume", "scratch"), {"spec": {"size": "400Mi"}})
    await until(lambda: _is(agent.df(id) == 400 * MIB), lambda: _says(agent))
    await bed.delete("StorageVolume", "scratch")
    await bed.gone("StorageVolume", "scratch")

    assert agent.df(id) == 0
    assert list((agent.home / "pool" / "volumes").iterdir()) == []


async def test_mounts_outlive_the_agent_and_a_reboot_brings_them_back(bed: Bed, agent: Agent) -> None:
    await local(bed, "scratch")
    id = (await bed.phase("scratch", "READY"))["status"]["id"]
    agent.on_node("touch", f"{agent.disks / id}/mine")

    agent.kill()
    assert agent.on_node("ls", str(agent.disks / id)) == "mine\n"
    agent.stop()  # and the mount namespace with it: a reboot
    agent.keeper = None
    agent.start()

    await until(lambda: _is(agent.df(id) == 300 * MIB), lambda: _says(agent))
    assert agent.on_node("ls", str(agent.disks / id)) == "mine\n"


async def test_data_of_a_volume_that_is_still_mounted_somewhere_stays(bed: Bed, agent: Agent) -> None:
    await local(bed, "scratch")
    id = (await bed.phase("scratch", "READY"))["status"]["id"]
    other = agent.home / "staged"
    other.mkdir()
    agent.on_node("mount", "--bind", str(agent.disks / id), str(other))

    await bed.delete("StorageVolume", "scratch")

    async def told() -> bool:
        message = condition(await bed.get("StorageVolume", "scratch"), "Ready").get("message", "")
        return "is still mounted by somebody on this node" in message

    await until(told, lambda: _says(agent))
    assert (agent.home / "pool" / "volumes" / id / "image").exists()
    agent.on_node("umount", str(other))
    await bed.gone("StorageVolume", "scratch")
    assert not (agent.home / "pool" / "volumes" / id).exists()


async def test_retain_keeps_the_data_and_takes_it_out_of_service(bed: Bed, agent: Agent) -> None:
    await local(bed, "scratch", onDelete="Retain")
    id = (await bed.phase("scratch", "READY"))["status"]["id"]

    await bed.delete("StorageVolume", "scratch")
    await bed.gone("StorageVolume", "scratch")

    assert (agent.home / "pool" / "volumes" / id / "image").exists()
    assert agent.df(id) == 0


async def test_too_much_is_refused_with_what_to_do(bed: Bed, agent: Agent) -> None:
    await local(bed, "huge", "60Pi", node=NODE)

    failed = await bed.phase("huge", "FAILED")

    assert condition(failed, "Provisioned")["reason"] == "NoCapacity"


async def test_a_node_that_vanishes_fails_its_volumes_and_lets_them_be_deleted(bed: Bed, agent: Agent) -> None:
    await local(bed, "scratch")
    await bed.phase("scratch", "READY")
    agent.kill()

    await bed.delete("Node", NODE, "v1")

    failed = await bed.phase("scratch", "FAILED")
    assert condition(failed, "Provisioned")["reason"] == "NodeGone"

    async def forgotten() -> bool:
        backend = await bed.get("StorageBackend", "local")
        return not (backend or {})["status"].get("servers")

    await until(forgotten, lambda: bed._story("StorageBackend", "local", "without servers"))
    await bed.delete("StorageVolume", "scratch")
    await bed.gone("StorageVolume", "scratch")
    await bed.make("Node", NODE, "v1")


async def _is(found: bool) -> bool:
    await asyncio.sleep(0)
    return found


async def _says(agent: Agent) -> str:
    await asyncio.sleep(0)
    return agent.log()
