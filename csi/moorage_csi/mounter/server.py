"""The mounter's service on its socket (`wire` says how it is spoken).

Mount {volume_id, target, kind, parameters, secrets}: the volume is mounted at `target`; OK when it is already, with the
same parameters. Answers only when the mount was seen in the mount table and has answered a probe.
Rekey {target, secrets}: the mount there goes on with a newer key.
Health {target}: {trouble: a sentence, empty when all is well}.
Unmount {target}: nothing is mounted there, and its process has stored what it held (within a bound).
List {}: {volumes: [{volume_id, target, kind, pid, restarts, running}]}.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from moorage.errors import InvalidInput, MoorageError, NotFound, NotOffered, Pending
from moorage.unsaved import Unsaved
from moorage_csi import mounts, sockets
from moorage_csi.metrics import Metrics
from moorage_csi.mounter import wire
from moorage_csi.mounter.programs import Programs
from moorage_csi.mounter.supervisor import Supervisor

log = logging.getLogger(__name__)

_REQUEST_SECONDS = 5.0  # for a caller to say what it wants
_SETTLE_SECONDS = 10.0  # for the node plugin to say what an earlier mounter had
_SECONDS = 85.0  # for what is asked


class _GoneError(Exception):
    """The caller's connection has ended: nobody is there to be answered."""


class MounterServer:
    def __init__(
        self,
        metrics: Metrics,
        supervisor: Supervisor,
        programs: Programs,
        settled: asyncio.Event | None = None,
        left: Callable[[str], Sequence[Unsaved]] = lambda volume: (),
    ) -> None:
        """`settled`: set once it is known what an earlier mounter had; None: there was none. `left`: what mounts of a
        volume (<namespace>/<name>) that are over have left unsaved."""
        self._left = left
        self._settled = settled
        self._started = time.monotonic()
        self._metrics = metrics
        self._supervisor = supervisor
        self._programs = programs
        self._busy: set[str] = set()
        self._methods: Mapping[str, Callable[[wire.Fields], Awaitable[wire.Fields]]] = {
            "Mount": self._mount, "Unmount": self._unmount, "Rekey": self._rekey, "Health": self._health,
            "List": self._list,
        }  # fmt: skip

    async def listen(self, endpoint: str) -> asyncio.Server:
        with sockets.fresh(endpoint) as path:
            return await asyncio.start_unix_server(self._serve, path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await wire.send(writer, await self._answer(reader, writer.get_extra_info("socket")))
        except (OSError, _GoneError):
            return
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, connection: socket.socket) -> wire.Fields:
        started = time.monotonic()
        request: wire.Fields = {}
        answer: wire.Fields = {}
        try:
            wire.check_peer(connection)
            async with asyncio.timeout(_REQUEST_SECONDS):
                request = await _received(reader)
            async with asyncio.timeout(_SECONDS):
                answer = {"code": "OK", **await _unless_gone(reader, self._call(request))}
        except MoorageError as error:
            answer = {"code": error.code, "message": str(error)}
        except TimeoutError:
            answer = {"code": "DEADLINE_EXCEEDED", "message": "the mounter did not end in time; call again"}
        except _GoneError:
            raise
        except Exception as error:
            log.exception("a request failed")
            answer = {"code": "INTERNAL", "message": f"the mounter failed ({_why(error)}); its log says where"}
        finally:
            self._account(request, answer, time.monotonic() - started)
        return answer

    async def _call(self, request: wire.Fields) -> wire.Fields:
        method = self._methods.get(str(request.get("method")))
        if method is None:
            raise NotOffered(f"the mounter knows {', '.join(self._methods)}, nothing else")
        if request.get("method") in ("Mount", "Unmount") and self._is_new:
            raise Pending("the mounter has just started and does not know yet what is mounted; call again")
        target = str(request.get("target", ""))
        if target and target in self._busy:
            raise Pending(f"an operation on {target} is under way; call again")
        self._busy.add(target)
        try:
            return await method(request)
        finally:
            self._busy.discard(target)

    @property
    def _is_new(self) -> bool:
        waits = time.monotonic() - self._started < _SETTLE_SECONDS
        return self._settled is not None and not self._settled.is_set() and waits

    def _account(self, request: wire.Fields, answer: wire.Fields, seconds: float) -> None:
        method, code = str(request.get("method", "?")), str(answer.get("code", "CANCELLED"))
        self._metrics.observe(method if method in self._methods else "?", code, seconds)
        shown = {key: value for key, value in request.items() if key in ("volume_id", "target", "kind")}
        level = logging.INFO if code == "OK" else logging.WARNING
        if method != "List" or code != "OK":
            log.log(level, "%s %s %.3fs %s %s", method, code, seconds, shown, answer.get("message", ""))

    async def _mount(self, request: wire.Fields) -> wire.Fields:
        volume_id, kind = _text(request, "volume_id"), _text(request, "kind")
        target = mounts.absolute(_text(request, "target"), "target")
        parameters, secrets = _texts(request, "parameters"), _texts(request, "secrets")
        await self._supervisor.mount(self._programs.recipe(volume_id, target, kind, parameters, secrets))
        return {}

    async def _rekey(self, request: wire.Fields) -> wire.Fields:
        target, secrets = mounts.absolute(_text(request, "target"), "target"), _texts(request, "secrets")
        kept = self._supervisor.at(target)
        if kept is None:
            raise NotFound(f"nothing is mounted at {target}")
        old = kept.recipe
        await self._supervisor.rekey(self._programs.recipe(old.volume_id, target, old.kind, old.parameters, secrets))
        return {}

    async def _health(self, request: wire.Fields) -> wire.Fields:
        kept = self._supervisor.at(mounts.absolute(_text(request, "target"), "target"))
        if kept is None:
            return {"trouble": ""}
        volume = "/".join(kept.recipe.volume_id.split("/")[:2])
        return {"trouble": await kept.trouble(self._left(volume))}

    async def _unmount(self, request: wire.Fields) -> wire.Fields:
        await self._supervisor.unmount(mounts.absolute(_text(request, "target"), "target"))
        return {}

    async def _list(self, request: wire.Fields) -> wire.Fields:
        volumes: list[dict[str, Any]] = []
        for kept in self._supervisor.mounts:
            recipe, process = kept.recipe, kept.process
            running = bool(process and process.running)
            volumes.append(
                {"volume_id": recipe.volume_id, "target": recipe.target, "kind": recipe.kind,
                 "pid": process.pid if process else 0, "restarts": kept.restarts, "running": running}
            )  # fmt: skip
        return {"volumes": volumes}


async def _received(reader: asyncio.StreamReader) -> wire.Fields:
    try:
        return await wire.receive(reader)
    except (OSError, asyncio.IncompleteReadError) as error:
        raise _GoneError from error


def _why(error: Exception) -> str:
    """The system's own words tell an operator what to mend, such as a full disk; other errors' may tell a secret."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return type(error).__name__


async def _unless_gone(reader: asyncio.StreamReader, work: Awaitable[wire.Fields]) -> wire.Fields:
    """What comes of `work`, which is given up when the caller goes away."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise _GoneError
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


def _text(request: wire.Fields, key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{key} is required")
    return value


def _texts(request: wire.Fields, key: str) -> Mapping[str, str]:
    found: Any = request.get(key) or {}
    if isinstance(found, dict) and all(isinstance(text, str) for text in cast("dict[str, Any]", found).values()):
        return cast("dict[str, str]", found)
    raise InvalidInput(f"{key} is not a map of strings")
