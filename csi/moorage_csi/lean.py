"""OpenSSL left out of the processes that run on every node, until one of them needs it.

asyncio and hashlib load it when it is there and do without when it is not: 5 MiB of each process, for nothing, because
the sockets here are local and the hashes are Python's own. Only a node that asks the API server loads it after all.
"""

import sys
from typing import Any

_HEAVY = ("ssl", "_hashlib")


def leave_out() -> None:
    """An import of OpenSSL fails, as where Python was built without it. To be called before asyncio is loaded."""
    modules: dict[str, Any] = sys.modules
    for name in _HEAVY:
        modules.setdefault(name, None)


def take_in() -> None:
    """OpenSSL can be imported again."""
    modules: dict[str, Any] = sys.modules
    for name in _HEAVY:
        if modules.get(name, sys) is None:
            del modules[name]
