"""A body to the engine, until the engine has it as we have it."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from moorfs.ports import ALWAYS, Changed, Condition, Missing, Range, StoreError
from moorfs.s3.call import Call, Caller, Query
from moorfs.s3.connection import Connection
from moorfs.s3.errors import DIGESTS
from moorfs.s3.integrity import CRC, Integrity, Seal, bare
from moorfs.s3.objects import condition_headers, head_of
from moorfs.s3.reply import Reply
from moorfs.s3.settings import StoreSettings

ATTEMPTS = 4  # with a body that arrived otherwise than it was sent, or changed between its sum and its sending


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer's headers; the body's seal where the engine is proven to have these very bytes."""

    headers: Mapping[str, str]
    seal: Seal | None


class Sender:
    """Of objects and of parts."""

    def __init__(self, settings: StoreSettings, caller: Caller) -> None:
        self._conditional = settings.conditional
        self._caller = caller
        self._integrity = Integrity()

    def head(self, key: str, checksum: bool = False) -> dict[str, str]:
        """Headers of an object, with the sums that the engine keeps if they are asked."""
        extra = {"x-amz-checksum-mode": "ENABLED"} if checksum else {}
        call = Call("head", "HEAD", key, headers=extra)
        return self._caller.run(lambda: call, headers_only)

    def send(
        self,
        operation: str,
        method: str,
        key: str,
        query: Query,
        headers: Mapping[str, str],
        body: bytes | Range,
        condition: Condition = ALWAYS,
    ) -> Sent:
        """EIO when the engine keeps storing something else."""
        self.look_before(key, condition)
        for _ in range(ATTEMPTS):
            seal = self._integrity.seal(body, operation == "part")
            extra = condition_headers(condition) if self._conditional else {}
            call = Call(operation, method, key, query, {**headers, **seal.headers, **extra}, body)
            answer = self._sent(call, seal, condition)
            if answer is None:
                continue
            proven = self._integrity.judge(seal, answer, body)
            sent = Sent(answer, seal if proven else None)
            if proven is None and operation == "put":
                proven = head_of(self.head(key)).size == seal.size
            if proven is not False:
                return sent
            if condition != ALWAYS:  # the wrong bytes are ours: they may be written over
                condition = Condition(match=answer.get("etag", ""))
        raise StoreError(errno.EIO, f"S3 {operation} {key}: the engine stores other bytes than it is sent")

    def look_before(self, key: str, condition: Condition) -> None:
        """For engines that ignore conditions: Changed when it is not met now. Narrows the gap, does not close it."""
        if self._conditional or condition == ALWAYS:
            return
        try:
            etag = head_of(self.head(key)).etag
        except Missing:
            etag = None
        met = etag is None if condition.match is None else etag == bare(condition.match)
        if not met:
            raise Changed(errno.ESTALE, f"S3 put {key}: somebody else wrote it ({etag or 'gone'})")

    def _sent(self, call: Call, seal: Seal, condition: Condition) -> dict[str, str] | None:
        """The answer's headers; None when other bytes arrived than those that were summed up."""
        trouble = self._caller.trouble()
        try:
            return self._caller.run(lambda: call, headers_only, trouble)
        except Missing as error:
            if condition.match is None:
                raise
            raise Changed(errno.ESTALE, f"{error}: it was removed meanwhile", error.status, error.s3_code) from error
        except Changed:
            ours = self._ours(call.key or "", seal) if trouble.lost and condition != ALWAYS else None
            if ours is None:
                raise
            return ours
        except StoreError as error:
            if call.operation == "part" and error.s3_code == "InvalidRequest" and self._integrity.sums_parts:
                self._integrity.sums_parts = False
            elif error.s3_code not in DIGESTS:
                raise
            return None

    def _ours(self, key: str, seal: Seal) -> dict[str, str] | None:
        """What is there, if it is what an attempt of ours stored whose answer was lost."""
        try:
            headers = self.head(key, checksum=True)
        except Missing:
            return None
        same = headers.get(CRC) == seal.crc or (seal.md5 and bare(headers.get("etag", "")) == seal.md5)
        return {**headers, CRC: seal.crc} if same and head_of(headers).size == seal.size else None


def headers_only(connection: Connection, reply: Reply) -> dict[str, str]:
    for _ in connection.pieces(reply):
        pass
    return reply.headers
