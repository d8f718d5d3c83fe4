"""One moorfs process: from an inherited descriptor to a served connection, and to its end.

`run` is what both a first process and one that takes over do; `Build` makes the file system between them.
"""

import logging
import os
import resource
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

from moorfs import agreement, wire
from moorfs.agreement import Features, NoTakeoverError
from moorfs.control import Control, Fields, Method
from moorfs.homes import taken
from moorfs.kernel import EndedError, Kernel, buffer
from moorfs.lead import Lead
from moorfs.meanwhile import Meanwhile
from moorfs.message import decode
from moorfs.metrics import Metrics, Tallies
from moorfs.ports import Backing, FileSystem
from moorfs.requests import Requests
from moorfs.serve import NotInitialisedError, Server
from moorfs.settings import ENDED, HANDED_OVER, NO_TAKEOVER, WRONG, Settings
from moorfs.shown import shown

log = logging.getLogger(__name__)

_FINISH_SECONDS = 20.0  # for the requests under way, when we are asked to end
_LISTED = 100  # unsaved files in stats
_SETTLE_SECONDS = 600.0  # for what is dirty, after an unmount
_LOCK_SECONDS = 20.0  # for another process that is ending


@dataclass(frozen=True, slots=True)
class Around:
    """What a file system is built into. `waits`: to be called before waiting; `replies`: before waiting for what a
    socket will soon get; `backing`: None without passthrough."""

    settings: Settings
    takeover: bool
    backing: Backing | None
    waits: Callable[[], None]
    kernel: Kernel
    replies: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Built:
    """A file system, and what else is asked of it: `rekey` reads the key again and says whether it was another one."""

    files: FileSystem
    rekey: Callable[[], bool] = lambda: False
    s3: Callable[[], Tallies] = dict[str, dict[str, object]]
    """The store's calls, counted by operation."""
    down_since: Callable[[], float | None] = lambda: None
    """time.time() since when the engine does not answer."""
    unsaved: Callable[[], list[dict[str, object]]] = list
    """What the engine does not have though its writer closed it, oldest first."""
    retry: Callable[[str, str | None], None] = lambda name, key: None
    """Store unsaved bytes now, by name; under another key after a conflict. Raises MoorageError."""
    discard: Callable[[str], None] = lambda name: None
    """Give unsaved bytes up that no open file has. Raises MoorageError."""


Build = Callable[[Around], Built]


def run(settings: Settings, fd: int, takeover: bool, build: Build) -> int:
    """Serve until the end; the exit code."""
    _many_files()
    kernel, lead = Kernel(fd), Lead()
    if not taken(settings.cache, _LOCK_SECONDS):
        log.error("another moorfs still has the cache %s", settings.cache)
        return WRONG
    state = os.path.join(settings.cache, "connection.json")
    try:
        features, again = _agreed(kernel, settings, state, takeover)
        backing = kernel.backing() if features.passthrough else None
        meanwhile = Meanwhile(kernel, lead)
        built = build(Around(settings, takeover, backing, lead.give_up, kernel, meanwhile.until))
    except EndedError:
        return ENDED
    except NoTakeoverError as error:
        log.error("takeover is impossible: %s", error)
        return NO_TAKEOVER
    metrics = Metrics(settings.volume)
    server = Server(
        kernel, Requests(built.files, shown(settings)), lead, meanwhile, metrics,
        settings.threads, settings.most_threads, settings.interrupt_seconds, settings.ended_seconds,
        lambda: built.down_since() is not None,
    )  # fmt: skip
    process = _Process(settings, features, state, server, built, metrics)
    if again:
        kernel.resend()
    Control(settings.socket, process.methods, process.answered).start()
    server.start()
    return process.wait()


def _agreed(kernel: Kernel, settings: Settings, state: str, takeover: bool) -> tuple[Features, bool]:
    """What the kernel and we agreed upon, and whether it must send again what the last process had read."""
    if not takeover:
        agreement.forget(state)
    features = agreement.recall(state)
    if features is None:
        if takeover:
            kernel.resend()  # INIT may have been read, and not answered
        return _initialised(kernel, settings, state), False
    if features.handed:
        agreement.remember(replace(features, handed=False), state)
    elif not features.resend:
        raise NoTakeoverError("this kernel sends no request again that the last process had read")
    return features, not features.handed


