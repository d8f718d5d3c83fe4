# ruff: noqa: ASYNC240 - the loop of a test has nothing else to do
"""While one volume's server is dead, the node plugin serves all others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from moorage.errors import DeadlineExceeded
from moorage_csi import mounts, rpc
from moorage_csi.metrics import Metrics
from moorage_csi.node import Node, Tools
from moorage_csi.proto import csi_pb2 as csi
from moorage_csi.runner import Output

from .client import Client
from .conftest import SHARED, Bench, NodeRunner, NoMounter, capability

DEAD, ALIVE = "team/dead/abcd2345", "team/alive/bcde3456"
OTHER = SHARED | {"path": "/vol/bcd"}


@dataclass
class Runner(NodeRunner):
    """Commands on paths of the dead volume wait until the test gives them up."""

    dead: str = ""
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, argv: Sequence[str], seconds: float, about: str = "") -> Output:
        if self.dead and argv[0] in ("umount", "stat") and self.dead in argv[-1] and "-l" not in argv:
            self.waiting.set()
            await self.given_up.wait()
            raise DeadlineExceeded(f"`{argv[0]}` took longer than {seconds:g} s and was killed")
        return await super().run(argv, seconds, about)


@dataclass
class Plugin:
    """The node plugin over its socket."""

    bench: Bench
    runner: Runner
    client: Client

    def staging(self, name: str) -> str:
        path = self.bench.kubelet / "staging" / name
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    async def publish(self, volume: str, name: str, context: dict[str, str]) -> str:
        stage = csi.NodeStageVolumeRequest(
            volume_id=volume, staging_target_path=self.staging(name), volume_capability=capability(),
            volume_context=context,
        )  # fmt: skip
        await self.client.call("NodeStageVolume", stage, csi.NodeStageVolumeResponse, 10)
        target = self.bench.target(name)
        wanted = csi.NodePublishVolumeRequest(
            volume_id=volume, target_path=target, staging_target_path=self.staging(name),
            volume_capability=capability(), volume_context=context,
        )  # fmt: skip
        await self.client.call("NodePublishVolume", wanted, csi.NodePublishVolumeResponse, 10)
        return target

    async def unpublish(self, volume: str, target: str) -> None:
        asked = csi.NodeUnpublishVolumeRequest(volume_id=volume, target_path=target)
        await self.client.call("NodeUnpublishVolume", asked, csi.NodeUnpublishVolumeResponse, 20)

    async def stats(self, volume: str, path: str) -> csi.NodeGetVolumeStatsResponse:
        asked = csi.NodeGetVolumeStatsRequest(volume_id=volume, volume_path=path)
        return await self.client.call("NodeGetVolumeStats", asked, csi.NodeGetVolumeStatsResponse, 20)


@pytest.fixture
async def plugin(bench: Bench) -> AsyncIterator[Plugin]:
    runner = Runner(bench.runner.real)
    tools = Tools("node-1", bench.kubelet / "plugin", runner, NoMounter(), lambda: bench.api)
    socket = f"unix://{bench.kubelet}/csi.sock"
    server = await rpc.listen(socket, Node(Metrics(), tools))
    client = Client(socket, csi.DESCRIPTOR.services_by_name["Node"])
    yield Plugin(bench, runner, client)
    runner.given_up.set()
    await client.channel.close()
    await server.stop(0)


async def test_others_come_and_go_while_an_unmount_hangs_and_it_ends_too(plugin: Plugin) -> None:
    dead = await plugin.publish(DEAD, "dead", SHARED)
    plugin.runner.dead = "/dead"
    hanging = asyncio.create_task(plugin.unpublish(DEAD, dead))
    await plugin.runner.waiting.wait()

    alive = await plugin.publish(ALIVE, "alive", OTHER)
    Path(alive, "file").write_text("written")
    figures = await plugin.stats(ALIVE, alive)
    await plugin.unpublish(ALIVE, alive)

    assert not figures.volume_condition.abnormal and mounts.at(alive) is None
    assert not hanging.done()
    plugin.runner.given_up.set()
    await hanging
    assert mounts.at(dead) is None


async def test_of_a_volume_that_hangs_the_last_figures_are_told_to_all_who_ask(plugin: Plugin) -> None:
    dead = await plugin.publish(DEAD, "dead", SHARED)
    before = await plugin.stats(DEAD, dead)
    plugin.runner.dead = "/dead"
    asked = [asyncio.create_task(plugin.stats(DEAD, dead)) for _ in range(10)]
    await plugin.runner.waiting.wait()
    plugin.runner.given_up.set()

    answers = await asyncio.gather(*asked)

    assert all(each.volume_condition.abnormal for each in answers)
    assert {each.usage[0].total for each in answers} == {before.usage[0].total}
