"""What the S3 engine has of the buckets of a run: settings, and whose keys it knows."""

import json
from typing import Any

import aiohttp

from killing.mirror import Mirror
from killing.snapshot import plain_text
from moorage import names
from moorage.bucketfacts import access_key
from moorage.errors import MoorageError
from moorage.model import S3Engine, StorageBackend
from moorage_operator.engines.desk import Engines
from moorage_operator.s3 import S3


async def engine_state(mirror: Mirror, scope: str) -> dict[str, Any]:
    """By Bucket, of all that there ever were in the scope; empty when there was none."""
    buckets = {uid: title.split("/")[1] for uid, title in mirror.uids[scope].items() if title.startswith("Bucket/")}
    if not buckets:
        return {}
    engine = _engine(mirror)
    root = await Engines(mirror.cluster).root_key(engine)
    async with aiohttp.ClientSession() as session:
        s3 = S3(session, engine.endpoint, engine.region, root)
        users = (await S3(session, engine.admin_url, engine.region, root).call("PATCH", "/list-users")).decode()
        found = {
            name: {"user": access_key(uid) in users, **await _settings(s3, f"{name}-{names.short_id(uid)}")}
            for uid, name in buckets.items()
        }
    text = json.dumps(found, sort_keys=True)
    for uid in buckets:
        text = text.replace(access_key(uid), "<key>")
    return json.loads(plain_text(text, mirror, scope))


async def _settings(s3: S3, bucket: str) -> dict[str, Any]:
    tags = await s3.tags(bucket)
    if tags is None:
        return {"exists": False}
    return {
        "exists": True,
        "tags": tags,
        **{each: await _setting(s3, bucket, each) for each in ("policy", "versioning")},
    }


async def _setting(s3: S3, bucket: str, name: str) -> str:
    try:
        return (await s3.call("GET", f"/{bucket}", ((name, ""),))).decode()
    except MoorageError as error:
        return type(error).__name__


def _engine(mirror: Mirror) -> S3Engine:
    body = mirror.objects[None][("StorageBackend", "", "object")]
    engine = StorageBackend.model_validate(body).spec.engine.s3
    assert engine
    return engine
