"""The engine without a mount, by boto3 with its transfer manager, and by s5cmd (a process for each transfer)."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from s3engine import ROOT, Engine

from bench.object import load
from cluster.toolchain import Source, Toolchain

SOURCES = {
    "s5cmd": Source("github.com/peak/s5cmd/v2", module="s5cmd"),
    "rclone": Source("./rclone", module="rclone"),
}  # the tests' own, so that what they built is used
HERE = Path("/dev/shm")  # no disk of ours beside the engine's
SIZE = load.BIG * load.MIB


def data(engine: Engine, bucket: str) -> dict[str, dict[str, float]]:
    """MB/s of one big object: a new one out, and one that the engine's disk has."""
    given, taken = HERE / f"moorage-bench-{os.getpid()}", HERE / f"moorage-bench-{os.getpid()}.back"
    given.write_bytes(load.PAGE * load.BIG)
    client: Any = engine.s3
    by_boto = _both(
        lambda: client.upload_file(str(given), bucket, "bare-boto3"),
        lambda: client.download_file(bucket, "seeded/big", str(taken)),
    )
    by_s5cmd = _both(
        lambda: _s5cmd(engine, "cp", str(given), f"s3://{bucket}/bare-s5cmd"),
        lambda: _s5cmd(engine, "cp", f"s3://{bucket}/seeded/big", str(taken)),
    )
    given.unlink()
    taken.unlink()
    return {"boto3": by_boto, "s5cmd": by_s5cmd}


def _both(out: Callable[[], object], back: Callable[[], object]) -> dict[str, float]:
    load.drop_caches()
    found = {"write": round(SIZE / load.timed(out) / 1e6, 1)}
    load.drop_caches()
    found["cold read"] = round(SIZE / load.timed(back) / 1e6, 1)
    found["second read"] = round(SIZE / load.timed(back) / 1e6, 1)
    return found


def _s5cmd(engine: Engine, *words: str) -> None:
    program = str(Toolchain(ROOT / "tests" / "api" / "tools", SOURCES).tool("s5cmd"))
    environment = {"AWS_ACCESS_KEY_ID": engine.access, "AWS_SECRET_ACCESS_KEY": engine.secret}
    argv = [program, "--endpoint-url", engine.endpoint, *words]
    subprocess.run(argv, check=True, capture_output=True, timeout=300, env={**environment, "AWS_REGION": "us-east-1"})


def small(engine: Engine, bucket: str) -> dict[str, dict[str, float]]:
    """4 KiB objects a second."""
    client: Any = engine.s3
    found: dict[str, float] = {}
    for workers, count in ((1, load.SMALL), (8, 2 * load.SMALL)):
        names = [f"bare{workers}/{number}" for number in range(count)]

        def put(name: str) -> None:
            client.put_object(Bucket=bucket, Key=name, Body=load.PAGE[:4096])

        found[f"create {workers}"] = load.each(put, names, workers)
    return {"boto3": found}
