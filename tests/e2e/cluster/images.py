"""The images of the cluster: each is an archive in the cache, rebuilt when what it is made from changes.

`python -m cluster.images [TOOLS]` builds all that is stale and prints what there is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .archive import Entry, Settings, write_archive
from .baseimages import ensure_bases, go_volumes
from .cache import cache_dir, locked
from .command import run
from .host import ensure_packages
from .imagebuild import Buildah, Builder, Docker, Source
from .imagekey import image_key
from .progress import say, slow

ROOT = Path(__file__).resolve().parents[3]
BED = Path(__file__).resolve().parent / "tools"
VERSION = "0.1.0"
# Old archives of an image that are kept, so that going back and forth between commits costs nothing.
KEPT = 3
BUILDAH_NEEDS: Mapping[str, str] = {"buildah": "buildah", "debootstrap": "debootstrap", "tar": "tar"}


@dataclass(frozen=True)
class Image:
    """An image ready to be loaded into a node: `key` changes exactly when its content does."""

    ref: str
    archive: Path
    key: str


@dataclass(frozen=True)
class Recipe:
    """How an image comes about: what it is made from, and what writes its archive."""

    ref: str
    inputs: tuple[Path, ...]
    build: Callable[[Path], None]
    settings: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The image's name without registry and tag, fit for a file name."""
        return self.ref.rpartition("/")[2].partition(":")[0]

    def key(self) -> str:
        return image_key(self.ref, ROOT, self.inputs, self.settings)


def ensure_images(tools: Path, only: Iterable[str] | None = None) -> list[Image]:
    """Have all images of the cluster as archives; `tools` is the directory of the built tools.

    `only` limits the work to these references. Unchanged images cost the hashing of their inputs, under a second.
    """
    recipes = [*project_recipes(), *tool_recipes(tools), *sample_recipes()]
    wanted = set(only) if only is not None else {recipe.ref for recipe in recipes}
    if unknown := wanted - {recipe.ref for recipe in recipes}:
        raise ValueError(f"no recipe for {', '.join(sorted(unknown))}; add one in {__name__}")
    return [ensure(recipe) for recipe in recipes if recipe.ref in wanted]


def ensure_project_images() -> list[Image]:
    """Have the images of the Dockerfile alone: they need no tools, so they can be built beside them."""
    return [ensure(recipe) for recipe in project_recipes()]


def ensure(recipe: Recipe) -> Image:
    """The archive of one image, built if the cache lacks it."""
    folder = cache_dir() / "images"
    key = recipe.key()
    image = Image(recipe.ref, folder / f"{recipe.name}-{key}.tar", key)
    if not image.archive.is_file():
        with locked(folder / f"{recipe.name}.lock"):
            if not image.archive.is_file():
                _write(recipe, image.archive)
    return image


def _write(recipe: Recipe, archive: Path) -> None:
    draft = archive.with_suffix(".draft")
    with slow(f"image {recipe.ref}"):
        recipe.build(draft)
    draft.replace(archive)
    _forget_old(archive.parent.glob(f"{recipe.name}-{'?' * 12}.tar"))


def _forget_old(archives: Iterable[Path]) -> None:
    for old in sorted(archives, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        old.unlink()


def _builder() -> Builder:
    """Docker where its engine answers, else buildah with everything it needs."""
    if Docker.available():
        return Docker()
    ensure_packages(BUILDAH_NEEDS)
    buildah = Buildah()
    ensure_bases(buildah)
    return buildah


def from_dockerfile(ref: str, source: Callable[[], Source], *inputs: Path) -> Recipe:
    """An image built by a Dockerfile; `source` is asked when it comes to that, `inputs` is what it is made from."""

    def build(archive: Path) -> None:
        _builder().build(source(), ref, archive)

    return Recipe(ref, inputs, build)


def project_recipes() -> list[Recipe]:
    """The images of the Dockerfile at the top."""
    dockerfile, locks = ROOT / "Dockerfile", ROOT / "requirements"
    packages = ("core/moorage", "operator/moorage_operator", "csi/moorage_csi", "cli/moorage_cli", "moorfs/moorfs")
    code = tuple(ROOT / path for path in packages)
    app = (dockerfile, ROOT / "pyproject.toml", locks / "image.lock", ROOT / "images/install.py", *code)
    versitygw = ROOT / "images/versitygw"
    return [
        _project("moorage", "moorage", *app, ROOT / "images/rclone", volumes=go_volumes),
        _project("ganesha", "nfs-ganesha", *app, ROOT / "images/ganesha/terminated.c"),
        _project("versitygw", "versitygw", dockerfile, versitygw, volumes=go_volumes),
    ]


def _project(
    target: str, name: str, *inputs: Path, volumes: Callable[[], Mapping[Path, str]] = dict[Path, str]
) -> Recipe:
    def source() -> Source:
        return Source(ROOT, ROOT / "Dockerfile", target, volumes())

    return from_dockerfile(f"docker.io/moorage/{name}:{VERSION}", source, *inputs)


def tool_recipes(tools: Path) -> list[Recipe]:
    """Images of one program each, under the names and tags that the chart and the cluster ask for."""
    return [
        _program("registry.k8s.io/sig-storage/csi-provisioner:v6.3.0", tools / "csi-provisioner"),
        _program("registry.k8s.io/sig-storage/csi-resizer:v2.2.0", tools / "csi-resizer"),
        *(
            _program(f"registry.k8s.io/sig-storage/{name}:v8.7.0", tools / name)
            for name in ("csi-snapshotter", "snapshot-controller")
        ),
        _program("registry.k8s.io/coredns/coredns:v1.15.0", tools / "coredns"),
        pause("registry.k8s.io/pause:3.10.1"),
    ]


def _program(ref: str, binary: Path) -> Recipe:
    def build(archive: Path) -> None:
        _write_program(archive, ref, binary, binary.name)

    return Recipe(ref, (binary,), build)


def _write_program(archive: Path, ref: str, binary: Path, name: str, user: str = "") -> None:
    entries = [Entry("tmp", mode=0o1777), Entry(name, binary)]
    write_archive(archive, ref, entries, Settings(entrypoint=[f"/{name}"], user=user))


def pause(ref: str) -> Recipe:
    """What holds a pod's namespaces together, and does nothing."""

    def build(archive: Path) -> None:
        binary = archive.with_suffix(".pause")
        argv = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(binary), "./pause"]
        try:
            run(argv, cwd=BED, timeout=600, env={"CGO_ENABLED": "0"})
            _write_program(archive, ref, binary, "pause", user="65535:65535")
        finally:
            binary.unlink(missing_ok=True)

    return Recipe(ref, (BED / "pause",), build)


def stand_in(ref: str, target: str = "busybox", tools: Path | None = None) -> Recipe:
    """An image of `tools/busybox/Dockerfile`; `tools` is the directory of the built tools, if it holds one."""
    context = BED / "busybox"
    inputs = (context, *([tools / target] if tools else []))

    def source() -> Source:
        return Source(context, context / "Dockerfile", target, contexts={"tools": tools} if tools else {})

    return from_dockerfile(ref, source, *inputs)


def sample_recipes() -> list[Recipe]:
    """Images that the samples use."""
    return [stand_in("docker.io/library/busybox:1.37")]


def main() -> int:
    for image in ensure_images(Path(sys.argv[1])):
        say(f"{image.archive.stat().st_size / 2**20:7.1f} MiB  {image.ref}  {image.archive}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
