"""Ganesha's records of the clients that may reclaim after a restart: a folder for each, on the pool.

The grace period ends when all of them have reclaimed. One that cannot come back makes the others wait for all of it.
"""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from moorage import ganesha

log = logging.getLogger(__name__)

_FOLDERS = ("v4recov", "v4old")  # of this life, and of the one before: read both at a start


def forget_strangers(root: Path, clients: Iterable[str]) -> None:
    """Remove the records of those whom no export admits: they could reclaim nothing. Only while Ganesha is down."""
    admitted = tuple(clients)
    for folder in _FOLDERS:
        for record in root.joinpath(folder).glob("*"):
            if ganesha.is_stranger(record.name, admitted):
                log.info("client %s is of no node that may mount: nobody waits for it", record.name)
                shutil.rmtree(record, ignore_errors=True)
