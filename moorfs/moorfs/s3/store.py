"""The ObjectStore of ports.py: one bucket of an S3 engine."""

import base64
import errno
import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, MutableSequence, Sequence

from moorfs.ports import ALWAYS, Changed, Condition, Head, Missing, Page, Range, StoreError
from moorfs.s3 import listing
from moorfs.s3.call import Call, Caller
from moorfs.s3.connection import Connection
from moorfs.s3.convoy import BUCKET_KNOWN, Convoy
from moorfs.s3.endpoint import endpoint_of
from moorfs.s3.errors import Refusal, status_of
from moorfs.s3.integrity import bare, quoted
from moorfs.s3.keys import KeyFile
from moorfs.s3.multipart import LARGEST_COPY, S3Upload, refused_inside
from moorfs.s3.objects import check_key, condition_headers, head_of, metadata_headers, source_header
from moorfs.s3.patience import Trouble
from moorfs.s3.pool import Pool
from moorfs.s3.reading import Reading
from moorfs.s3.reply import Reply
from moorfs.s3.sending import Sender, headers_only
from moorfs.s3.settings import StoreSettings

COPY_PART = 1 << 30


class S3Store:
    """Every method may be called by any thread. `on_wait`: called before each wait for the network; `on_reply`, where
    it is given, instead of it before the wait for the answer to a small request, with the socket it comes by."""

    def __init__(
        self,
        settings: StoreSettings,
        on_wait: Callable[[], None] = lambda: None,
        on_reply: Callable[[int], None] | None = None,
    ) -> None:
        self.settings = settings
        endpoint = endpoint_of(settings.endpoint, settings.bucket, settings.path_style, settings.address)
        self._keys = KeyFile(settings.key_file)
        self._pool = Pool(
            endpoint, settings.ca_file, settings.timeout, settings.connect_timeout, settings.idle_connections
        )
        self.caller = Caller(endpoint, self._pool, self._keys, settings.region, settings.patience, on_wait, on_reply)
        self.sender = Sender(settings, self.caller)

    @property
    def down_since(self) -> float | None:
        """time.time() since when the engine does not answer; None: it does, as far as anybody asked."""
        return self.caller.down_since

    def counters(self) -> dict[str, dict[str, object]]:
        """Plain JSON: for each kind of call how many, how long, how many bytes (see counters.py)."""
        return self.caller.counters.snapshot()

    def rekey(self) -> bool:
        """Read the key file anew; whether it held another key. Calls under way go on with the old one."""
        return self._keys.reread()

    def close(self) -> None:
        """Calls under way raise StoreError ESHUTDOWN."""
        self.caller.close()

    # Reading.

    def head(self, key: str) -> Head:
        try:
            return head_of(self.sender.head(check_key(key)))
        except Missing:
            self._bucket_is_there()
            raise

    def heads(self, keys: Sequence[str]) -> Generator[tuple[float, Head | Missing | None]]:
        self.caller.on_wait()
        return Convoy(self.caller, self._pool, keys).run()

    def read(self, key: str, sink: Range, start: int, match: str | None) -> Head:
        if not sink.length:
            head = self.head(key)
            if match is not None and bare(match) != head.etag:
                raise Changed(errno.ESTALE, f"S3 get {key}: it is another object now ({head.etag})")
            return head
        trouble = self.caller.trouble()
        reading = Reading(check_key(key), sink, start, match, trouble)
        return self.caller.run(reading.call, reading.take, trouble)

    def get(self, key: str, most: int = 1 << 20) -> tuple[Head, bytes]:
        """The whole object; EFBIG when it is larger than `most`."""
        call = Call("get", "GET", check_key(key))

        def whole(connection: Connection, reply: Reply) -> tuple[Head, bytes]:
            head = head_of(reply.headers)
            if head.size > most:
                raise StoreError(errno.EFBIG, f"S3 get {key}: {head.size} bytes, but at most {most} were expected")
            body = connection.body(reply)
            return (head if reply.length is not None else _sized(head, len(body))), body

        return self.caller.run(lambda: call, whole)

    def list(
        self, prefix: str, delimiter: str = "/", token: str | None = None, most: int = 1000, after: str = ""
    ) -> Page:
        call = Call("list", "GET", None, listing.list_query(prefix, delimiter, token, most, after))
        try:
            return listing.page_of(self.document(call), token)
        except Missing as error:  # of a bucket there is nothing else to miss
            raise StoreError(errno.EIO, str(error), error.status, error.s3_code) from error

    # Writing.

    def put(self, key: str, body: Range | bytes, metadata: Mapping[str, str], condition: Condition = ALWAYS) -> str:
        sent = self.sender.send("put", "PUT", check_key(key), (), metadata_headers(metadata), body, condition)
        return bare(sent.headers.get("etag", ""))

    def copy(
        self,
        source: str,
        key: str,
        metadata: Mapping[str, str] | None = None,
        match: str | None = None,
        onto: Condition = ALWAYS,
    ) -> str:
        headers = {"x-amz-copy-source": source_header(self.settings.bucket, check_key(source))}
        headers["x-amz-metadata-directive"] = "COPY" if metadata is None else "REPLACE"
        headers |= metadata_headers(metadata or {})
        if match is not None:
            self.sender.look_before(source, Condition(match))  # Ceph 16 copies whatever is there
            headers["x-amz-copy-source-if-match"] = quoted(match)
        conditions = condition_headers(onto) if self.settings.conditional else {}
        try:
            body = self.document(Call("copy", "PUT", check_key(key), headers=headers | conditions))
        except StoreError as error:
            if conditions and error.errno == errno.ENOSYS:
                return self.copy(source, key, metadata, match)  # it has conditions on other writes only
            if error.status == 400 and (head := self.head(source)).size > LARGEST_COPY:
                return self._copy_by_parts(source, key, metadata, head, match)
            raise
        return bare(listing.field_of(body, "ETag"))

    def delete(self, key: str, match: str | None = None) -> None:
        """With `match` a request of a process that died, if the engine gets to it late, takes no later object away."""
        headers = {"if-match": quoted(match)} if match is not None and self.settings.conditional else {}
        try:
            self.document(Call("delete", "DELETE", check_key(key), headers=headers))
        except Missing:
            self._bucket_is_there()
        except StoreError as error:
            if not headers or error.errno != errno.ENOSYS:
                raise
            self.delete(key)  # an engine that has conditions for writes only

    def delete_many(self, keys: Sequence[str]) -> None:
        """All are tried; then the first refusal is raised."""
        refused: list[StoreError] = []
        for batch, document in listing.deletions(keys):
            self._each(self._delete_batch(batch, document), refused)
        self._each([key for key in keys if listing.odd(key)], refused)
        if refused:
            raise refused[0]

    def begin(self, key: str, metadata: Mapping[str, str]) -> S3Upload:
        """No checksum algorithm is agreed upon for the whole: of parts that are copied, versitygw 1.8 and MinIO then
        know none, or a wrong one, and refuse the completion. Each part that is sent is proved by itself."""
        call = Call("begin", "POST", check_key(key), (("uploads", ""),), metadata_headers(metadata))
        upload = listing.field_of(self.document(call), "UploadId")
        if not upload:
            raise StoreError(errno.EIO, f"S3 begin {key}: the engine's answer has no UploadId")
        return S3Upload(self, key, upload)

    def unfinished(self, prefix: str = "") -> Iterator[listing.Unfinished]:
        """Multipart uploads that nobody completed: to abort those of a server that died."""
        marker: tuple[str, str] | None = ("", "")
        while marker is not None:
            query = [("uploads", ""), ("prefix", prefix)]
            if marker[0]:
                query += [("key-marker", marker[0]), ("upload-id-marker", marker[1])]
            found, marker = listing.unfinished_of(self.document(Call("uploads", "GET", None, tuple(query))))
            yield from found

    def resume(self, key: str, upload: str) -> S3Upload:
        """An upload that another process began, to abort it."""
        return S3Upload(self, key, upload)

    # Shared with S3Upload.

    def document(self, call: Call, trouble: Trouble | None = None) -> bytes:
        """The body of the answer."""
        return self.caller.run(lambda: call, _success, trouble)

    def _delete_batch(self, batch: Sequence[str], document: bytes) -> Sequence[str]:
        """Keys of which it is not known that they are gone."""
        md5 = hashlib.md5(document, usedforsecurity=False).digest()
        headers = {"content-md5": base64.b64encode(md5).decode(), "content-type": "application/xml"}
        call = Call("delete_many", "POST", None, (("delete", ""),), headers, document)
        try:
            failures = listing.failures_of(self.document(call))
        except StoreError as error:
            if error.errno != errno.ENOSYS and error.status not in (400, 405):
                raise
            return batch
        return [key for key, code, _ in failures if code != "NoSuchKey"]

    def _each(self, keys: Sequence[str], refused: MutableSequence[StoreError]) -> None:
        for key in keys:
            try:
                self.delete(key)
            except StoreError as error:  # one refusal must not keep the others
                refused.append(error)

    def _copy_by_parts(
        self, source: str, key: str, metadata: Mapping[str, str] | None, head: Head, match: str | None
    ) -> str:
        kept = {**head.metadata, "content-type": head.content_type} if metadata is None else metadata
        upload = self.begin(key, kept)
        try:
            for number, start in enumerate(range(0, head.size, COPY_PART), 1):
                upload.copy_part(number, source, start, min(COPY_PART, head.size - start), match or head.etag)
            return upload.complete()
        except BaseException:
            upload.abort()
            raise

    def _bucket_is_there(self) -> None:
        """A HEAD has no body to say that it is the bucket that is missing, and a whole tree must not look deleted."""
        if self.caller.fresh(BUCKET_KNOWN):
            return
        call = Call("head_bucket", "HEAD", None)
        try:
            self.caller.run(lambda: call, headers_only)
        except Missing as error:
            text = f"bucket {self.settings.bucket} does not exist (any more)"
            raise StoreError(errno.EIO, text, error.status, "NoSuchBucket") from error


def _success(connection: Connection, reply: Reply) -> bytes:
    body = connection.body(reply)
    code, message = refused_inside(body)
    if code:
        raise Refusal(status_of(code), code, message, reply.headers)
    return body


def _sized(head: Head, size: int) -> Head:
    return Head(size, head.etag, head.mtime, head.metadata, head.content_type)
