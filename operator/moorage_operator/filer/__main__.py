"""moorage-filer: one short life of a filer's worker. Exit code 1, and its words in the termination log, on trouble."""

import asyncio
import json
import logging
import os
import signal
from pathlib import Path
from typing import NoReturn

from moorage.errors import MoorageError
from moorage.model import NfsEngine, StorageBackend
from moorage_operator.agent.api import BACKENDS, Api
from moorage_operator.filer.folders import Folders
from moorage_operator.filer.mounting import mount, unmount
from moorage_operator.filer.settings import Settings
from moorage_operator.filer.trouble import judged
from moorage_operator.filer.worker import Worker

log = logging.getLogger("moorage.filer")


def main() -> None:
    settings = None
    try:
        settings = Settings.read(os.environ)
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        asyncio.run(_serve(settings))
    except MoorageError as error:
        _fail(settings, error.reason, str(error))


async def _serve(settings: Settings) -> None:
    """Ends the process. Nobody waits for a thread that hangs in the file system of a dead filer: what is open, the
    lock and the mount go with the process and its container."""
    work = asyncio.create_task(_work(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        log.info("told to end")
    except MoorageError as error:
        _fail(settings, error.reason, str(error))
    except Exception as error:  # whatever it is, the operator must be able to tell of it
        log.exception("unexpected")
        _fail(settings, "WorkerFailed", f"{type(error).__name__}: {error}")
    _exit(0)


async def _work(settings: Settings) -> None:
    api = await Api.connect()
    backend = await api.get(f"{BACKENDS}/{settings.backend}")
    spec = StorageBackend.model_validate(backend).spec
    engine = spec.engine.nfs
    if not engine:
        raise MoorageError(f"StorageBackend {settings.backend} has no engine nfs")
    await asyncio.to_thread(mount, engine, spec.mount_options, settings.root, settings.mount_deadline)
    folders = await asyncio.to_thread(_open, settings, engine)
    if settings.ready:
        await asyncio.to_thread(settings.ready.touch)
    await Worker(api, settings.backend, engine, settings.pod, folders, settings.node).run(settings.idle, settings.life)
    await asyncio.to_thread(folders.close)
    await asyncio.to_thread(unmount, settings.root)


def _open(settings: Settings, engine: NfsEngine) -> Folders:
    """Proves besides that the export can be written."""
    try:
        folders = Folders(settings.root)
        folders.home.lock(settings.lock_patience)
        folders.home.load()
        return folders
    except OSError as error:
        raise judged(engine, error) from error


def _fail(settings: Settings | None, reason: str, message: str) -> NoReturn:
    log.error("%s", message)
    if settings:
        _tell(settings.told, reason, message)
    _exit(1)


def _exit(code: int) -> NoReturn:
    logging.shutdown()
    os._exit(code)


def _tell(path: Path, reason: str, message: str) -> None:
    """The kubelet shows it in the pod's status, where the operator reads it (at most 4096 bytes)."""
    try:
        path.write_text(json.dumps({"reason": reason, "message": message[:2000]}))
    except OSError as error:
        log.error("%s: %s", path, error)


if __name__ == "__main__":
    main()
