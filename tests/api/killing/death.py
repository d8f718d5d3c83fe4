"""Dying at a chosen call: every call of one operator, to Kubernetes and to the S3 engine, passes by a `Death`.

A call has a name that is the same in every run: verb and path without what is random. A `Doom` is the n-th call of that
name in a stage of a story, and whether death comes before the server hears of it, or after the server has carried it
out and before anybody here has read the answer. From then on nothing of that operator reaches a server any more,
whatever its clean-up tries.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from moorage.actions import Manifest
from moorage_operator.cluster import Cluster
from moorage_operator.s3 import S3

Answer = TypeVar("Answer")
When = Literal["before", "after"]

_ID = re.compile(r"(?<=-)[a-km-np-z2-9]{8}(?=$|[-/.])")


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """The n-th call of a name, from 1, in what the operator was just about."""

    name: str
    count: int

    @property
    def writes(self) -> bool:
        return not self.name.startswith(("GET ", "S3 GET ", "S3 HEAD "))

    def __str__(self) -> str:
        return f"{self.name} #{self.count}"


@dataclass(frozen=True, slots=True, order=True)
class Doom:
    """When to die."""

    call: Call
    when: When

    def __str__(self) -> str:
        return f"{self.when} {self.call}"


def dooms(calls: list[Call], all_reads: bool) -> list[Doom]:
    """Every moment worth dying at.

    A read changes no server: before and after it are one moment, and so is the moment before the next call. So of reads
    of one name the first is enough, unless `all_reads`.
    """
    writes = [Doom(each, when) for each in calls for when in ("before", "after") if each.writes]
    return writes + [Doom(each, "after") for each in calls if not each.writes and (all_reads or each.count == 1)]


@dataclass
class Death:
    """Watches the calls of one operator, and ends it at `doom`, if there is one.

    A number is that of a call of any name: an odd one before it, an even one after it.
    """

    doom: Doom | int | None = None
    calls: list[Call] = field(default_factory=list[Call])
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    _counts: Counter[str] = field(default_factory=Counter[str])

    async def watch(self, name: str, send: Callable[[], Awaitable[Answer]]) -> Answer:
        self._refuse_the_dead()
        call, number = self._note(name), len(self.calls)
        if self._is_due(call, number, "before"):
            await self._die()
        try:
            return await send()
        finally:
            if self._is_due(call, number, "after"):
                await self._die()

    def begin(self, doom: Doom | int | None = None) -> None:
        """Count anew: something else begins, with another doom."""
        self.doom = doom
        self.calls = []
        self._counts.clear()

    def _is_due(self, call: Call, number: int, when: When) -> bool:
        if isinstance(self.doom, int):
            return self.doom == number and when == ("before" if number % 2 else "after")
        return self.doom == Doom(call, when)

    def strike(self) -> None:
        """Die here and now, wherever it is."""
        self.dead.set()

    def _note(self, name: str) -> Call:
        self._counts[name] += 1
        self.calls.append(Call(name, self._counts[name]))
        return self.calls[-1]

    def _refuse_the_dead(self) -> None:
        if self.dead.is_set():
            raise asyncio.CancelledError("the dead do not call")

    async def _die(self) -> None:
        self.strike()
        await asyncio.get_running_loop().create_future()  # until the corpse is cleared away


DEATH: ContextVar[Death] = ContextVar("death")  # of the operator that a task belongs to


class Mortal(Cluster):
    """A Cluster for one operator, which sees only what is in its `scope`: many operators share an API server here."""

    def __init__(self, cluster: Cluster, death: Death, scope: str) -> None:
        self.configuration = cluster.configuration
        self._client = cluster._client
        self._death = death
        self._scope = scope

    async def _call(self, method: str, path: str, *rest: Any, **named: Any) -> Manifest:
        name = f"{method} {plain(path, self._scope)}"
        return await self._death.watch(name, lambda: Cluster._call(self, method, path, *rest, **named))

    async def pages(
        self, api_version: str, kind: str, namespace: str = "", **selectors: str
    ) -> AsyncGenerator[list[Manifest]]:
        async with aclosing(super().pages(api_version, kind, namespace, **selectors)) as pages:
            async for page in pages:
                yield [each for each in page if scope_of(each) in (self._scope, None)]


@contextmanager
def mortal_s3() -> Iterator[None]:
    """S3 calls pass by the Death of whose task they are, too."""
    send = S3._send

    async def watched(self: S3, method: str, url: str, *rest: Any) -> tuple[int, bytes]:
        death = DEATH.get(None)
        if death is None:
            return await send(self, method, url, *rest)
        parts = urlsplit(url)
        what = ",".join(sorted(key for key, _ in parse_qsl(parts.query, keep_blank_values=True)))
        name = f"S3 {method} {plain(parts.path, '')}?{what}"
        return await death.watch(name, lambda: send(self, method, url, *rest))

    with mock.patch.object(S3, "_send", watched):
        yield


def plain(path: str, scope: str) -> str:
    """The path without what is random in it."""
    return _ID.sub("ID", path.replace(scope, "ns") if scope else path)


SCOPE = re.compile(r"k-[0-9a-f]{8}")


def scope_of(body: Manifest) -> str | None:
    """Whose object it is: of its namespace, or of the namespace that it stands for; None when everybody's."""
    metadata = body["metadata"]
    claim = body.get("spec", {}).get("claimRef", {}) if body.get("kind") == "PersistentVolume" else {}
    where = metadata.get("namespace") or claim.get("namespace") or metadata["name"]
    found = SCOPE.match(where)
    return found[0] if found else None if "namespace" not in metadata and not claim else where
