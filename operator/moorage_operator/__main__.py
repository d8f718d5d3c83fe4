"""`moorage-operator` runs the operator; `moorage-operator cleanup` is the chart's pre-delete hook."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, cast

from moorage.errors import InvalidInput, MoorageError
from moorage_operator import hooks, http
from moorage_operator.cluster import Cluster
from moorage_operator.lease import Lease
from moorage_operator.runtime import Operator
from moorage_operator.settings import Settings

log = logging.getLogger("moorage_operator")


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "severity": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up_logging(form: str, level: str) -> None:
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else plain)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)


async def run(settings: Settings) -> int:
    """Serve health, wait for the Lease, operate until a signal or a failure; gives the exit code."""
    cluster = await Cluster.load()
    lease = Lease(cluster, settings.namespace, settings.identity)
    operator = Operator(cluster, settings)
    site = await http.serve(settings.http_port, _live(lease, operator), lambda: None, operator.metrics.text)
    code = 0
    task = asyncio.create_task(_lead(lease, operator))
    _stop_on_signals(task)
    try:
        await task
    except asyncio.CancelledError:  # what was begun is finished by the next replica
        log.info("stopped")
    except (MoorageError, BaseExceptionGroup) as error:
        log.error("stopping: %s", _reason(error), exc_info=None if _is_known(error) else error)
        code = 1
    finally:
        with contextlib.suppress(MoorageError, TimeoutError):
            async with asyncio.timeout(5):
                await lease.release()
        await site.cleanup()
        await cluster.close()
    if operator.hung:  # asyncio.run would wait for what is left, and nobody would take over
        logging.shutdown()
        os._exit(code)
    return code


async def _lead(lease: Lease, operator: Operator) -> None:
    await lease.acquire()
    operator.metrics.leader.set(1)
    this = asyncio.current_task()
    async with asyncio.TaskGroup() as group:
        group.create_task(lease.keep())
        group.create_task(operator.run(on_watch=lambda: _stop_on_signals(this)))


def _live(lease: Lease, operator: Operator) -> http.Check:
    def check() -> str | None:
        return operator.trouble() if lease.held else None

    return check


def _stop_on_signals(task: asyncio.Task[None] | None) -> None:
    if task is None:
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for each in cast("BaseExceptionGroup[BaseException]", error).exceptions:
        yield from _leaves(each)


def _reason(error: BaseException) -> str:
    return "; ".join(str(each) or type(each).__name__ for each in _leaves(error))


def _is_known(error: BaseException) -> bool:
    return all(isinstance(each, MoorageError) for each in _leaves(error))


def main() -> None:
    arguments = sys.argv[1:]
    if arguments == ["cleanup"]:
        set_up_logging("plain", "INFO")
        sys.exit(asyncio.run(hooks.main()))
    if arguments:
        sys.exit("usage: moorage-operator [cleanup]")
    try:
        settings = Settings.load()
    except InvalidInput as error:
        sys.exit(str(error))
    set_up_logging(settings.log_format, settings.log_level)
    sys.exit(asyncio.run(run(settings)))


if __name__ == "__main__":
    main()
