"""Ganesha's export manager over D-Bus."""

import asyncio
from typing import Any, Self

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from moorage import ganesha
from moorage.errors import DeadlineExceeded, MoorageError, NotReady

_DEADLINE = 10.0


class BusError(MoorageError):
    """Ganesha refused; the message carries its words."""


class ExportManager:
    """One connection. A dead one raises NotReady on every call; the supervisor makes a new one."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    @classmethod
    async def connect(cls, address: str) -> Self:
        return cls(await asyncio.wait_for(MessageBus(bus_address=address).connect(), _DEADLINE))

    def close(self) -> None:
        self._bus.disconnect()

    async def show(self) -> dict[int, str]:
        """Export id -> path of everything that is served."""
        return ganesha.read_exports(await self._call("ShowExports"))

    async def add(self, file: str, export_id: int) -> None:
        await self._call("AddExport", "ss", file, f"EXPORT(Export_Id={export_id})")

    async def update(self, file: str, export_id: int) -> None:
        await self._call("UpdateExport", "ss", file, f"EXPORT(Export_Id={export_id})")

    async def remove(self, export_id: int) -> None:
        await self._call("RemoveExport", "q", export_id)

    async def _call(self, member: str, signature: str = "", *body: Any) -> list[Any]:
        message = Message(
            destination="org.ganesha.nfsd",
            path="/org/ganesha/nfsd/ExportMgr",
            interface="org.ganesha.nfsd.exportmgr",
            member=member,
            signature=signature,
            body=list(body),
        )
        try:
            reply = await asyncio.wait_for(self._bus.call(message), _DEADLINE)
        except TimeoutError as error:
            raise DeadlineExceeded(f"ganesha did not answer {member} within {_DEADLINE:.0f} s") from error
        except (EOFError, OSError) as error:
            raise NotReady(f"ganesha's bus is gone ({member}): it is being started again") from error
        if reply.message_type is MessageType.ERROR:
            raise BusError(f"{member}: {' '.join(map(str, reply.body))}")
        return reply.body
