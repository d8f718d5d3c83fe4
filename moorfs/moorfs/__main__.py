"""`python -m moorfs --fd N --config FILE [--takeover]`; `settings` tells what is in FILE, and the exit codes."""

import logging
import os
import sys

from moorage.errors import MoorageError
from moorfs import settings
from moorfs.process import Build, run

USAGE = "usage: moorfs --fd N --config FILE [--takeover]"


def main(argv: list[str] | None = None, build: Build | None = None) -> int:
    """The exit code. `build` puts another file system in the place of the bucket's."""
    try:
        fd, config, takeover = _arguments(sys.argv[1:] if argv is None else argv)
        given = settings.load(config)
        os.fstat(fd)
    except (MoorageError, ValueError, OSError) as error:
        print(f"moorfs: {error}", file=sys.stderr)
        return settings.WRONG
    logging.basicConfig(
        level=given.log_level,
        stream=sys.stderr,
        format=f"%(asctime)s {given.volume} %(levelname)s %(name)s %(message)s",
    )
    if build is None:
        from moorfs.assembly import build as bucket

        build = bucket
    try:
        return run(given, fd, takeover, build)
    except MoorageError as error:
        logging.error("%s", error)
        return settings.WRONG


def _arguments(words: list[str]) -> tuple[int, str, bool]:
    given: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word not in ("--fd", "--config", "--takeover"):
            raise ValueError(f"{word!r} is unknown; {USAGE}")
        given[word] = "" if word == "--takeover" else next(rest, "")
    if not given.get("--fd", "").isdecimal() or not given.get("--config"):
        raise ValueError(USAGE)
    return int(given["--fd"]), given["--config"], "--takeover" in given


if __name__ == "__main__":
    # Daemon threads may be in the kernel's or the engine's hands: nothing of them is waited for
    try:
        code = main()
    except Exception:
        logging.exception("moorfs failed")
        code = 1
    sys.stderr.flush()
    os._exit(code)
