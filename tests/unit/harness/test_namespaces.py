"""What tests leave behind is emptied in the background, and one that cannot be emptied is named."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from cluster.command import CommandFailed
from harness.kube import Kube
from harness.namespaces import Leftovers


class Deletions:
    """Answers kubectl's deletions, each once `go` is set; those in namespace `stuck` fail."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.done: list[tuple[str, ...]] = []

    def __call__(self, *words: str, timeout: float = 60) -> str:
        assert self.go.wait(min(timeout, 10))
        if "stuck" in words:
            raise CommandFailed(list(words), 1, "", "timed out waiting for the condition")
        self.done.append(words)
        return ""


def test_they_are_emptied_pods_before_volumes_while_somebody_does_something_else() -> None:
    kube = Deletions()
    found = Leftovers(cast(Kube, kube))

    found.add("one", "test_a")
    found.add("two", "test_b")
    before = list(kube.done)
    kube.go.set()
    found.wait()

    assert before == []
    for name in ("one", "two"):
        kinds = [words[1] for words in kube.done if name in words]
        assert kinds.index("pods") < kinds.index("storagevolumes.moorage.dev") < kinds.index("namespace")


def test_one_that_cannot_be_emptied_is_named_once_with_its_test() -> None:
    kube = Deletions()
    kube.go.set()
    found = Leftovers(cast(Kube, kube))
    found.add("one", "test_a")
    found.add("stuck", "test_b")

    with pytest.raises(AssertionError, match=r"not emptied: stuck of test_b: .*timed out"):
        found.wait()

    found.wait()  # it is not told again
