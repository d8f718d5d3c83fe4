"""Threads that read requests, one leader at a time, and answer them; a caller always gets an answer.

A FileError is what the caller gets. Anything else is our own mistake: EIO, and the trace in the log.
"""

import errno
import logging
import threading
import time
from collections.abc import Callable

from moorfs import wire
from moorfs.interrupts import Interrupts
from moorfs.kernel import EndedError, Kernel, buffer
from moorfs.lead import Lead
from moorfs.meanwhile import SILENT, Meanwhile
from moorfs.message import Answer, Request, Undo
from moorfs.metrics import Metrics
from moorfs.ports import FileError
from moorfs.requests import Refused, Requests

log = logging.getLogger(__name__)

_STACK = 1 << 20  # bytes of address space for a thread; the default is 8 MiB
_EXPECTED = frozenset((errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG))  # what callers ask for all day


class NotInitialisedError(Exception):
    """The kernel begins a connection that we believed to be taken over: what we remember is of another one."""


class Server:
    """Serves one connection from `start` until `ended` is set. The other parts call `lead.give_up` before they wait."""

    def __init__(
        self, kernel: Kernel, requests: Requests, lead: Lead, meanwhile: Meanwhile, metrics: Metrics,
        threads: int = 8, most: int = 160, unseen_seconds: float = 60.0, ended_seconds: float = 25.0,
        is_down: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._kernel = kernel
        self._requests = requests
        self._lead = lead
        self._meanwhile = meanwhile
        self._metrics = metrics
        self._kept, self._most = threads, most
        self._count = threading.Lock()
        self._threads = 0
        self.interrupts = Interrupts(self._give_up, unseen_seconds, is_down, ended_seconds)
        self.ended = threading.Event()
        self.failure: BaseException | None = None
        lead.short_of_followers = self._grow
        meanwhile.quick = self._quick

    @property
    def threads(self) -> int:
        return self._threads

    def start(self) -> None:
        """One thread; more are started as soon as one waits."""
        threading.stack_size(_STACK)
        self.interrupts.start()
        self._grow()

    def finish(self, seconds: float) -> bool:
        """Nothing is read any more; True when all requests under way have their answers within the time."""
        self._kernel.stop()
        end = time.monotonic() + seconds
        while self._unfinished and time.monotonic() < end:
            time.sleep(0.005)
        return not self._unfinished

    @property
    def _unfinished(self) -> bool:
        """In this order: what is put aside is begun by who has the lead, and is under way before he gives it up."""
        return bool(len(self._meanwhile) or self._lead.taken or self.interrupts.under_way)

    def _grow(self) -> None:
        with self._count:
            if self._threads >= self._most or self._kernel.stopping or self.ended.is_set():
                return
            self._threads += 1
            number = self._threads
        if number == self._most:
            log.warning("all %d threads are in use: further callers wait until one is free", number)
        threading.Thread(target=self._work, name=f"server-{number}", daemon=True).start()

    def _superfluous(self) -> bool:
        """Whether this thread may end; it is not counted any more then."""
        with self._count:
            if self._threads <= self._kept or self._lead.followers < self._kept:
                return False
            self._threads -= 1
            return True

    def _work(self) -> None:
        room = buffer()
        try:
            while self._lead.held or not self._superfluous():
                self._lead.take()
                request = self._meanwhile.next(room)
                if request is None:
                    break
                self._serve(request)
        except EndedError:
            self.ended.set()
        except BaseException as error:
            log.exception("a thread of the server failed")
            self.failure = error
            self.ended.set()
        finally:
            self._lead.give_up()

    def _serve(self, request: Request) -> None:
        if request.opcode == wire.INIT:
            raise NotInitialisedError
        if request.opcode == wire.INTERRUPT:
            self.interrupts.interrupted(wire.INTERRUPT_IN.unpack_from(request.body)[0])
            return
        started = time.monotonic()
        unique, silent = request.unique, request.opcode in SILENT
        if not silent:
            self.interrupts.begin(unique, request.pid)
            self._meanwhile.forget = self._serve if request.opcode == wire.UNLINK else None
        answer, error = self._handled(request)
        if not silent:
            self._reply(request, answer, error)
        size = len(answer.data) if answer else 0
        self._metrics.observe(
            wire.NAMES.get(request.opcode, "unknown"), time.monotonic() - started, bool(error),
            read=size if request.opcode == wire.READ else 0,
            written=wire.WRITE_IN.unpack_from(request.body)[2] if request.opcode == wire.WRITE and not error else 0,
        )  # fmt: skip

    def _quick(self, request: Request) -> bool:
        """Answer it, while another request waits for the engine, if that needs no waiting."""
        started, answer = time.monotonic(), self._requests.glimpse(request)
        if answer is None:
            return False
        self.interrupts.begin(request.unique, request.pid)
        self._reply(request, answer, 0)
        self._metrics.observe(wire.NAMES[request.opcode], time.monotonic() - started, False)
        return True

    def _handled(self, request: Request) -> tuple[Answer | None, int]:
        try:
            return self._requests.handle(request), 0
        except Refused as refused:
            return None, refused.errno or errno.ENOSYS
        except FileError as error:
            if error.errno not in _EXPECTED:
                log.warning("%s of node %d: %s", wire.NAMES.get(request.opcode), request.node, error)
            return None, _known(error.errno)
        except Exception:
            log.exception("%s of node %d failed", wire.NAMES.get(request.opcode, request.opcode), request.node)
            return None, errno.EIO

    def _reply(self, request: Request, answer: Answer | None, error: int) -> None:
        taken = False
        if self.interrupts.end(request.unique):
            data = [answer.data] if answer and not error else []
            try:
                taken = self._kernel.answer(request.unique, data, error)
            except OSError as refused:
                name = wire.NAMES.get(request.opcode)
                log.error("the kernel refused the answer to %s: %s", name, refused.strerror)
                self._kernel.answer(request.unique, (), errno.EIO)
        if not taken and answer and answer.undo:
            self._undo(request, answer.undo)

    def _undo(self, request: Request, undo: Undo) -> None:
        try:
            undo()
        except Exception:
            log.exception("what %s gave could not be taken back", wire.NAMES.get(request.opcode))

    def _give_up(self, unique: int) -> None:
        log.info("a caller was killed while its request waits; it gets EINTR")
        self._kernel.answer(unique, (), errno.EINTR)


def _known(number: int | None) -> int:
    """The kernel takes 1..511 for an error and refuses the rest."""
    return number if number and 0 < number < 512 else errno.EIO
