"""The crash checker: a pod that writes and holds a lock while servers die, and what became of all it was promised.

    checker = start(kube, "data", "node2", rival="node3", namespace=namespace)
    ...                                  # kill something
    report = checker.stop()
    assert report.sound and report.longest_stall < 10

The program in the pods is harness.crash, in Moorage's image. The writer's node must live: its log is the story.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.command import CommandFailed
from harness import crash
from harness.kube import Kube, TimedOut, wait_for
from harness.manifests import MOORAGE, Object, by_claim
from harness.story import Story, contents, judge

PROGRAM = Path(crash.__file__).read_text()
PYTHON = ("python3", "-IS", "-c", PROGRAM)
FOLDER = "/data"
SETTLE = 90.0  # seconds that a writer gets to write again before it is stopped


@dataclass(frozen=True)
class Report:
    """What a run has shown; the counts are of records."""

    acknowledged: int
    lost: int  # acknowledged, and not there
    torn: int  # acknowledged, and there in part
    misplaced: int  # something is in the place that was never written there
    longest_stall: float  # seconds between two acknowledgements; infinite when the writer hung to the end
    errors: tuple[str, ...]  # what the writer, or the rival, was answered
    lock_kept: bool  # the writer had its lock all the time and the rival never got it
    details: str = ""

    @property
    def sound(self) -> bool:
        """Nothing acknowledged was lost, nobody saw an error, and the lock was kept."""
        return not (self.lost or self.torn or self.misplaced or self.errors) and self.lock_kept


class Checker:
    """A running writer, and a rival for its lock if one was asked for."""

    def __init__(self, kube: Kube, namespace: str, writer: str, rival: str | None) -> None:
        self._kube = kube
        self._namespace = namespace
        self._writer = writer
        self._rival = rival

    def acknowledged(self) -> int:
        """How many records were tried until now, by the writer's last word."""
        words = self._log(self._writer, "--tail=5").split("\n")
        numbers = [int(line.split()[1]) for line in words if line.startswith("ack ")]
        return max(numbers, default=-1) + 1

    def wait_progress(self, records: int = 5, timeout: float = SETTLE) -> None:
        """Until so many more records are acknowledged; raises TimedOut."""
        wanted = self.acknowledged() + records
        wait_for(f"{records} more records", lambda: self.acknowledged() >= wanted, timeout, every=0.5)

    def stop(self, settle: float = SETTLE) -> Report:
        """End the writer after it has written again (or not, within `settle` seconds), read all back, remove the pods.

        The records are read on the rival's node, if there is one: through another client than the writer's.
        """
        with suppress(TimedOut):  # the report tells it: without an end the stall is infinite
            self.wait_progress(timeout=settle)
        self._end()
        told, rival = self._log(self._writer), self._log(self._rival) if self._rival else ""
        try:
            return report(told, rival, self._read())
        finally:
            self.remove()

    def remove(self) -> None:
        names = [self._writer, *([self._rival] if self._rival else [])]
        self._kube("delete", "pod", *names, "-n", self._namespace, "--ignore-not-found", "--timeout=90s", timeout=100)

    def _end(self) -> None:
        with suppress(CommandFailed, TimedOut):  # as above
            self._kube.exec(self._writer, "sh", "-c", "kill -TERM 1", namespace=self._namespace)
            wait_for("the writer ends", lambda: "\nend " in self._log(self._writer, "--tail=5"), 15)

    def _read(self) -> str:
        reader = self._rival or self._writer
        return self._kube.exec(reader, *PYTHON, "read", FOLDER, namespace=self._namespace, timeout=120)

    def _log(self, pod: str, *flags: str) -> str:
        return self._kube("logs", pod, "-n", self._namespace, *flags)


def report(told: str, rival: str, read: str) -> Report:
    """The report, from the logs of writer and rival and what `read` of harness.crash printed."""
    story = Story()
    for line in told.splitlines():
        story.hear(line)
    found = judge(story, contents(read.splitlines()))
    stolen = any(line.startswith("taken") for line in rival.splitlines())
    others = [f"rival: {line}" for line in rival.splitlines() if line.split()[0] not in ("rival", "taken")]
    words = [f"{name} {numbers[:20]}" for name, numbers in found.wrong().items() if numbers]
    return Report(
        acknowledged=found.acknowledged,
        lost=len(found.lost),
        torn=len(found.torn),
        misplaced=len(found.misplaced),
        longest_stall=story.longest_stall(),
        errors=(*story.errors, *others),
        lock_kept=story.beats > 0 and not story.lock_lost and not stolen,
        details=", ".join(
            [*words, *([story.lock_lost] if story.lock_lost else []), *(["the rival got the lock"] * stolen)]
        ),
    )


def start(
    kube: Kube,
    claim: str,
    node: str | None,
    rival: str | None = None,
    namespace: str = "default",
    name: str = "checker",
    pause: float = 0.02,
) -> Checker:
    """A writer on `node` in the claim's volume, and a rival on node `rival`; returns when the first records are safe.

    `pause`: seconds between two records. Two checkers in one volume need volumes, or sub-paths, of their own.
    """
    pods = [_pod(f"{name}-writer", claim, node, ["write", FOLDER, str(pause)])]
    if rival:
        pods.append(_pod(f"{name}-rival", claim, rival, ["rival", FOLDER]))
    for each in pods:
        each["metadata"]["namespace"] = namespace
    kube.apply(*pods)
    for each in pods:
        kube.wait_pod(each["metadata"]["name"], namespace, timeout=180)
    checker = Checker(kube, namespace, f"{name}-writer", f"{name}-rival" if rival else None)
    checker.wait_progress(10, 60)
    return checker


def _pod(name: str, claim: str, node: str | None, arguments: list[str]) -> Object:
    container = {
        "name": "main",
        "image": MOORAGE,
        "command": [*PYTHON, *arguments],
        "volumeMounts": [{"name": "data", "mountPath": FOLDER}],
    }
    spec: Object = {
        "containers": [container],
        "terminationGracePeriodSeconds": 5,
        "volumes": [{"name": "data", **by_claim(claim)}],
    }
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
