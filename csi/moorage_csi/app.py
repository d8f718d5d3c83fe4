"""Put the parts of a role together, and serve until SIGTERM.

Each role loads its own parts only: gRPC would double the mounter's memory.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import cache
from typing import TYPE_CHECKING

from moorage_csi import lean, settings
from moorage_csi.api import Api
from moorage_csi.health import Health
from moorage_csi.metrics import Metrics
from moorage_csi.runner import Processes, Runner
from moorage_csi.settings import Settings

if TYPE_CHECKING:
    from moorage_csi.node import Node
    from moorage_csi.rpc import Servicer

log = logging.getLogger("moorage_csi")
_GRACE = 5.0  # seconds for calls under way when the process is asked to end


def main() -> None:
    chosen = settings.parse(sys.argv[1:])
    logging.basicConfig(
        level=chosen.log_level, format="%(asctime)s %(levelname).1s %(name)s %(message)s", stream=sys.stdout
    )
    asyncio.run(_run(chosen))


async def _run(chosen: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        runner = _runner(chosen, stack)
        metrics.gauges["moorage_csi_abandoned_commands"] = lambda: float(runner.abandoned)
        role = {"controller": _controller, "node": _node, "all": _all, "mounter": _mounter}[chosen.role]
        ready = await role(chosen, metrics, runner, stack)
        if chosen.health_port:
            server = await Health(metrics, ready).listen(chosen.health_host, chosen.health_port)
            stack.callback(server.close)
        log.info("%s serves %s", chosen.role, chosen.endpoint)
        await stop.wait()
        log.info("ending")


def _runner(chosen: Settings, stack: AsyncExitStack) -> Runner:
    if chosen.role not in ("node", "all"):
        return Processes()
    from moorage_csi.hands import Hands

    hands = Hands()
    stack.push_async_callback(hands.close)
    return hands


Ready = Callable[[], str]


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("moorage")
    except metadata.PackageNotFoundError:  # run from the source tree
        return "0+source"


@cache
def _api() -> Api:
    lean.take_in()
    from moorage_csi import rest  # ssl and http cost the node megabytes, and most nodes never need them

    return rest.RestApi(rest.Access.from_environment(os.environ))


async def _serve(chosen: Settings, metrics: Metrics, stack: AsyncExitStack, *servicers: "Servicer") -> None:
    from moorage_csi import rpc
    from moorage_csi.identity import Identity

    server = await rpc.listen(chosen.endpoint, Identity(metrics, _version()), *servicers)
    stack.push_async_callback(server.stop, _GRACE)


async def _controller(chosen: Settings, metrics: Metrics, runner: Runner, stack: AsyncExitStack) -> Ready:
    from moorage_csi.controller import Controller

    controller = Controller(metrics, _api(), chosen.namespace, volume_health=chosen.volume_health)
    await _serve(chosen, metrics, stack, controller)
    return lambda: ""


async def _node(chosen: Settings, metrics: Metrics, runner: Runner, stack: AsyncExitStack) -> Ready:
    from moorage_csi import registration, sweep
    from moorage_csi.mounter.keeper import Keeper
    from moorage_csi.stuck import Stuck

    keeper = Keeper(chosen.keeper)
    node = await _node_service(chosen, metrics, runner, keeper.forget)
    await _serve(chosen, metrics, stack, node)
    service = registration.Registration(metrics, chosen.endpoint.removeprefix("unix://"))
    for work in (
        keeper.keep(),
        registration.keep(service, chosen.registration_socket),
        sweep.keep(runner, chosen.kubelet_dir),
        node.keys.keep(),
        Stuck(runner, node.watcher, chosen.kubelet_dir).keep(),
    ):
        stack.callback(asyncio.ensure_future(work).cancel)
    return lambda: "" if service.registered else "not registered with the kubelet yet"


async def _all(chosen: Settings, metrics: Metrics, runner: Runner, stack: AsyncExitStack) -> Ready:
    from moorage_csi.controller import Controller

    controller = Controller(metrics, _api(), chosen.namespace, volume_health=chosen.volume_health)
    node = await _node_service(chosen, metrics, runner)
    await _serve(chosen, metrics, stack, controller, node)
    return lambda: ""


async def _node_service(
    chosen: Settings, metrics: Metrics, runner: Runner, unmounted: Callable[[str], None] = lambda target: None
) -> "Node":
    from moorage_csi.mounter.client import MounterClient
    from moorage_csi.node import Node, Tools

    tools = Tools(
        chosen.node_name, chosen.plugin_dir, runner, MounterClient(chosen.mounter, unmounted), _api,
        max_volumes=chosen.max_volumes, mount_root=chosen.mount_root, volume_health=chosen.volume_health,
    )  # fmt: skip
    node = Node(metrics, tools)
    metrics.others = node.telemetry.text
    await node.recover()
    return node


async def _mounter(chosen: Settings, metrics: Metrics, runner: Runner, stack: AsyncExitStack) -> Ready:
    from moorage_csi.mounter import telemetry
    from moorage_csi.mounter.cages import Cages
    from moorage_csi.mounter.handover import Handover
    from moorage_csi.mounter.healing import Healing
    from moorage_csi.mounter.hostages import Hostages
    from moorage_csi.mounter.leftovers import Leftovers
    from moorage_csi.mounter.programs import Programs
    from moorage_csi.mounter.server import MounterServer
    from moorage_csi.mounter.supervisor import Supervisor

    supervisor = Supervisor(runner, chosen.run_dir, Healing(runner).heal, Cages(chosen.volume_memory))
    metrics.gauges["moorage_mounter_mounts"] = lambda: float(len(supervisor.mounts))
    metrics.gauges["moorage_mounter_restarts"] = lambda: float(sum(kept.restarts for kept in supervisor.mounts))
    leftovers = Leftovers(chosen.cache_dir, lambda: supervisor.targets if handover.settled.is_set() else None)
    metrics.others = lambda: telemetry.collect(supervisor.mounts, leftovers.text())
    stack.push_async_callback(supervisor.close)
    moorfs = tuple(chosen.moorfs.split())
    programs = Programs(chosen.cache_dir, chosen.s3fs, moorfs, chosen.rclone, leftovers.folders)
    handover = Handover(supervisor, programs)
    supervisor.told = handover.tell
    stack.callback(handover.listen(chosen.keeper).close)
    stack.push_async_callback(handover.close)
    service = MounterServer(metrics, supervisor, programs, handover.settled, leftovers.of)
    stack.callback((await service.listen(chosen.endpoint)).close)
    for work in (leftovers.keep(), Hostages(lambda: supervisor.mounts).keep()):
        stack.callback(asyncio.ensure_future(work).cancel)
    return lambda: ""