def _initialised(kernel: Kernel, settings: Settings, state: str) -> Features:
    room = buffer()
    while True:
        length = kernel.read(room)
        request = decode(room, length)
        if request.opcode != wire.INIT:
            raise NoTakeoverError("INIT was answered by another process, whose state is lost")
        try:
            features, answer = agreement.negotiate(request.body, settings.passthrough, settings.resend)
        except OSError as error:
            kernel.answer(request.unique, (), error.errno or 0)
            raise
        if features:
            agreement.remember(features, state)
        kernel.answer(request.unique, [answer])
        if features:
            log.info("FUSE 7.%d, passthrough %s, resend %s", features.minor, features.passthrough, features.resend)
            return features


class _Process:
    """A running one, as the control socket sees it."""

    def __init__(
        self, settings: Settings, features: Features, state: str, server: Server, built: Built, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._features = features
        self._state = state
        self._server = server
        self._built = built
        self._metrics = metrics
        self._code: int | None = None
        self._end = threading.Event()
        self.methods: dict[str, Method] = {
            "stats": self._stats, "metrics": self._text, "rekey": self._rekey, "store": self._store,
            "retry": self._retry, "discard": self._discard,
            "handover": lambda _: self._finish(HANDED_OVER), "shutdown": lambda _: self._finish(ENDED),
        }  # fmt: skip

    def wait(self) -> int:
        """Until the connection ends or somebody asked for it."""
        signal.signal(signal.SIGTERM, self._terminated)
        threading.Thread(target=self._watch_server, daemon=True).start()
        self._end.wait()
        if isinstance(self._server.failure, NotInitialisedError):
            agreement.forget(self._state)  # the next process answers INIT, which is sent again
        if self._server.failure:
            raise self._server.failure
        if self._code is None:  # unmounted or aborted: what was acknowledged as written is stored still
            unsaved = self._built.files.settle(_SETTLE_SECONDS)
            log.info("the connection has ended; unsaved: %s", ", ".join(unsaved) or "nothing")
            return ENDED
        return self._code

    def _terminated(self, _number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=lambda: self.answered(self._finish(HANDED_OVER)), daemon=True).start()

    def _watch_server(self) -> None:
        self._server.ended.wait()
        self._end.set()

    def _stats(self, _: Fields) -> Fields:
        features = self._features
        kernel = {"minor": features.minor, "passthrough": features.passthrough, "resend": features.resend}
        return {
            "pid": os.getpid(), "volume": self._settings.volume, "kernel": kernel,
            "threads": self._server.threads, "residentBytes": _resident(),
            "underWay": self._server.interrupts.under_way, "oldestSeconds": round(self._server.interrupts.oldest, 3),
            "figures": dict(self._built.files.figures()), "unsaved": self._built.unsaved()[:_LISTED],
            "s3": dict(self._built.s3()),
            "downSince": self._built.down_since(), **self._metrics.figures(),
        }  # fmt: skip

    def _text(self, _: Fields) -> Fields:
        own: dict[str, float] = {"resident_bytes": _resident(), "requests_under_way": self._server.interrupts.under_way}
        own["engine_down"] = self._built.down_since() is not None
        return {"text": self._metrics.text({**own, **self._built.files.figures()}, self._built.s3())}

    def _rekey(self, _: Fields) -> Fields:
        return {"changed": self._built.rekey()}

    def _store(self, request: Fields) -> Fields:
        wanted: Any = request.get("seconds", 60)
        unsaved = self._built.files.settle(float(wanted))
        return {"stored": not unsaved, "unsaved": list(unsaved[:100])}

    def _retry(self, request: Fields) -> Fields:
        key = request.get("key")
        self._built.retry(str(request.get("name", "")), str(key) if key else None)
        return {}

    def _discard(self, request: Fields) -> Fields:
        self._built.discard(str(request.get("name", "")))
        return {}

    def _finish(self, code: int) -> Fields:
        """Ends this process, once its requests have their answers (or the time is over)."""
        done = self._server.finish(_FINISH_SECONDS)
        if code == HANDED_OVER and done:
            agreement.remember(agreement.handed(self._features), self._state)
        self._code = code
        return {"finished": done}

    def answered(self, answer: Fields) -> None:
        """It has been sent, or nobody takes it: now this process ends, if that was what was asked for."""
        if "finished" in answer:
            self._end.set()


def _resident() -> int:
    """Bytes (proc(5), statm)."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def _many_files() -> None:
    """Each open file of a caller is one here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
