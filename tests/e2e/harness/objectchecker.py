"""The crash checker on an object volume: a pod that writes files while moorfs, mounter, engine or node die.

    run = start(kube, "models", "node2", reader="node3", namespace=namespace)
    ...                                  # kill something
    report = run.stop()
    assert report.sound

What was acknowledged is read back through another node's mount, that is, from the bucket.
"""

import subprocess
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.command import CommandFailed
from harness import objectcrash
from harness.kube import Kube, TimedOut, wait_for
from harness.manifests import MOORAGE, by_claim, pod
from harness.story import Story, contents, judge

PYTHON = ("python3", "-IS", "-c", Path(objectcrash.__file__).read_text())
FOLDER = "/data"
SETTLE = 90.0


@dataclass(frozen=True)
class Report:
    """The counts are of files. `errors`: what the writer was answered."""

    acknowledged: int
    wrong: str
    longest_stall: float
    errors: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Nothing acknowledged was lost, and nobody saw an error."""
        return not self.wrong and not self.errors and self.acknowledged > 0


class Run:
    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        self._kube, self._namespace, self._name = kube, namespace, name

    def acknowledged(self) -> int:
        words = self._log("--tail=5").split("\n")
        return max((int(line.split()[1]) for line in words if line.startswith("ack ")), default=-1) + 1

    def wait_progress(self, files: int = 5, timeout: float = SETTLE) -> None:
        """Until so many more files are acknowledged; raises TimedOut."""
        wanted = self.acknowledged() + files
        wait_for(f"{files} more files", lambda: self.acknowledged() >= wanted, timeout, every=0.5)

    def stop(self, settle: float = SETTLE) -> Report:
        """End the writer once it has written again, and read everything back on the reader's node."""
        with suppress(TimedOut):
            self.wait_progress(timeout=settle)
        with suppress(CommandFailed, TimedOut):
            self._kube.exec(f"{self._name}-writer", "sh", "-c", "kill -TERM 1", namespace=self._namespace)
            wait_for("the writer ends", lambda: "\nend " in self._log("--tail=5"), 60)
        story = Story()
        for line in self._log().splitlines():
            story.hear(line)
        found = judge(story, self._read(), objectcrash.place)
        wrong = ", ".join(f"{name} {numbers[:20]}" for name, numbers in found.wrong().items() if numbers)
        return Report(found.acknowledged, wrong, story.longest_stall(), tuple(story.errors))

    @contextmanager
    def followed(self) -> Generator[Callable[[], dict[int, int]]]:
        """The writer's story as it is told, for when its node will not tell it any more.

        Gives a function: of each file, the newest number that was acknowledged until now.
        """
        with tempfile.TemporaryFile("w+") as told:
            argv = [*self._kube.argv, "logs", "-f", f"{self._name}-writer", "-n", self._namespace]
            process = subprocess.Popen(argv, stdout=told, stderr=subprocess.DEVNULL)

            def newest() -> dict[int, int]:
                told.seek(0)
                lines = told.read().splitlines()[:-1]  # the last one may be cut
                numbers = sorted(int(line.split()[1]) for line in lines if line.startswith("ack "))
                return {objectcrash.place(number)[0]: number for number in numbers}

            try:
                yield newest
            finally:
                process.kill()
                process.wait()

    def older_than(self, promised: Mapping[int, int]) -> dict[int, int | str]:
        """Files that are not there, torn, or older than what was promised of them, as the reader's node sees them."""
        found = {file: what for (file, _), what in self._read().items()}
        seen = {file: found.get(file, "empty") for file in promised}
        return {file: what for file, what in seen.items() if isinstance(what, str) or what < promised[file]}

    def _read(self) -> dict[tuple[int, int], int | str]:
        reader = f"{self._name}-reader"
        said = self._kube.exec(reader, *PYTHON, "read", FOLDER, namespace=self._namespace, timeout=120)
        return contents(said.splitlines())

    def _log(self, *flags: str) -> str:
        return self._kube("logs", f"{self._name}-writer", "-n", self._namespace, *flags)


def start(kube: Kube, claim: str, node: str, reader: str, namespace: str, name: str = "crash") -> Run:
    """A writer on `node`, and a pod on node `reader` to read through; returns when the first files are acknowledged."""
    writer = pod(f"{name}-writer", by_claim(claim), namespace, node, image=MOORAGE, user=0)
    writer["spec"]["containers"][0]["command"] = [*PYTHON, "write", FOLDER]
    kube.apply(writer, pod(f"{name}-reader", by_claim(claim), namespace, reader, image=MOORAGE, user=0))
    for each in ("writer", "reader"):
        kube.wait_pod(f"{name}-{each}", namespace, timeout=180)
    run = Run(kube, namespace, f"{name}")
    run.wait_progress(10, 60)
    return run
