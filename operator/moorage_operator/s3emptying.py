"""A bucket without its contents: whether it is empty, and the end of it with all that it holds.

Source: the S3 API reference, DeleteObjects, AbortMultipartUpload, ListMultipartUploads.
"""

import time
from dataclasses import dataclass
from xml.sax.saxutils import escape

from moorage.errors import Pending
from moorage_operator.s3 import S3, EngineRefused
from moorage_operator.s3xml import children, key_of, md5, parse, text

TURN = 45.0  # seconds of emptying before other work gets its turn


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of an object, or a delete marker."""

    key: str
    version: str | None = None


async def is_empty(s3: S3, bucket: str) -> bool:
    """No object, no version, no delete marker; a bucket that is not there is empty."""
    try:
        return not await _versions(s3, bucket, 1) and not await _objects(s3, bucket, 1)
    except EngineRefused as error:
        if error.s3_code != "NoSuchBucket":
            raise
        return True


async def ensure_absent(s3: S3, bucket: str) -> None:
    """Empty the bucket, all versions and unfinished uploads, and delete it; raises Pending when it takes long."""
    try:
        await _empty(s3, bucket, time.monotonic() + TURN)
    except EngineRefused as error:
        if error.s3_code != "NoSuchBucket":
            raise
        return
    await s3.delete(f"/{bucket}")


async def _empty(s3: S3, bucket: str, until: float) -> None:
    removed = 0
    for listing in (_versions, _objects):
        while entries := await listing(s3, bucket):
            await _delete(s3, bucket, entries)
            removed += len(entries)
            if time.monotonic() > until:
                raise Pending(f"bucket {bucket} is being emptied: {removed} objects removed in this turn")
    while uploads := await _uploads(s3, bucket):
        for key, upload in uploads:
            await s3.delete(f"/{bucket}/{key}", (("uploadId", upload),))
        if time.monotonic() > until:
            raise Pending(f"unfinished uploads of bucket {bucket} are being removed")


async def _versions(s3: S3, bucket: str, most: int = 1000) -> list[Entry]:
    query = (("encoding-type", "url"), ("max-keys", str(most)), ("versions", ""))
    try:
        tree = parse(await s3.call("GET", f"/{bucket}", query))
    except EngineRefused as error:
        if error.status in (400, 501) and error.s3_code in ("NotImplemented", "VersioningNotConfigured"):
            return []  # an engine without versions: the plain listing has it all
        raise
    found = [*children(tree, "Version"), *children(tree, "DeleteMarker")]
    return [Entry(key_of(tree, each), text(each, "VersionId")) for each in found]


async def _objects(s3: S3, bucket: str, most: int = 1000) -> list[Entry]:
    query = (("encoding-type", "url"), ("list-type", "2"), ("max-keys", str(most)))
    tree = parse(await s3.call("GET", f"/{bucket}", query))
    return [Entry(key_of(tree, each)) for each in children(tree, "Contents")]


async def _uploads(s3: S3, bucket: str) -> list[tuple[str, str]]:
    query = (("encoding-type", "url"), ("max-uploads", "1000"), ("uploads", ""))
    tree = parse(await s3.call("GET", f"/{bucket}", query))
    return [(key_of(tree, each), text(each, "UploadId") or "") for each in children(tree, "Upload")]


async def _delete(s3: S3, bucket: str, entries: list[Entry]) -> None:
    objects = "".join(_object(each) for each in entries)
    body = f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()
    tree = parse(await s3.call("POST", f"/{bucket}", (("delete", ""),), body, {"content-md5": md5(body)}))
    for failed in children(tree, "Error"):
        code, key = text(failed, "Code") or "", text(failed, "Key")
        raise EngineRefused(f"{key} in bucket {bucket} cannot be deleted: {code} {text(failed, 'Message')}", 409, code)


def _object(entry: Entry) -> str:
    version = f"<VersionId>{escape(entry.version)}</VersionId>" if entry.version else ""
    return f"<Object><Key>{escape(entry.key)}</Key>{version}</Object>"
