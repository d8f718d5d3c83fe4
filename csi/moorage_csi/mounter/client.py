"""The node plugin's side of the mounter's protocol."""

import asyncio
from collections.abc import Callable, Mapping

from moorage.errors import DeadlineExceeded, MoorageError, NotReady
from moorage_csi.mounter import wire

_SECONDS = 90.0  # longer than the mounter takes for anything
_HEALTH_SECONDS = 2.0
_HINT = "the mounter of this node does not answer; its pod (DaemonSet moorage-mounter) must be running here"


class AbsentError(NotReady):
    """Nobody listens at the mounter's socket."""


class MounterClient:
    """A `stage.Mounter` on the mounter's socket."""

    def __init__(self, endpoint: str, forget: Callable[[str], None] = lambda target: None) -> None:
        """`forget`: told of what is unmounted while there is no mounter: the next one shall not have it."""
        self._forget = forget
        self._path = endpoint.removeprefix("unix://")

    async def mount(
        self, volume_id: str, target: str, kind: str, parameters: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None:
        fields = {"volume_id": volume_id, "target": target, "parameters": dict(parameters), "secrets": dict(secrets)}
        await self._call({"method": "Mount", "kind": kind, **fields})

    async def rekey(self, target: str, secrets: Mapping[str, str]) -> None:
        """The mount at `target` goes on with a newer key."""
        await self._call({"method": "Rekey", "target": target, "secrets": dict(secrets)})

    async def trouble(self, target: str) -> str:
        """What the users of the mount at `target` should know, in a sentence; empty when all is well or not known."""
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                return str((await self._call({"method": "Health", "target": target})).get("trouble", ""))
        except (TimeoutError, MoorageError):
            return ""

    async def unmount(self, target: str) -> None:
        try:
            await self._call({"method": "Unmount", "target": target})
        except AbsentError:
            self._forget(target)
            raise

    async def _call(self, request: wire.Fields) -> wire.Fields:
        try:
            async with asyncio.timeout(_SECONDS):
                return await wire.ask(self._path, request)
        except TimeoutError:
            raise DeadlineExceeded(f"the mounter did not end {request['method']} in {_SECONDS:g} s") from None
        except (OSError, asyncio.IncompleteReadError) as error:
            raise AbsentError(f"{_HINT} ({error})") from None
