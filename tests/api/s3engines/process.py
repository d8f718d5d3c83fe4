"""Processes of a server on loopback: free ports, logs that a failure shows, and an end with the tests."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

DEADLINE = 90.0  # seconds


def spawn(log: Path, stack: ExitStack, *argv: str | Path, env: Mapping[str, str] | None = None) -> None:
    """Start a process that ends with the tests, and with a crash of them too (pdeathsig)."""
    with log.open("wb") as out:
        command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)]
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(env or {})})
    stack.callback(process.wait, 30)
    stack.callback(process.kill)


def until(done: Callable[[], bool], complaint: str, home: Path) -> None:
    end = time.monotonic() + DEADLINE
    while not done():
        if time.monotonic() > end:
            logs = "\n".join(f"== {each.name}\n{each.read_text()[-3000:]}" for each in sorted(home.glob("*.log")))
            pytest.fail(f"{complaint} after {DEADLINE:.0f} s:\n{logs}")
        time.sleep(0.05)


def answers(url: str, ca: Path | None = None) -> bool:
    try:
        return requests.get(url, timeout=5, verify=str(ca) if ca else True).status_code < 500
    except OSError:
        return False
