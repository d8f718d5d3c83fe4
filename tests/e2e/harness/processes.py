"""Killing a process inside a pod, by its name or its command line."""

from harness.kube import Kube

_KILL = 'for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = {} ] && kill -{} ${{p#/proc/}}; done; true'

# The shell's own command line must not match: hence the brackets.
_KILL_COMMAND = (
    "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -q '[-]m {} --fd' "
    "&& kill -9 ${{p#/proc/}}; done; true"
)


def kill(kube: Kube, pod: str, name: str, namespace: str, signal: str = "KILL") -> None:
    """A signal to every process that the pod's first container sees whose comm is `name`; its image needs no pkill."""
    kube.exec(pod, "sh", "-c", _KILL.format(name, signal), namespace=namespace)


def kill_command(kube: Kube, pod: str, module: str, namespace: str) -> None:
    """SIGKILL to every `python -m <module> --fd ...` that the pod sees: with hostPID, all of its node."""
    kube.exec(pod, "sh", "-c", _KILL_COMMAND.format(module), namespace=namespace)
