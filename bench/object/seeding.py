"""What the steps read, put by our own S3 client, which makes 10,000 objects in seconds where boto3 takes a minute."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from s3engine import Engine

from bench.object import load
from moorfs.s3.settings import StoreSettings
from moorfs.s3.store import S3Store

SEEDED = "seeded/"
SMALL = {f"{SEEDED}s1/{number}": load.PAGE[:4096] for number in range(load.SMALL)} | {
    f"{SEEDED}s8/{number}": load.PAGE[:4096] for number in range(2 * load.SMALL)
}
LISTED = {f"{SEEDED}l{count}/{number}": b"" for count in (1000, 10000) for number in range(count)}


def bucket_with(engine: Engine, home: Path, objects: Mapping[str, bytes]) -> tuple[str, S3Store]:
    """A new bucket that holds these, and a client for it."""
    bucket, key = engine.bucket(), home / "seed.json"
    key.touch(mode=0o600)
    key.write_text(json.dumps({"AWS_ACCESS_KEY_ID": engine.access, "AWS_SECRET_ACCESS_KEY": engine.secret}))
    store = S3Store(StoreSettings(engine.endpoint, bucket, str(key)))

    def put(name: str) -> None:
        store.put(name, objects[name], {})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, objects))
    return bucket, store


def tidy(store: S3Store) -> None:
    """What a mount wrote goes, so that the next one finds what the first one found."""
    token, made = None, list[str]()
    while True:
        page = store.list("", delimiter="", token=token)
        made += [listed.key for listed in page.objects if not listed.key.startswith(SEEDED)]
        if (token := page.token) is None:
            break
    store.delete_many(made)
