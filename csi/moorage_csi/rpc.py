"""What every RPC needs, once: fields as arguments, required fields, one operation per volume, deadline, codes, log.

A servicer's method takes the request's fields by name and returns the response message. A parameter without a default
is a REQUIRED field of the CSI spec: when it is missing the call is refused with INVALID_ARGUMENT. An error of
`moorage.errors` ends the call with the code of its class; anything else ends it with INTERNAL and one sentence, and its
traceback goes to the log only.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from moorage import errors, names
from moorage_csi import limits, redact, sockets
from moorage_csi.metrics import Metrics

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

log = logging.getLogger(__name__)

Method = Callable[..., Awaitable[Message]]
Context = grpc.aio.ServicerContext[Message, Message]
_NO_DEFAULT = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Operation:
    """How one RPC is run."""

    lock: str = ""  # a request field: while a call with the same value runs, another is ABORTED (CSI spec, Concurrency)
    deadline: float = 60.0  # seconds, when the caller gives no shorter one
    quiet: bool = False  # logged only when it fails: probes and stats come all the time


class Servicer:
    """Base of the services: `service` says which one, `operations` how its methods run."""

    service: ClassVar["ServiceDescriptor"]
    operations: ClassVar[Mapping[str, Operation]] = {}

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._busy: set[str] = set()

    @contextmanager
    def alone(self, key: str) -> Generator[None]:
        """Hold `key`; raises Pending when another call holds it."""
        if key in self._busy:
            raise errors.Pending(f"an operation on {key} is under way; call again")
        self._busy.add(key)
        try:
            yield
        finally:
            self._busy.discard(key)


async def listen(endpoint: str, *servicers: Servicer) -> grpc.aio.Server:
    """Serve on a unix socket that only its owner can open; an old socket file is replaced."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(_handlers(servicer) for servicer in servicers))
    with sockets.fresh(endpoint) as path:
        server.add_insecure_port(f"unix:{path}")
    await server.start()
    return server


def _handlers(servicer: Servicer) -> grpc.GenericRpcHandler:
    """Handlers for all methods of the service; those that `servicer` lacks answer UNIMPLEMENTED."""
    found = {
        method.name: grpc.unary_unary_rpc_method_handler(
            _Call(servicer, method, getattr(servicer, method.name, None) or _lacking(method.name)).serve,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=_bytes,
        )
        for method in servicer.service.methods
    }
    return grpc.method_handlers_generic_handler(servicer.service.full_name, found)


def _lacking(name: str) -> Method:
    async def answer() -> Message:
        raise errors.NotOffered(f"{name} is not offered by {names.DRIVER}")

    return answer


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


class _Call:
    """One method of a servicer as gRPC calls it."""

    def __init__(self, servicer: Servicer, method: "MethodDescriptor", function: Method) -> None:
        self.servicer = servicer
        self.name = method.name
        self.function = function
        self.operation = servicer.operations.get(method.name, Operation())
        self.defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}

    async def serve(self, request: Message, context: Context) -> Message:
        started = time.monotonic()
        code, detail = "CANCELLED", "the caller went away"
        try:
            response = await self._run(request, context.time_remaining())
            code, detail = "OK", ""
            return response
        except errors.MoorageError as error:
            code, detail = error.code, str(error)
        except TimeoutError:
            code, detail = "DEADLINE_EXCEEDED", f"{self.name} did not end in time; it may be called again"
        except Exception as error:
            log.exception("%s failed", self.name)
            code, detail = "INTERNAL", f"{self.name} failed ({type(error).__name__}); the driver's log says where"
        finally:
            self._account(request, code, detail, time.monotonic() - started)
        return await _abort(context, code, detail)

    async def _run(self, request: Message, remaining: float | None) -> Message:
        seconds = min(self.operation.deadline, remaining or self.operation.deadline)
        limits.check(request)
        fields = arguments(request, self.defaults)
        async with asyncio.timeout(seconds):
            with self._lock(fields):
                return await self.function(**fields)

    def _lock(self, fields: Mapping[str, Any]) -> AbstractContextManager[None]:
        return self.servicer.alone(fields[self.operation.lock]) if self.operation.lock else nullcontext()

    def _account(self, request: Message, code: str, detail: str, seconds: float) -> None:
        self.servicer.metrics.observe(self.name, code, seconds)
        if code == "OK" and self.operation.quiet:
            return
        level = logging.INFO if code == "OK" else logging.WARNING
        log.log(level, "%s %s %.3fs %s %s", self.name, code, seconds, redact.text(request), detail)


def arguments(request: Message, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `request` named in `defaults`; raises InvalidInput for one that is missing and has no default."""
    found: dict[str, Any] = {}
    for name, default in defaults.items():
        value = _value(request, name)
        if value is None and default is _NO_DEFAULT:
            raise errors.InvalidInput(f"{name} is required")
        found[name] = default if value is None else value
    return found


def _value(request: Message, name: str) -> Any:
    """A field as a plain value; None when it is absent or has proto3's zero value."""
    field = request.DESCRIPTOR.fields_by_name[name]
    value = getattr(request, name)
    if field.is_repeated:
        plain = dict(value) if field.message_type and field.message_type.GetOptions().map_entry else tuple(value)
        return plain or None
    if field.message_type:
        return value if request.HasField(name) else None
    return value or None


async def _abort(context: Context, code: str, detail: str) -> Message:
    await context.abort(grpc.StatusCode[code], detail)
    raise AssertionError("abort() raises")
