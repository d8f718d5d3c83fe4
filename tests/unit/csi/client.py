"""A caller of the driver, as the kubelet and the sidecars are."""

from typing import TYPE_CHECKING, TypeVar

import grpc.aio
from google.protobuf.message import Message

from moorage import errors
from moorage_csi import sockets

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

M = TypeVar("M", bound=Message)


class Client:
    """Calls one service on a unix socket; an error comes back as the class that the other side raised."""

    def __init__(self, endpoint: str, service: "ServiceDescriptor") -> None:
        self.service = service
        self.channel = grpc.aio.insecure_channel(f"unix:{endpoint.removeprefix('unix://')}")

    async def call(self, name: str, request: Message, answer: type[M], seconds: float) -> M:
        method = self.channel.unary_unary(
            f"/{self.service.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            return await method(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from None

    def _error(self, error: grpc.aio.AioRpcError) -> errors.MoorageError:
        return sockets.error(error.code().name, error.details() or "")
