"""What Kubernetes' External Storage suite needs of a cluster: the commands that run it, and the images of its pods.

Neither is on the way of a cluster that does not run the suite: both come about at the first run and stay in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .command import run
from .images import Recipe, ensure, pause, stand_in
from .provider import Provider
from .toolchain import SUITE, Toolchain


class SuiteMismatch(RuntimeError):
    """The suite wants images by other names than we make; raised after a change of its version."""


@dataclass(frozen=True)
class Suite:
    """The paths of the two commands."""

    tests: Path
    ginkgo: Path


def recipes(tools: Path) -> list[Recipe]:
    """The images, by the names in test/utils/image/manifest.go of the pinned Kubernetes."""
    e2e = "registry.k8s.io/e2e-test-images"
    return [
        stand_in(f"{e2e}/agnhost:2.63.0", "agnhost", tools),
        stand_in(f"{e2e}/busybox:1.37.0-1"),
        # its pods only run a shell
        stand_in(f"{e2e}/nginx:1.15-4"),
        stand_in(f"{e2e}/glibc-dns-testing:2.0.0", "glibc"),
        pause("registry.k8s.io/pause:3.10.2"),
    ]


def ensure_suite(cluster: Provider) -> Suite:
    """Have the commands built and the images in every node; at once when they are."""
    tools = Toolchain().ensure(SUITE)
    wanted = recipes(tools)
    known = run([tools / "e2e.test", "--list-images"], timeout=60).stdout.split()
    if strange := [recipe.ref for recipe in wanted if recipe.ref not in known]:
        raise SuiteMismatch(f"this e2e.test does not use {', '.join(strange)}; see its --list-images")
    cluster.load_images([ensure(recipe) for recipe in wanted])
    return Suite(tools / "e2e.test", tools / "ginkgo")
