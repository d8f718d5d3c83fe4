"""Multipart uploads."""

import errno
import hashlib
import threading
from typing import TYPE_CHECKING

from moorfs.engine import Undone
from moorfs.ports import ALWAYS, Changed, Condition, Head, Missing, Range, StoreError
from moorfs.s3.call import Call
from moorfs.s3.errors import error_in
from moorfs.s3.integrity import Seal, bare, looks_md5, quoted
from moorfs.s3.listing import escape, field_of
from moorfs.s3.objects import condition_headers, source_header

if TYPE_CHECKING:
    from moorfs.s3.store import S3Store

LARGEST_COPY = 5 << 30  # of CopyObject and UploadPartCopy


class S3Upload:
    """`id` is what the engine calls it: enough to go on with it, or abort it, in another process."""

    def __init__(self, store: "S3Store", key: str, upload: str) -> None:
        self.key = key
        self.id = upload
        self._store = store
        self._lock = threading.Lock()
        self._parts: dict[int, tuple[str, int]] = {}
        self._seals: dict[int, Seal | None] = {}
        """Of the parts that the engine is proven to have as they were sent."""

    def part(self, number: int, body: Range) -> None:
        sent = self._store.sender.send("part", "PUT", self.key, self._query(number), {}, body)
        etag = bare(sent.headers.get("etag", ""))
        if not etag:
            raise StoreError(errno.EIO, f"S3 part {number} of {self.key}: the engine's answer has no ETag")
        self._keep(number, etag, body.length, sent.seal)

    def copy_part(self, number: int, source: str, start: int, length: int, match: str) -> None:
        store = self._store
        if not store.settings.part_copy:
            raise StoreError(errno.ENOSYS, "this engine has no UploadPartCopy (setting part_copy)")
        headers = {
            "x-amz-copy-source": source_header(store.settings.bucket, source),
            "x-amz-copy-source-range": f"bytes={start}-{start + length - 1}",
            "x-amz-copy-source-if-match": quoted(match),
        }
        call = Call("copy_part", "PUT", self.key, self._query(number), headers)
        body = store.document(call)
        etag = bare(field_of(body, "ETag"))
        if not etag:
            raise StoreError(errno.EIO, f"S3 part {number} of {self.key}: the engine's answer has no ETag")
        self._keep(number, etag, length)

    def complete(self, condition: Condition = ALWAYS) -> str:
        store, trouble = self._store, self._store.caller.trouble()
        store.sender.look_before(self.key, condition)
        headers = condition_headers(condition) if store.settings.conditional else {}
        call = Call("complete", "POST", self.key, (("uploadId", self.id),), headers, self._document())
        try:
            etag = bare(field_of(store.document(call, trouble), "ETag"))
        except StoreError as error:
            return self._perhaps_done(error, condition, trouble.lost)
        return self._checked(etag, trouble.lost)

    def abort(self) -> None:
        call = Call("abort", "DELETE", self.key, (("uploadId", self.id),))
        try:
            self._store.document(call)
        except StoreError as error:
            if error.status != 404:
                raise

    def same(self, number: int, body: Range) -> bool:
        with self._lock:
            seal = self._seals.get(number)
        return seal is not None and seal.fits(body)

    def _keep(self, number: int, etag: str, size: int, seal: Seal | None = None) -> None:
        with self._lock:
            self._parts[number] = (etag, size)
            self._seals[number] = seal

    def _query(self, number: int) -> tuple[tuple[str, str], ...]:
        return (("partNumber", str(number)), ("uploadId", self.id))

    def _document(self) -> bytes:
        with self._lock:
            parts = sorted(self._parts.items())
        text = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(quoted(etag))}</ETag></Part>"
            for number, (etag, _) in parts
        )
        return f"<CompleteMultipartUpload>{text}</CompleteMultipartUpload>".encode()

    @property
    def size(self) -> int:
        with self._lock:
            return sum(size for _, size in self._parts.values())

    def _expected(self) -> str:
        """The ETag that engines after Amazon's give: MD5 of the parts' MD5s; empty where the parts' are none."""
        with self._lock:
            etags = [etag for _, (etag, _) in sorted(self._parts.items())]
        if not etags or not all(looks_md5(etag) for etag in etags):
            return ""
        joined = hashlib.md5(b"".join(bytes.fromhex(etag) for etag in etags), usedforsecurity=False)
        return f"{joined.hexdigest()}-{len(etags)}"

    def _checked(self, etag: str, lost: bool) -> str:
        """The object is there with all its bytes, unless somebody wrote another one over it meanwhile.

        `lost`: an answer was lost before. versitygw that was killed within a completion takes the next one for a
        repetition of one that it is still busy with, and says yes; the object never comes (1.8.0).
        """
        expected = self._expected()
        if etag and etag == expected and not lost:
            return etag
        head = self._there(lost)
        if lost and head.etag != (etag or expected):
            raise Undone(errno.EIO, f"S3 complete {self.key}: the engine said yes, but another object is there")
        if not etag and expected and head.etag != expected:  # Ceph 16 answers with an empty ETag
            raise StoreError(errno.EIO, f"S3 complete {self.key}: the object there is not the one that was completed")
        etag = etag or head.etag
        if head.etag == etag and head.size != self.size:
            raise StoreError(errno.EIO, f"S3 complete {self.key}: {head.size} bytes were stored of {self.size}")
        return etag

    def _there(self, lost: bool) -> Head:
        try:
            return self._store.head(self.key)
        except Missing:
            if lost:
                raise Undone(errno.EIO, f"S3 complete {self.key}: the engine said yes, but has no object") from None
            raise

    def _perhaps_done(self, error: StoreError, condition: Condition, lost: bool) -> str:
        """An answer was lost and the repetition was refused: look whether the first one was done."""
        gone = error.s3_code in ("NoSuchUpload", "InvalidPart") or isinstance(error, Changed | Missing)
        if lost and gone:
            head = self._store.head(self.key)
            expected = self._expected()
            if head.size == self.size and expected and head.etag == expected:
                return head.etag
        if isinstance(error, Missing) and condition.match is not None:
            raise Changed(errno.ESTALE, str(error), error.status, error.s3_code) from error
        raise error


def refused_inside(body: bytes) -> tuple[str, str]:
    """(code, message) of an error that came with HTTP 200, as CopyObject and CompleteMultipartUpload may."""
    return error_in(body) if b"<Error>" in body[:4096] or b"<Error " in body[:4096] else ("", "")
