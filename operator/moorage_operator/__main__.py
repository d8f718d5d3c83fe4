"""`moorage-operator` runs the operator; `moorage-operator cleanup` is the chart's pre-delete hook."""

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any

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
    try:
        await _until_signal(_lead(lease, operator))
    except* MoorageError as errors:
        for error in errors.exceptions:
            log.error("%s", error)
        code = 1
    finally:
        with contextlib.suppress(MoorageError, TimeoutError):
            async with asyncio.timeout(5):
                await lease.release()
        await site.cleanup()
        await cluster.close()
    return code


async def _lead(lease: Lease, operator: Operator) -> None:
    await lease.acquire()
    operator.metrics.leader.set(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(lease.keep())
        group.create_task(operator.run())


def _live(lease: Lease, operator: Operator) -> http.Check:
    def check() -> str | None:
        return operator.trouble() if lease.held else None

    return check


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run until SIGTERM or SIGINT; what was begun is cancelled, and finished by the next replica."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


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
