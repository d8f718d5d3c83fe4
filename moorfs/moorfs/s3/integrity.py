"""That the engine has the bytes that we have: what goes along with them, and what its answer proves.

CRC-32 goes with every body (zlib has it at 6 GiB/s here, MD5 at 0.8). An engine that gives it back in its answer has
computed it, or refused the body. Of other engines MD5 is asked: as Content-MD5, and as the ETag of the answer.
"""

import base64
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from moorfs.ports import Range
from moorfs.s3.bodies import read_file

SMALL = 1 << 16
CRC = "x-amz-checksum-crc32"
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Seal:
    """What is known of a body: `crc` in base64, `md5` in hex or empty, and the headers that tell the engine.

    `adler`: of parts, another sum of the same bytes, for `fits`.
    """

    size: int
    crc: str
    md5: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    adler: int = 0

    def fits(self, body: Range) -> bool:
        """Whether these bytes are still those that were sealed. Two sums of 32 bits, unlike in kind, at the speed of
        memory: MD5 would take as long as all the rest of an upload. Another writer of the file is to be noticed, not
        an enemy."""
        found = digests(body, with_md5=False, with_adler=True)
        return body.length == self.size and (found.crc, found.adler) == (self.crc, self.adler)


@dataclass(frozen=True, slots=True)
class Digests:
    """CRC-32 in base64; MD5 in hex and Adler-32, empty unless asked."""

    crc: str
    md5: str = ""
    adler: int = 0


class Integrity:
    """What one engine proves, learned from its answers. None: not known yet."""

    def __init__(self) -> None:
        self.echoes: bool | None = None
        """It gives the CRC-32 back."""
        self.etag_is_md5: bool | None = None
        self.sums_parts = True
        """It takes a CRC-32 with a part. Amazon's does only where the upload was begun so."""

    def seal(self, body: bytes | Range, part: bool = False) -> Seal:
        size = len(body) if isinstance(body, bytes) else body.length
        by_crc = self.sums_parts or not part
        # Many parts go out before the first is answered: they are taken to be echoed, and sent again if they are not.
        echoed = self.echoes or (part and self.echoes is None)
        sums = digests(body, with_md5=size <= SMALL or not echoed or not by_crc, with_adler=part)
        headers = {CRC: sums.crc} if by_crc else {}
        if sums.md5:
            headers["content-md5"] = base64.b64encode(bytes.fromhex(sums.md5)).decode()
        return Seal(size, sums.crc, sums.md5, headers, sums.adler)

    def judge(self, seal: Seal, headers: Mapping[str, str], body: bytes | Range) -> bool | None:
        """Whether the answer proves that these bytes are stored; None: it proves nothing. False too where a sum was
        missing that the next seal has."""
        echo, etag = headers.get(CRC), bare(headers.get("etag", ""))
        if echo is not None:
            self.echoes = True
            if seal.md5 and self.etag_is_md5 is None:
                self.etag_is_md5 = etag == seal.md5
            return echo == seal.crc
        if CRC in seal.headers:
            self.echoes = False
        if not seal.md5:  # the answer may do, and AIStore 1.4 cannot complete an upload that got one part twice
            late = digests(body, with_md5=True) if looks_md5(etag) else None
            return late is not None and (late.crc, late.md5) == (seal.crc, etag)
        if etag == seal.md5:
            self.etag_is_md5 = True
            return True
        return False if self.etag_is_md5 and looks_md5(etag) else None


def digests(body: bytes | Range, with_md5: bool, with_adler: bool = False) -> Digests:
    """StoreError when the file is shorter than the range."""
    crc, adler, md5 = 0, 1, hashlib.md5(usedforsecurity=False) if with_md5 else None
    for piece in _pieces(body):
        crc = zlib.crc32(piece, crc)
        if with_adler:
            adler = zlib.adler32(piece, adler)
        if md5:
            md5.update(piece)
    sum_of_all = base64.b64encode(crc.to_bytes(4, "big")).decode()
    return Digests(sum_of_all, md5.hexdigest() if md5 else "", adler if with_adler else 0)


def _pieces(body: bytes | Range) -> Iterator[bytes | memoryview]:
    """Each is good until the next."""
    if isinstance(body, bytes):
        yield body
        return
    buffer = memoryview(bytearray(min(PIECE, body.length) or 1))
    offset, end = body.offset, body.offset + body.length
    while offset < end:
        got = read_file(body.fd, buffer[: end - offset], offset)
        yield buffer[:got]
        offset += got


def bare(etag: str) -> str:
    """An ETag without quotes; engines differ in whether listings have them."""
    return etag.strip().removeprefix("W/").strip('"')


def quoted(etag: str) -> str:
    return f'"{bare(etag)}"'


def looks_md5(etag: str) -> bool:
    return len(etag) == 32 and all(letter in "0123456789abcdef" for letter in etag.lower())
