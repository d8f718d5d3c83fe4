"""The rows of the table, in the order in which they are measured: each finds what the ones before it left."""

import asyncio
import time
from collections import Counter

from bench.ready import percentile
from bench.record import Figures
from bench.scale.bed import NODES, PATIENCE, Bed, space, volume
from bench.scale.watcher import Name

VOLUMES = 5000
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
    wanted = await bed.make("v", VOLUMES)
    posted = time.monotonic()
    ready = await bed.volumes.until(wanted, PATIENCE)
    await bed.until_settled()
    used = bed.operator.cpu() - cpu
    took = {"all_s": round(ready - started, 1), "of_it_posting_s": round(posted - started, 1)}
    memory = {"rss_MiB": bed.operator.memory(), "peak_MiB": bed.operator.memory("VmHWM")}
    return {
        f"{VOLUMES} volumes at once, all READY": {**took, "operator_cpu_ms_per_volume": round(1000 * used / VOLUMES, 2)},
        f"resident memory, {VOLUMES} volumes": memory,
        "API calls of the operator per volume": per_volume(bed.calls.take(), VOLUMES),
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
    figures = {"p50_s": percentile(took, 0.5), "p99_s": percentile(took, 0.99), "n": len(took)}
    return {f"apply to READY, {RATE:.0f} a second, {VOLUMES} there": figures}


async def burst(bed: Bed) -> Figures:
    started = time.monotonic()
    wanted = await bed.make("burst", BURST)
    ready = await bed.volumes.until(wanted, PATIENCE)
    return {f"{BURST} at once, all READY, {VOLUMES} there": {"all_s": round(ready - started, 1)}}


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
    return {f"idle for {IDLE:.0f} s, {VOLUMES} volumes, {NODES} nodes": {**figures, "api_calls": calls}}


async def restart(bed: Bed) -> Figures:
    """Killed, a volume is made meanwhile, started again: until that one is READY and every other was looked at."""
    bed.operator.kill()
    wanted = await bed.make("meanwhile", 1)
    started = time.monotonic()
    bed.operator.start()
    ready = await bed.volumes.until(wanted, PATIENCE)
    while await looked_at(bed) < VOLUMES + 1:
        if time.monotonic() - started > PATIENCE:
            raise TimeoutError(f"the operator looked at {await looked_at(bed)} volumes only in {PATIENCE:.0f} s")
        await asyncio.sleep(0.1)
    await bed.until_settled()
    took = time.monotonic() - started - 2.0  # two quiet seconds are how it is known
    figures = {"converged_s": round(took, 1), "new_volume_ready_s": round(ready - started, 1)}
    cpu = {"cpu_s": round(bed.operator.cpu(), 1), "rss_MiB": bed.operator.memory()}
    return {
        f"restart, {VOLUMES} volumes": {**figures, **cpu, "peak_MiB": bed.operator.memory("VmHWM")},
        "API calls of a restart, by volume": per_volume(bed.calls.take(), VOLUMES),
    }


async def looked_at(bed: Bed) -> float:
    return await asyncio.to_thread(bed.operator.metric, "moorage_reconcile_seconds_count", kind="StorageVolume")


ROWS = (nothing_yet, all_at_once, steady, burst, removal, idle, restart)
