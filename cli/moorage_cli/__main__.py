"""`moor grow VOLUME SIZE`. Exit codes: 0 done, 1 refused, 2 wrong usage, 3 still growing when the time was up."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from moorage.errors import DeadlineExceeded, MoorageError
from moorage_cli.api import Api
from moorage_cli.grow import grow

PATIENCE = 60.0  # seconds
DONE, REFUSED, UNFINISHED, INTERRUPTED = 0, 1, 3, 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    moor = argparse.ArgumentParser(prog="moor", description="Moorage's volumes, from the command line.")
    commands = moor.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "Make a shared or local volume larger, also while pods write to it, and wait until df shows it."
    grows = commands.add_parser("grow", help="make a volume larger", description=text)
    grows.add_argument("volume", metavar="VOLUME", help="name of the StorageVolume")
    grows.add_argument("size", metavar="SIZE", help="its new size, such as 1Ti; a size only grows")
    grows.add_argument("-n", "--namespace", help="its namespace; if absent, that of the kubeconfig's context")
    grows.add_argument("--context", help="the kubeconfig's context to use")
    grows.add_argument("--timeout", type=float, default=PATIENCE, metavar="SECONDS", help="how long to wait (60)")
    return moor


async def run(arguments: argparse.Namespace) -> int:
    """The exit code; errors are one sentence on standard error."""
    try:
        api = await Api.connect(arguments.context)
        try:
            namespace: str = arguments.namespace or api.namespace
            await grow(api, namespace, arguments.volume, arguments.size, arguments.timeout, print)
        finally:
            await api.close()
    except MoorageError as error:
        print(f"moor: {error}", file=sys.stderr)
        return UNFINISHED if isinstance(error, DeadlineExceeded) else REFUSED
    return DONE


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    try:
        sys.exit(asyncio.run(run(options)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
