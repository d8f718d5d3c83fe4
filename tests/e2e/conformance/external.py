"""Kubernetes' External Storage suite against the installed driver, case by case in parallel."""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cluster.suite import Suite
from conformance.case import Case, read
from conformance.inline import volumes
from harness.install import ROOT
from harness.kube import Kube

TYPES = ("shared", "object")
FILES = ROOT / "tests" / "e2e" / "external-storage"
# The one case that cannot run where no image registry answers (see reasons.yaml).
LEFT_OUT = r"\(default fs\)\] provisioning should provision storage with any volume data source"
WHOLE = r"External.Storage"
PROCESSES = 10  # the cases wait most of the time
_GRACE = 120.0  # seconds ginkgo gets to write its report after its own deadline


class Unfinished(RuntimeError):
    """The suite did not end, or ended without a report; the message holds its last words."""


@dataclass(frozen=True)
class Run:
    """Which cases of one type to run: `focus`, a regular expression; for at most `minutes`."""

    kind: str
    focus: str = WHOLE
    minutes: int = 90
    processes: int = PROCESSES


def argv(suite: Suite, run: Run, kubeconfig: Path, folder: Path) -> list[str]:
    """ginkgo's command line. But for LEFT_OUT no case is skipped by a pattern: what cannot run says so itself."""
    flags = [
        f"--procs={run.processes}", f"--timeout={run.minutes}m", f"--focus={run.focus}", f"--skip={LEFT_OUT}",
        "--silence-skips",
        "--no-color", "--json-report=report.json", "--junit-report=junit.xml", f"--output-dir={folder}",
    ]  # fmt: skip
    about = [
        "-provider=local", f"-kubeconfig={kubeconfig}", f"-report-dir={folder}",
        f"-storage.testdriver={FILES / f'{run.kind}.yaml'}",
    ]  # fmt: skip
    return [str(suite.ginkgo), *flags, str(suite.tests), "--", *about]


def _finish(ginkgo: subprocess.Popen[bytes], run: Run) -> None:
    """Wait for ginkgo; if that is given up, it and the processes of its cases end."""
    deadline = run.minutes * 60 + _GRACE
    try:
        ginkgo.wait(deadline)
    except BaseException as error:
        os.killpg(ginkgo.pid, signal.SIGKILL)
        ginkgo.wait(10)
        if isinstance(error, subprocess.TimeoutExpired):
            raise Unfinished(f"External Storage, {run.kind}: not within {deadline:.0f} s") from None
        raise


def external_storage(suite: Suite, run: Run, kube: Kube, folder: Path) -> list[Case]:
    """Run the suite; its reports and its log lie in `folder` afterwards. Raises Unfinished."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log, report = folder / "log", folder / "report.json"
    command = argv(suite, run, kube.cluster.kubeconfig, folder)
    # the suite calls kubectl by its name
    environment = {**os.environ, "PATH": f"{suite.tests.parent}:{os.environ['PATH']}"}
    with volumes(kube, run.kind), log.open("wb") as out:
        _finish(subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=environment, process_group=0), run)
    if not report.is_file():
        raise Unfinished(f"External Storage, {run.kind}: no report; the log ends\n{log.read_text()[-3000:]}")
    return read(report.read_text(), "External.Storage", run.kind, LEFT_OUT if run.focus == WHOLE else None)
