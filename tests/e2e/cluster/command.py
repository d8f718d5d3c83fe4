"""Running other programs: always an argument list, always a deadline, and an error that shows what they said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandFailed(subprocess.CalledProcessError):
    """A program ended with an error, was not there (127) or took too long (124); `str()` says which, with its words."""

    def __init__(self, argv: Sequence[str], code: int, stdout: str, stderr: str) -> None:
        super().__init__(code, list(argv), stdout, stderr)

    def __str__(self) -> str:
        said = (self.stderr.strip() or self.stdout.strip())[-2000:]
        return f"{' '.join(self.cmd)[:300]} ended with {self.returncode}: {said}"


def contained(argv: Sequence[str | Path]) -> list[str]:
    """`argv` in mount and process namespaces of its own: its mounts and children end with it, and it ends with us."""
    alone = ["unshare", "--mount", "--mount-proc", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    return ["setpriv", "--pdeathsig", "KILL", *alone, *(str(word) for word in argv)]


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float = 60.0,
    check: bool = True,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` to its end within `timeout` seconds; `env` is added to the environment.

    With `check` a non-zero exit raises CommandFailed with the end of what the program wrote.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailed(words, 127, "", f"{words[0]} is not installed here") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(words, 124, "", f"no end within {timeout:.0f} s") from error
    if check and done.returncode != 0:
        raise CommandFailed(words, done.returncode, done.stdout, done.stderr)
    return done
