"""The rows of the table, in the order in which they are measured: each finds what the ones before it left."""

import asyncio
import time
from collections import Counter

from bench.ready import percentile
from bench.record import Figures
from bench.scale.bed import PATIENCE, Bed, space, volume
from bench.scale.watcher import Name
from moorage import names
from moorage.actions import Reference

BURST = 500
RATE = 5.0  # volumes per second
STEADY = 300  # volumes
IDLE = 60.0  # seconds


async def nothing_yet(bed: Bed) -> Figures:
    """The operator with the nodes and no volume."""
    await bed.until_settled()
    bed.calls.take()
    return {"no volume yet": {"rss_MiB": bed.operator.memory()}}


async def all_at_once(bed: Bed) -> Figures:
    started, cpu = time.monotonic(), bed.operator.cpu()
    wanted = await bed.make("v", bed.size.volumes)
    posted = time.monotonic()
    ready = await bed.volumes.until(wanted, PATIENCE)
    await bed.until_settled()
    used = bed.operator.cpu() - cpu
    took: dict[str, float | str] = {"all_s": round(ready - started, 1), "of_it_posting_s": round(posted - started, 1)}
    memory: dict[str, float | str] = {"rss_MiB": bed.operator.memory(), "peak_MiB": bed.operator.memory("VmHWM")}
    return {
        f"{bed.size.volumes} volumes at once, all READY": {
            **took,
            "operator_cpu_ms_per_volume": round(1000 * used / bed.size.volumes, 2),
        },
        f"resident memory, {bed.size.volumes} volumes": memory,
        "API calls of the operator per volume": per_volume(bed.calls.take(), bed.size.volumes),
    }


def per_volume(calls: Counter[str], volumes: int) -> dict[str, float | str]:
    """Calls that a volume costs; those that do not grow with volumes (lists, watches) show as next to nothing."""
    each = {name: round(count / volumes, 2) for name, count in calls.most_common() if count / volumes >= 0.01}
    return {"all": round(calls.total() / volumes, 2), **each}


async def steady(bed: Bed) -> Figures:
    """One after the other at a moderate rate, with all the others there."""
    posted: dict[Name, float] = {}

    async def post(name: Name) -> None:
        posted[name] = time.monotonic()
        await bed.call("POST", *volume(name))

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(STEADY):
            group.create_task(post((space(number), f"steady-{number:05}")))
            await asyncio.sleep(max(0.0, started + (number + 1) / RATE - time.monotonic()))
    await bed.volumes.until(set(posted), PATIENCE)
    took = [bed.volumes.ready[name] - moment for name, moment in posted.items()]
    figures: dict[str, float | str] = {"p50_s": percentile(took, 0.5), "p99_s": percentile(took, 0.99), "n": len(took)}
    return {f"apply to READY, {RATE:.0f} a second, {bed.size.volumes} there": figures}


async def burst(bed: Bed) -> Figures:
    started = time.monotonic()
    wanted = await bed.make("burst", BURST)
    ready = await bed.volumes.until(wanted, PATIENCE)
    return {f"{BURST} at once, all READY, {bed.size.volumes} there": {"all_s": round(ready - started, 1)}}


async def removal(bed: Bed) -> Figures:
    """Those of the two rows before go again."""
    await bed.until_settled()
    bed.calls.take()
    extra = [name for name in bed.volumes.ready if not name[1].startswith("v-")]
    started = time.monotonic()
    await bed.remove(extra)
    took = round(time.monotonic() - started, 1)
    await bed.until_settled()
    return {
        f"{len(extra)} deleted at once, all gone": {"all_s": took},
        "API calls of the operator per deletion": per_volume(bed.calls.take(), len(extra)),
    }


async def idle(bed: Bed) -> Figures:
    await bed.until_settled()
    bed.calls.take()
    busy = await asyncio.to_thread(bed.operator.busy, IDLE)
    figures: dict[str, float | str] = {"cpu_percent_of_a_core": busy, "rss_MiB": bed.operator.memory()}
    calls = bed.calls.take().total()
    return {
        f"idle for {IDLE:.0f} s, {bed.size.volumes} volumes, {bed.size.nodes} nodes": {**figures, "api_calls": calls}
    }


async def restart(bed: Bed) -> Figures:
    """Killed, a volume is made meanwhile, started again: until that one is READY and every other was looked at."""
    bed.operator.kill()
    wanted = await bed.make("meanwhile", 1)
    started = time.monotonic()
    bed.operator.start()
    ready = await bed.volumes.until(wanted, PATIENCE)
    while await looked_at(bed) < bed.size.volumes + 1:
        if time.monotonic() - started > PATIENCE:
            raise TimeoutError(f"the operator looked at {await looked_at(bed)} volumes only in {PATIENCE:.0f} s")
        await asyncio.sleep(0.1)
    await bed.until_settled()
    took = time.monotonic() - started - 2.0  # two quiet seconds are how it is known
    figures: dict[str, float | str] = {"converged_s": round(took, 1), "new_volume_ready_s": round(ready - started, 1)}
    cpu = {"cpu_s": round(bed.operator.cpu(), 1), "rss_MiB": bed.operator.memory()}
    return {
        f"restart, {bed.size.volumes} volumes": {**figures, **cpu, "peak_MiB": bed.operator.memory("VmHWM")},
        "API calls of a restart, by volume": per_volume(bed.calls.take(), bed.size.volumes),
    }


async def looked_at(bed: Bed) -> float:
    return await asyncio.to_thread(bed.operator.metric, "moorage_reconcile_seconds_count", kind="StorageVolume")


async def attachments(bed: Bed) -> Figures:
    """A volume on all nodes at once: DaemonSet controller, scheduler and kwok are in the time too."""
    name = (space(0), "v-00000")
    bed.calls.take()
    started, cpu = time.monotonic(), bed.operator.cpu()
    await bed.attach("everywhere", name)
    took = await bed.until_mounted("everywhere", name[0])
    await bed.until_settled()
    used, calls = round(bed.operator.cpu() - cpu, 1), bed.calls.take().total()
    busy = await asyncio.to_thread(bed.operator.busy, IDLE)
    figures: dict[str, float | str] = {"all_s": round(took - started, 1), "cpu_s": used, "api_calls": calls}
    idle_figures: dict[str, float | str] = {"cpu_percent_of_a_core": busy, "rss_MiB": bed.operator.memory()}
    title = f"StorageAttachment on {bed.size.nodes} nodes"
    return {f"{title}, until all are mounted": figures, f"{title}, idle for {IDLE:.0f} s": idle_figures}


async def detachment(bed: Bed) -> Figures:
    cpu, started = bed.operator.cpu(), time.monotonic()
    ref = Reference(names.API_VERSION, "StorageAttachment", "everywhere", space(0))
    await bed.cluster.delete(ref)
    async with asyncio.timeout(PATIENCE):
        while await bed.cluster.get(ref):  # noqa: ASYNC110 - remote
            await asyncio.sleep(0.2)
    took = round(time.monotonic() - started, 1)
    await bed.until_settled()
    figures: dict[str, float | str] = {"all_s": took, "cpu_s": round(bed.operator.cpu() - cpu, 1)}
    return {f"StorageAttachment on {bed.size.nodes} nodes, deleted until gone": figures}


ROWS = (nothing_yet, all_at_once, steady, burst, removal, idle, restart, attachments, detachment)
