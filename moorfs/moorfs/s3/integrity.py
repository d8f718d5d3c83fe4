"""That the engine has the bytes that we have: what goes along with them, and what its answer proves.

CRC-32 goes with every body (zlib has it at 6 GiB/s here, MD5 at 0.8). An engine that gives it back in its answer has
computed it, or refused the body. Of other engines MD5 is asked: as Content-MD5, and as the ETag of the answer.
"""

import base64
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from moorfs.ports import Range
from moorfs.s3.connection import read_file

SMALL = 1 << 16
CRC = "x-amz-checksum-crc32"
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Seal:
    """What is known of a body: `crc` in base64, `md5` in hex or empty, and the headers that tell the engine."""

    size: int
    crc: str
    md5: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


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
        crc, md5 = digests(body, with_md5=size <= SMALL or not self.echoes or not by_crc)
        headers = {CRC: crc} if by_crc else {}
        if md5:
            headers["content-md5"] = base64.b64encode(bytes.fromhex(md5)).decode()
        return Seal(size, crc, md5, headers)

    def judge(self, seal: Seal, headers: Mapping[str, str]) -> bool | None:
        """Whether the answer proves that these bytes are stored; None: it proves nothing."""
        echo, etag = headers.get(CRC), bare(headers.get("etag", ""))
        if echo is not None:
            self.echoes = True
            if seal.md5 and self.etag_is_md5 is None:
                self.etag_is_md5 = etag == seal.md5
            return echo == seal.crc
        if CRC in seal.headers:
            self.echoes = False
        if not seal.md5:
            return None
        if etag == seal.md5:
            self.etag_is_md5 = True
            return True
        return False if self.etag_is_md5 and looks_md5(etag) else None


def digests(body: bytes | Range, with_md5: bool) -> tuple[str, str]:
    """CRC-32 in base64 and MD5 in hex (empty unless asked). StoreError when the file is shorter than the range."""
    crc, md5 = 0, hashlib.md5(usedforsecurity=False) if with_md5 else None
    if isinstance(body, bytes):
        crc = zlib.crc32(body)
        if md5:
            md5.update(body)
    else:
        buffer = memoryview(bytearray(min(PIECE, body.length) or 1))
        offset, end = body.offset, body.offset + body.length
        while offset < end:
            got = read_file(body.fd, buffer[: end - offset], offset)
            crc = zlib.crc32(buffer[:got], crc)
            if md5:
                md5.update(buffer[:got])
            offset += got
    return base64.b64encode(crc.to_bytes(4, "big")).decode(), md5.hexdigest() if md5 else ""


def bare(etag: str) -> str:
    """An ETag without quotes; engines differ in whether listings have them."""
    return etag.strip().removeprefix("W/").strip('"')


def quoted(etag: str) -> str:
    return f'"{bare(etag)}"'


def looks_md5(etag: str) -> bool:
    return len(etag) == 32 and all(letter in "0123456789abcdef" for letter in etag.lower())
