"""Where the suites run: in a pod on a volume, and on a plain XFS of this machine."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from cluster.command import run
from harness.kube import Kube, wait_for
from harness.manifests import Object, by_claim
from posixsuite.outcome import Case, fsx, pjdfstest
from posixsuite.programs import CONFIGURATION, IMAGE

SEEDS = (1, 2, 3)
OPERATIONS = 5000
SUBJECTS = (
    "chmod", "chown", "ftruncate", "link", "mkdir", "mkfifo", "mknod", "open", "posix_fallocate", "rename", "rmdir",
    "symlink", "truncate", "unlink", "utimensat",
)  # fmt: skip
LIMIT = 900  # seconds for one program; the longest takes 15 in a user-mode-linux node


class Place(Protocol):
    """Somewhere to run a program of the suites in a folder."""

    name: str

    def run(self, program: str, arguments: Sequence[str]) -> str:
        """What it prints; `{data}` and `{other}` in arguments stand for the folder and one of another file system."""
        ...


def all_cases(place: Place, apart: bool = False) -> list[Case]:
    """Both suites. `apart`: each subject of pjdfstest by itself; one that ends the program is a failed case."""
    cases: list[Case] = []
    for subject in [f"{each}::" for each in SUBJECTS] if apart else [""]:
        said = place.run("pjdfstest", ["-c", "{config}", "-p", "{data}", "-s", "{other}", *filter(None, [subject])])
        found = pjdfstest(place.name, said, died=f"{subject}died" if apart else "")
        cases += [case for case in found if case.name.startswith(subject)]  # `link::` finds those of unlink too
    for seed in SEEDS:
        said = place.run("fsx", ["-N", str(OPERATIONS), "-S", str(seed), f"{{data}}/fsx-{seed}"])
        cases.append(fsx(place.name, seed, OPERATIONS, said))
    return cases


class Pods:
    """A pod for each program, as root, on one node, with the volume's claim."""

    def __init__(self, name: str, kube: Kube, namespace: str, claim: str, node: str) -> None:
        self.name = name
        self._kube = kube
        self._namespace = namespace
        self._claim = claim
        self._node = node
        self._count = 0

    def run(self, program: str, arguments: Sequence[str]) -> str:
        self._count += 1
        name = f"{program}-{self._count}"
        words = [word.format(data="/data", other="/other", config=f"/{CONFIGURATION.name}") for word in arguments]
        self._kube.apply(self._pod(name, [f"/{program}", *words]))
        wait_for(f"the end of pod {name}", lambda: self._ended(name), LIMIT, every=1)
        return self._kube("logs", name, "-n", self._namespace)

    def _ended(self, name: str) -> bool:
        pod = self._kube.get("pod", name, self._namespace)
        return bool(pod) and pod["status"].get("phase") in ("Succeeded", "Failed")

    def _pod(self, name: str, command: list[str]) -> Object:
        mounts = [{"name": "data", "mountPath": "/data"}, {"name": "other", "mountPath": "/other"}]
        container = {
            "name": "main",
            "image": IMAGE,
            "command": command,
            "env": [{"name": "NO_COLOR", "value": "1"}],
            "workingDir": "/tmp",
            "volumeMounts": mounts,
        }
        spec: Object = {
            "containers": [container],
            "restartPolicy": "Never",
            "nodeSelector": {"kubernetes.io/hostname": self._node},
            "volumes": [{"name": "data", **by_claim(self._claim)}, {"name": "other", "emptyDir": {}}],
        }
        metadata = {"name": name, "namespace": self._namespace}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Folder:
    """A folder of this machine. `enter`: what a command line begins with that shall see the folder (nsenter)."""

    def __init__(self, name: str, programs: Path, data: Path, other: Path, enter: Sequence[str] = ()) -> None:
        self.name = name
        self._enter = enter
        self._programs = programs
        self._folders = {"data": str(data), "other": str(other), "config": str(CONFIGURATION)}

    def run(self, program: str, arguments: Sequence[str]) -> str:
        argv = [*self._enter, str(self._programs / program), *(word.format(**self._folders) for word in arguments)]
        environment = {"NO_COLOR": "1", "PATH": "/usr/bin:/bin"}
        with tempfile.TemporaryDirectory() as scratch:  # fsx leaves what it found there
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=LIMIT, env=environment, cwd=scratch, check=False
            )
        return done.stdout + done.stderr


@contextmanager
def plain_xfs(programs: Path) -> Generator[Folder]:
    """A new XFS in a file of this machine, mounted while the context lasts; the other file system is the machine's."""
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)  # the suite acts as other users too
        image, data, other = (Path(home) / name for name in ("image", "data", "other"))
        for folder in (data, other):
            folder.mkdir()
        with image.open("wb") as file:
            file.truncate(2**30)
        run(["mkfs.xfs", "-q", str(image)], timeout=60)
        run(["mount", "-o", "loop", str(image), str(data)], timeout=60)
        try:
            yield Folder("plain XFS", programs, data, other)
        finally:
            run(["umount", str(data)], timeout=60)
