"""`moorage-csi unsaved`: the files of this node that their buckets do not have, for people, in the mounter's pod.

    moorage-csi unsaved [VOLUME]                 list them, of one volume (<namespace>/<name>) or of all
    moorage-csi unsaved --retry ID [--as KEY]    store one now; after a conflict under another key, which must be free
    moorage-csi unsaved --discard ID             give one up

ID is what the list shows. Of a volume that is mounted here its moorfs is asked, by its control socket
(`moorfs.settings`); of others the cache is read, that of an rclone too. What an rclone that runs has not stored yet is
in the volume's condition.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moorage import unsaved
from moorage.errors import InUse, MoorageError, NotFound
from moorage_csi.mounter import control
from moorage_csi.mounter.leftovers import Left, Leftovers
from moorage_csi.mounter.programs import CONTROL

_STATS_SECONDS = 5.0
_RETRY_SECONDS = 600.0  # a big file over a slow line
_HEADS = ("ID", "VOLUME", "MOUNTED", "BYTES", "SINCE", "KEY", "WHY")


@dataclass(frozen=True, slots=True)
class Item:
    """A file that is unsaved. `home`: its cache folder; `socket`: of the moorfs that has it, None where none runs."""

    volume: str
    home: Path
    record: Mapping[str, Any]
    socket: Path | None

    @property
    def id(self) -> str:
        return f"{self.home.name}/{self.record['name']}"

    @property
    def line(self) -> tuple[str, ...]:
        record = self.record
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(float(record["since"])))
        why = "somebody else wrote it meanwhile" if record["conflict"] else str(record["error"] or "not tried yet")
        mounted = "yes" if self.socket else "no"
        return (self.id, self.volume, mounted, str(record["size"]), since, _printable(str(record["key"])), why)


class Backlog:
    def __init__(self, run: Path, cache: Path) -> None:
        """`run`: where the mounter keeps the files of its programs; `cache`: see `leftovers`."""
        self._run = run
        self._leftovers = Leftovers(cache, lambda: None, run=run)

    async def items(self, volume: str = "") -> list[Item]:
        """The oldest first."""
        await asyncio.to_thread(self._leftovers.look)
        found = [item for left in self._leftovers.all() for item in _left(left)]
        for config in sorted(self._run.glob("*/config.json")):
            found += await _served(config)
        return sorted((item for item in found if volume in ("", item.volume)), key=lambda item: item.record["since"])

    async def retry(self, id: str, key: str) -> None:
        """It is stored; raises MoorageError with what to do when it is not."""
        item = await self._item(id)
        if item.socket is None:
            raise InUse(f"{id}: nobody stores it while {item.volume} is not mounted here: mount it on this node")
        more = {"key": key} if key else {}
        await control.ask(item.socket, _RETRY_SECONDS, "retry", name=item.record["name"], **more)

    async def discard(self, id: str) -> None:
        item = await self._item(id)
        if item.socket is not None:
            await control.ask(item.socket, _STATS_SECONDS, "discard", name=item.record["name"])
            return
        for left in self._leftovers.all():
            for record in left.records:
                if (left.folder, record.name) == (item.home, item.record["name"]):
                    self._leftovers.discard(left.folder, record)

    async def _item(self, id: str) -> Item:
        for item in await self.items():
            if item.id == id:
                return item
        raise NotFound(f"nothing unsaved on this node is named {id!r}; `moorage-csi unsaved` lists what there is")


def _left(left: Left) -> list[Item]:
    return [Item(left.volume, left.folder, unsaved.told(record), None) for record in left.records]


async def _served(config: Path) -> list[Item]:
    """Of a moorfs that runs; a program of another kind, or one that is starting, tells nothing."""
    socket = config.parent / CONTROL
    settings: Mapping[str, Any] = json.loads(await asyncio.to_thread(config.read_bytes))
    found = await control.tell(socket, _STATS_SECONDS, "stats")
    return [Item(settings["volume"], Path(settings["cache"]), each, socket) for each in found.get("unsaved", ())]


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def table(items: Sequence[Item]) -> str:
    lines = [_HEADS, *(item.line for item in items)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    return "".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def main(words: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="moorage-csi unsaved", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("volume", nargs="?", default="", help="<namespace>/<name>")
    parser.add_argument("--retry", metavar="ID")
    parser.add_argument("--as", dest="key", default="", metavar="KEY", help="the whole key of an object")
    parser.add_argument("--discard", metavar="ID")
    parser.add_argument("--run-dir", type=Path, default=Path("/run/moorage"))
    parser.add_argument("--cache-dir", type=Path, default=Path("/var/cache/moorage"))
    try:
        return asyncio.run(_do(parser.parse_args(words)))
    except MoorageError as error:
        print(f"moorage-csi unsaved: {error}", file=sys.stderr)
        return 1


async def _do(given: argparse.Namespace) -> int:
    backlog = Backlog(given.run_dir, given.cache_dir)
    if given.retry:
        await backlog.retry(given.retry, given.key)
    elif given.discard:
        await backlog.discard(given.discard)
    else:
        print(table(await backlog.items(given.volume)), end="")
    return 0
