"""Which keys a file system can hold, and which names a bucket can.

A part of a key that is empty (`a//b`), `.`, `..`, longer than 255 bytes, no UTF-8 or has a NUL has no name here: it is
left out of listings and counted. Where `a` and `a/...` are both there, the folder has the name: what is in it would be
out of reach otherwise, while the object can still be had by S3.
"""

import errno

from moorfs.ports import FileError

NAME_MAX = 255  # Linux, NAME_MAX
KEY_MAX = 1024  # S3: bytes of a key in UTF-8

EMPTY, DOTS, LONG, ENCODING, NUL, HIDDEN = "empty", "dots", "long", "encoding", "nul", "hidden"


def unfit(part: str) -> str:
    """Why a part of a key can be no name; "" when it can."""
    if part in (".", ".."):
        return DOTS
    if not part:
        return EMPTY
    if "\0" in part:
        return NUL
    if part.isascii():
        return LONG if len(part) > NAME_MAX else ""
    try:
        return LONG if len(part.encode()) > NAME_MAX else ""
    except UnicodeEncodeError:
        return ENCODING


def sought(name: bytes) -> str | None:
    """A name that is looked for; None when no key can have it."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return None
    return None if unfit(text) else text


def given(name: bytes, prefix: str, folder: bool = False) -> str:
    """A name that is about to be made in the folder with that prefix. FileError: EILSEQ, ENAMETOOLONG, EINVAL."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise FileError(errno.EILSEQ, "names of a bucket are UTF-8") from None
    reason = unfit(text)
    if reason == LONG:
        raise FileError(errno.ENAMETOOLONG, f"a name has at most {NAME_MAX} bytes")
    if reason:
        raise FileError(errno.EINVAL, f"no key can have the name {text!r}")
    if len((prefix + text).encode()) + folder > KEY_MAX:
        raise FileError(errno.ENAMETOOLONG, f"a key has at most {KEY_MAX} bytes")
    return text
