"""Killing a process inside a pod, by its name."""

from harness.kube import Kube

_KILL = 'for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = {} ] && kill -9 ${{p#/proc/}}; done; true'


def kill(kube: Kube, pod: str, name: str, namespace: str) -> None:
    """SIGKILL to every process of the pod's first container whose comm is `name`; its image needs no pkill."""
    kube.exec(pod, "sh", "-c", _KILL.format(name), namespace=namespace)
