"""Mount options of NFS (nfs(5)) that a class, a backend, a volume or a claim may set, and what their values look like.

An option that is not here is refused: `addr`, `clientaddr`, `context`, `fsc` could turn a mount into another one.
"""

from collections.abc import Iterable, Mapping

_NUMBER = "[0-9]{1,9}"

# None: a flag; else what its whole value must match.
NFS_OPTIONS: Mapping[str, str | None] = {
    "vers": "4[.][12]", "nfsvers": "4[.][12]", "minorversion": "[12]", "proto": "tcp6?", "sec": "sys",
    "hard": None, "soft": None, "softerr": None, "noresvport": None, "resvport": None,
    "timeo": _NUMBER, "retrans": _NUMBER, "retry": _NUMBER, "port": _NUMBER, "nconnect": "([1-9]|1[0-6])",
    "max_connect": "([1-9]|1[0-6])", "rsize": _NUMBER, "wsize": _NUMBER,
    "ac": None, "noac": None, "actimeo": _NUMBER, "acregmin": _NUMBER, "acregmax": _NUMBER, "acdirmin": _NUMBER,
    "acdirmax": _NUMBER, "cto": None, "nocto": None, "lookupcache": "(all|none|pos|positive)",
    "write": "(lazy|eager|wait)",
    "sharecache": None, "nosharecache": None, "rdirplus": None, "nordirplus": None,
    "atime": None, "noatime": None, "nodiratime": None, "relatime": None, "sync": None, "async": None,
    "nosuid": None, "nodev": None, "noexec": None, "ro": None, "rw": None,
}  # fmt: skip

# One pattern for all, for the API server: RE2 and Python read it the same way.
PATTERN = "^({})$".format(
    "|".join(key if value is None else f"{key}={value}" for key, value in sorted(NFS_OPTIONS.items()))
)

# Options of which the last one written counts, beside each other's keys.
_SAME = {"nfsvers": "vers", "soft": "hard", "softerr": "hard", "rw": "ro", "async": "sync", "relatime": "atime"}


def merged(*layers: Iterable[str]) -> tuple[str, ...]:
    """All options, but of those that speak of one thing (vers and nfsvers, hard and soft, ac and noac) only the last
    layer's: `vers=4.1,hard` and `vers=4.2,soft` make `vers=4.2,soft`."""
    found: tuple[str, ...] = ()
    for layer in layers:
        later = tuple(layer)
        again = {_subject(each) for each in later}
        found = (*(each for each in found if _subject(each) not in again), *later)
    return found


def _subject(option: str) -> str:
    key = option.partition("=")[0]
    if key.startswith("no") and key[2:] in NFS_OPTIONS:
        key = key[2:]
    return _SAME.get(key, key)
