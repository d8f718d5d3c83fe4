"""`python -m cluster VERB`: up, down, status, load, exec, kubectl, power-cut, start, tools."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from .progress import say
from .provider import Provider, choose
from .toolchain import LOCAL, Toolchain


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m cluster", description=__doc__)
    top.add_argument("--name", default="default", help="which cluster (default: default)")
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start it; at once if it is up")
    verbs.add_parser("down", help="stop it and leave nothing; works after any crash")
    verbs.add_parser("status", help="say how it is")
    verbs.add_parser("load", help="put image archives into every node").add_argument("archives", nargs="+", type=Path)
    execute = verbs.add_parser("exec", help="run a command in a node: exec NODE -- ARGV")
    execute.add_argument("node")
    execute.add_argument("argv", nargs=argparse.REMAINDER)
    verbs.add_parser("kubectl", help="kubectl as administrator").add_argument("argv", nargs=argparse.REMAINDER)
    verbs.add_parser("power-cut", help="end a node in an instant").add_argument("node")
    verbs.add_parser("start", help="start a node after a power cut").add_argument("node")
    verbs.add_parser("tools", help="build commands, print their directory").add_argument("names", nargs="*")
    return top


def main() -> int:
    """Run one verb; the exit code."""
    asked = parser().parse_args()
    if asked.verb == "tools":
        print(Toolchain().ensure(asked.names or LOCAL))
        return 0
    try:
        return act(choose(asked.name), asked)
    except subprocess.CalledProcessError as error:
        print(str(error), file=sys.stderr)
        return error.returncode or 1
    except (RuntimeError, ValueError) as error:
        say(str(error))
        return 1


def act(cluster: Provider, asked: argparse.Namespace) -> int:
    """Carry out a verb that needs a cluster."""
    match asked.verb:
        case "up":
            cluster.create()
            print(f"export KUBECONFIG={cluster.kubeconfig}")
        case "down":
            cluster.delete()
            sweep(asked.name)
        case "status":
            print("\n".join(cluster.status()))
        case "load":
            for archive in asked.archives:
                cluster.load_image(archive)
        case "exec":
            print(cluster.node_exec(asked.node, without_dashes(asked.argv), timeout=600), end="")
        case "kubectl":
            argv = [*cluster.kubectl_argv(), *without_dashes(asked.argv)]
            os.execv(argv[0], argv)  # noqa: S606 - no shell is the point
        case "power-cut":
            cluster.node_power_cut(asked.node)
        case _:
            cluster.node_start(asked.node)
    return 0


def sweep(name: str) -> None:
    """A local cluster whose notes were lost (say, its cache directory was removed) is found by what it left."""
    from .local import Local, leftovers

    if leftovers(name):
        Local(name).delete()


def without_dashes(argv: list[str]) -> list[str]:
    """A leading `--` only separates."""
    return argv[1:] if argv[:1] == ["--"] else argv


if __name__ == "__main__":
    sys.exit(main())
