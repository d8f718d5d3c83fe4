"""Ganesha and its private message bus: started, watched, started again with every export."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from moorage import ganesha
from moorage.errors import MoorageError, NotReady
from moorage.ganesha import Export
from moorage_operator.agent.bus import BusError, ExportManager
from moorage_operator.agent.files import write_durably
from moorage_operator.agent.recovery import forget_strangers

log = logging.getLogger(__name__)

# What FSAL_VFS needs to act for any user on files that it opens by handle. SYS_ADMIN and SYS_RESOURCE stay away:
# with the latter, quotas and reserved blocks would not bind.
CAPABILITIES = (
    "dac_read_search", "dac_override", "setuid", "setgid", "chown", "fowner", "fsetid", "mknod",
)  # fmt: skip
_MEND = "/usr/local/lib/moorage/terminated.so"  # images/ganesha/terminated.c tells why
_START_DEADLINE = 60.0
_STOP_DEADLINE = 5.0
_WATCH_PERIOD = 5.0
_MISSES = 3  # unanswered ShowExports in a row before a wedged Ganesha is killed
_STEADY = 10.0  # seconds after which a death is not taken for a failed start
_BUS_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="false"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""


class Server:
    """`exports` is what shall be served; `shown` is what Ganesha said it serves."""

    def __init__(self, run_dir: Path, recovery: Path, port: int, on_start: Callable[[], None]) -> None:
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.exports: dict[int, Export] = {}
        self.shown: dict[int, str] = {}
        self.starts = 0
        self.down_since: float | None = time.monotonic()
        self._loaded: dict[int, Export] = {}
        self._run_dir = run_dir
        self._config = ganesha.Server(str(recovery), str(run_dir / "exports.conf"), port)
        self._address = f"unix:path={run_dir / 'bus'}"
        self._on_start = on_start
        self._manager: ExportManager | None = None
        self._changing = asyncio.Lock()
        self._showing: asyncio.Task[None] | None = None

    def exported(self, export_id: int) -> Export | None:
        """The export as it stands in Ganesha, if it was seen there."""
        export = self._loaded.get(export_id)
        return export if export and self.shown.get(export_id) == export.path else None

    async def ensure_exported(self, export: Export) -> None:
        """Added or brought up to date, and seen in ShowExports."""
        async with self._changing:
            self.exports[export.export_id] = export
            manager = self._up()
            file = self._run_dir / f"export-{export.export_id}.conf"
            await asyncio.to_thread(file.write_text, ganesha.render_export(export))
            try:
                await self._change(manager, str(file), export)
            finally:
                await asyncio.to_thread(file.unlink, missing_ok=True)
            self._loaded[export.export_id] = export
        await self._refresh()
        if not self.exported(export.export_id):
            raise NotReady(f"ganesha took export {export.export_id} but does not show it yet")

    async def ensure_unexported(self, export_id: int) -> None:
        async with self._changing:
            self.exports.pop(export_id, None)
            manager = self._up()
            if export_id in await manager.show():
                await manager.remove(export_id)
            self._loaded.pop(export_id, None)
            self.shown.pop(export_id, None)

    def admit(self, clients: tuple[str, ...]) -> None:
        """Whom exports shall admit from the next start on; a running Ganesha is told by ensure_exported."""
        self.exports = {number: replace(export, clients=clients) for number, export in self.exports.items()}

    async def run(self) -> None:
        """Until cancelled: start both processes, watch them, start them again."""
        delay = 0.0
        while True:
            began = time.monotonic()
            try:
                await self._one_life()
            except (MoorageError, OSError) as error:
                log.error("ganesha: %s", error)
            finally:
                self._down()
            # The first death after a steady life is answered at once.
            delay = 0.0 if time.monotonic() - began > _STEADY else min(5.0, delay * 2 + 0.2)
            await asyncio.sleep(delay)

    async def _change(self, manager: ExportManager, file: str, export: Export) -> None:
        known = await manager.show() if export.export_id not in self.shown else self.shown
        if export.export_id in known:
            await manager.update(file, export.export_id)
            return
        try:
            await manager.add(file, export.export_id)
        except BusError as error:
            if "already active" not in str(error):
                raise
            await manager.update(file, export.export_id)

    async def _one_life(self) -> None:
        exports = dict(self.exports)
        await asyncio.to_thread(self._write_files, exports)
        async with contextlib.AsyncExitStack() as stack:
            bus = await self._spawn_bus(stack)
            nfsd = await self._spawn_ganesha(stack)
            ends = [asyncio.create_task(bus.wait()), asyncio.create_task(nfsd.wait())]
            stack.callback(lambda: [task.cancel() for task in ends])
            manager = await self._meet(ends)
            stack.callback(manager.close)
            self._loaded, self.shown = exports, await manager.show()
            self._manager, self.down_since, self.starts = manager, None, self.starts + 1
            log.info("ganesha is up with %d of %d exports", len(self.shown.keys() & exports.keys()), len(exports))
            self._on_start()
            await self._watch(ends)

    def _write_files(self, exports: dict[int, Export]) -> None:
        (self._run_dir / "bus").unlink(missing_ok=True)
        write_durably(self._run_dir / "bus.conf", _BUS_CONFIG.format(address=self._address))
        write_durably(self._run_dir / "ganesha.conf", ganesha.render_main(self._config))
        write_durably(Path(self._config.exports_file), ganesha.render_exports(exports))
        if exports:  # else it is not known whom they would admit
            admitted = {client for export in exports.values() for client in export.clients}
            forget_strangers(Path(self._config.recovery_root), admitted)

    async def _spawn_bus(self, stack: contextlib.AsyncExitStack) -> asyncio.subprocess.Process:
        bus = await _spawn(
            stack, (), "dbus-daemon", "--nofork", "--nopidfile", f"--config-file={self._run_dir}/bus.conf"
        )
        deadline = time.monotonic() + _START_DEADLINE
        while not (self._run_dir / "bus").exists():
            if bus.returncode is not None or time.monotonic() > deadline:
                raise NotReady(f"dbus-daemon did not start (exit code {bus.returncode})")
            await asyncio.sleep(0.01)
        return bus

    async def _spawn_ganesha(self, stack: contextlib.AsyncExitStack) -> asyncio.subprocess.Process:
        folder = self._run_dir
        argv = ("ganesha.nfsd", "-F", "-L", "STDERR", "-f", f"{folder}/ganesha.conf", "-p", f"{folder}/ganesha.pid")
        environment = {"DBUS_SYSTEM_BUS_ADDRESS": self._address, "LD_PRELOAD": _MEND}
        return await _spawn(stack, CAPABILITIES, *argv, environment=environment)

    async def _meet(self, ends: list[asyncio.Task[int]]) -> ExportManager:
        """Wait until Ganesha answers on the bus."""
        deadline = time.monotonic() + _START_DEADLINE
        manager = await ExportManager.connect(self._address)
        while True:
            try:
                await manager.show()
                return manager
            except MoorageError as error:
                if time.monotonic() > deadline or any(task.done() for task in ends):
                    manager.close()
                    raise NotReady(f"ganesha did not come up: {error}") from error
                await asyncio.sleep(0.02)

    async def _watch(self, ends: list[asyncio.Task[int]]) -> None:
        misses = 0
        while misses < _MISSES:
            done, _ = await asyncio.wait(ends, timeout=_WATCH_PERIOD, return_when=asyncio.FIRST_COMPLETED)
            if done:
                codes = [task.result() for task in done]
                raise NotReady(f"ganesha or its bus died (exit codes {codes}): starting them again")
            try:
                await self._refresh()
                misses = 0
            except MoorageError as error:
                misses += 1
                log.warning("ganesha does not answer: %s", error)
        raise NotReady("ganesha hangs: killing it")

    def _down(self) -> None:
        self._manager, self.shown, self._loaded = None, {}, {}
        self.down_since = self.down_since or time.monotonic()

    def _up(self) -> ExportManager:
        if not self._manager:
            raise NotReady("ganesha is being started")
        return self._manager

    async def _refresh(self) -> None:
        """One ShowExports serves all who ask before it is sent."""
        if not self._showing:
            self._showing = asyncio.create_task(self._show_soon())
        await asyncio.shield(self._showing)

    async def _show_soon(self) -> None:
        await asyncio.sleep(0.005)
        self._showing = None
        manager = self._up()
        shown = await manager.show()
        if manager is self._manager:
            self.shown = shown


async def _spawn(
    stack: contextlib.AsyncExitStack,
    capabilities: tuple[str, ...],
    *argv: str,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> asyncio.subprocess.Process:
    """A child with only these capabilities that dies with us; ended when the stack unwinds."""
    bounding = ",".join(("-all", *(f"+{name}" for name in capabilities)))
    command = ("setpriv", "--pdeathsig", "KILL", "--inh-caps=-all", f"--bounding-set={bounding}", *argv)
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **environment}
    child = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, env=environment)
    stack.push_async_callback(_end, child)
    return child


async def _end(child: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL to what does not listen; so that clients' state is on the disk when it may be."""
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        await asyncio.wait_for(child.wait(), _STOP_DEADLINE)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
