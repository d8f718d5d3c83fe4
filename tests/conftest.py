"""How the tests are dealt out to processes (pytest-xdist, ADR 26): whole files, and all of tests/e2e as one."""

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import Any

import pytest

CLUSTER = "tests/e2e/"
POLITE = 10  # nice(2) of what runs beside the cluster, whose recovery times are measured


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            """Tests with the same answer run in one process, in their order. There is one cluster: so all of e2e."""
            return CLUSTER if nodeid.startswith(CLUSTER) else nodeid.split("::")[0]

    return Files(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A short name for the folder of this process: the path of a socket in it has 107 characters at most."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        config.option.basetemp = str(Path(config.option.basetemp).with_name(worker.removeprefix("gw")))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        with contextlib.suppress(PermissionError):  # back again, for a process that goes on for one that died
            os.setpriority(os.PRIO_PROCESS, 0, 0 if item.nodeid.startswith(CLUSTER) else POLITE)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """What is left of tests ends here, not while CPython 3.11 compiles what plugins import at the end: that can fail
    (`AST constructor recursion depth mismatch`), and with it the whole run.
    """
    gc.collect()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A failure is named when it happens: with `-n` the summary comes half an hour later."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} failed at its {report.when}", file=sys.stderr, flush=True)
