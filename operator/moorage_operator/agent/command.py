"""Outside commands: an argv list, a deadline, and stderr in the error."""

import subprocess
from collections.abc import Sequence

from moorage.errors import DeadlineExceeded, MoorageError


class CommandFailed(MoorageError):
    """A tool said no; the message carries its words."""


def run(argv: Sequence[str], deadline: float) -> str:
    """Standard output of a command that ended well within `deadline` seconds."""
    try:
        done = subprocess.run(
            list(argv), stdin=subprocess.DEVNULL, capture_output=True, timeout=deadline, text=True, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded(f"{argv[0]} did not end within {deadline:.0f} s") from error
    if done.returncode:
        raise CommandFailed(f"{argv[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout
