"""The engine without a mount: boto3 with its own transfer manager and eight threads."""

import io
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from s3engine import Engine

from bench.object import load


def put_many(engine: Engine, bucket: str, objects: Mapping[str, bytes]) -> None:
    """Put all of them, eight at a time."""
    client: Any = engine.s3

    def put(key: str) -> None:
        client.put_object(Bucket=bucket, Key=key, Body=objects[key])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, objects))


def measure(engine: Engine) -> dict[str, float]:
    """MB/s of one big object, and 4 KiB objects a second."""
    client, bucket = engine.s3, engine.bucket()
    data = io.BytesIO(load.PAGE * load.BIG)
    size = load.BIG * load.MIB
    found = {"write": round(size / load.timed(lambda: client.upload_fileobj(data, bucket, "big")) / 1e6, 1)}
    load.drop_caches()
    with open(os.devnull, "wb") as sink:

        def fetch() -> None:
            body = client.get_object(Bucket=bucket, Key="big")["Body"]
            while piece := body.read(load.MIB):
                sink.write(piece)

        found["cold read, one stream"] = round(size / load.timed(fetch) / 1e6, 1)
    load.drop_caches()
    begin = time.monotonic()
    client.download_file(bucket, "big", "/dev/shm/moorage-bench-bare")
    found["cold read, ten streams"] = round(size / (time.monotonic() - begin) / 1e6, 1)
    os.unlink("/dev/shm/moorage-bench-bare")
    for workers, count in ((1, load.SMALL), (8, 2 * load.SMALL)):
        names = [f"s{workers}/{number}" for number in range(count)]

        def put(name: str) -> None:
            client.put_object(Bucket=bucket, Key=name, Body=load.PAGE[:4096])

        found[f"create {workers}"] = load.each(put, names, workers)
    return found
