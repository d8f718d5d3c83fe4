"""What the engine's refusals mean for who called read(2) or close(2).

Source of the codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; those of versitygw, MinIO and
Ceph are named where they differ.
"""

import errno
from dataclasses import dataclass, field
from xml.etree import ElementTree

from moorfs.ports import Changed, Missing, StoreError

BUSY = frozenset({"SlowDown", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException", "Busy"})
BUSY_STATUS = frozenset({429, 502, 503, 504})
KEY_CODES = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", ""})
SKEWED = "RequestTimeTooSkewed"
DIGESTS = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"})
RACES = frozenset({"ConditionalRequestConflict", "OperationAborted"})

ERRNO = {
    "KeyTooLongError": errno.ENAMETOOLONG,
    "EntityTooLarge": errno.EFBIG,
    "NotImplemented": errno.ENOSYS,
    "ObjectParentIsFile": errno.ENOTDIR,  # versitygw's posix backend: `a` is an object, and `a/b` was asked
    "ExistingObjectIsDirectory": errno.EISDIR,
    "DirectoryObjectContainsData": errno.EISDIR,
    "DirectoryNotEmpty": errno.ENOTEMPTY,
    "DiskFull": errno.ENOSPC,
    "XMinioStorageFull": errno.ENOSPC,
    "InsufficientStorage": errno.ENOSPC,
    "AuthorizationHeaderMalformed": errno.EACCES,
    "ExpiredToken": errno.EACCES,
    "InvalidToken": errno.EACCES,
    "NoSuchBucket": errno.EIO,
    "NoSuchUpload": errno.EIO,
}
STATUS_ERRNO = {401: errno.EACCES, 403: errno.EACCES, 413: errno.EFBIG, 501: errno.ENOSYS, 507: errno.ENOSPC}


@dataclass(eq=False)
class Refusal(Exception):
    """An answer that is no success: HTTP status, the engine's code and message, the answer's headers."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def busy(self) -> bool:
        """The engine cannot now: the same call is worth repeating."""
        return self.code in BUSY or self.status in BUSY_STATUS

    @property
    def broken(self) -> bool:
        """The engine failed at this call: worth a few repetitions, no more."""
        return self.status >= 500 and self.error().errno == errno.EIO

    @property
    def about_key(self) -> bool:
        """The key may be wrong or old. HEAD answers have no body, hence no code; some engines say 400."""
        return self.code in KEY_CODES and (bool(self.code) or self.status in (401, 403))

    def error(self, what: str = "") -> StoreError:
        """As the caller gets it."""
        text = f"{what}: HTTP {self.status} {self.code} {self.message}".rstrip()
        if self.status in (301, 302, 307, 308):
            text += f" (to {self.headers.get('location', '?')}): check the endpoint, region and addressing style"
        if self.status == 404 and self.code not in ("NoSuchBucket", "NoSuchUpload"):
            return Missing(errno.ENOENT, text, self.status, self.code)
        if self.status in (412, 416) or self.code in RACES:
            return Changed(errno.ESTALE, text, self.status, self.code)
        return StoreError(self._errno(), text, self.status, self.code)

    def _errno(self) -> int:
        if "quota" in self.code.lower() or "quota" in self.message.lower():
            return errno.EDQUOT
        return ERRNO.get(self.code) or STATUS_ERRNO.get(self.status, errno.EIO)


def refusal(status: int, headers: dict[str, str], body: bytes) -> Refusal:
    """Of an answer's parts; a body that is no XML gives no code."""
    code, message = error_in(body)
    return Refusal(status, code, message, headers)


def error_in(body: bytes) -> tuple[str, str]:
    """(Code, Message) of an <Error> document; empty when it is none. Some calls answer 200 and then one of these."""
    try:
        # expat of 2.4.1 and later bounds entity expansion, and the server is one that an administrator named
        tree = ElementTree.fromstring(body)  # noqa: S314
    except ElementTree.ParseError:
        return "", ""
    if tree.tag.rpartition("}")[2] != "Error":
        return "", ""
    found = {each.tag.rpartition("}")[2]: each.text or "" for each in tree}
    return found.get("Code", "").strip(), found.get("Message", "").strip()


def status_of(code: str) -> int:
    """Of an error that came with HTTP 200."""
    return {
        "PreconditionFailed": 412,
        "NoSuchKey": 404,
        "AccessDenied": 403,
        "SlowDown": 503,
        "InternalError": 500,
    }.get(code, 400)
