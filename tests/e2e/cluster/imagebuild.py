"""Building a Dockerfile's target into an archive: by Docker where an engine answers, else by buildah.

buildah needs no daemon, no runtime and no registry: it builds in a chroot, with a store of its own in the cache
directory, on base images made on this machine (`baseimages.py`).
"""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .cache import cache_dir
from .command import CommandFailed, run

BUILD_TIMEOUT = 1800.0
# Base images have an empty /mnt, so a mount there leaves nothing behind in the layers.
CERTIFICATES = "/mnt/certificates.crt"
# An edit of the code adds about eight small layers that buildah never forgets by itself.
MOST_LAYERS = 600


@dataclass(frozen=True)
class Source:
    """What to build: a Dockerfile, its context and the target (None: the last stage)."""

    context: Path
    dockerfile: Path
    target: str | None = None
    # host directory -> directory in the build, for caches (buildah only: Docker has its own)
    volumes: Mapping[Path, str] = field(default_factory=dict[Path, str])
    # name -> directory that `COPY --from=name` copies from
    contexts: Mapping[str, Path] = field(default_factory=dict[str, Path])

    def flags(self) -> list[str]:
        """The arguments that docker and buildah share, without the context."""
        contexts = [f"--build-context={name}={place}" for name, place in self.contexts.items()]
        return ["--file", str(self.dockerfile), *(["--target", self.target] if self.target else []), *contexts]


class Builder(Protocol):
    """A program that builds images."""

    def build(self, source: Source, ref: str, archive: Path) -> None:
        """Write the docker-archive of `source` under the name `ref`."""
        ...


def index_arguments(environ: Mapping[str, str]) -> list[str]:
    """The build arguments that carry this machine's choice of a Python index into the build."""
    index = environ.get("PIP_INDEX_URL")
    return ["--build-arg", f"PIP_INDEX_URL={index}"] if index else []


def machine_certificates() -> Path | None:
    """The bundle of authorities that this machine trusts: OpenSSL's own choice, else Debian's place for it."""
    known = (ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt")
    return next((Path(path) for path in known if path and Path(path).is_file()), None)


class Docker:
    """A Docker engine that answers."""

    @staticmethod
    def available() -> bool:
        """Whether the `docker` command reaches an engine (a client alone is common and of no use)."""
        if shutil.which("docker") is None:
            return False
        try:
            return run(["docker", "info", "--format", "{{.ServerVersion}}"], timeout=20, check=False).returncode == 0
        except CommandFailed:
            return False

    def build(self, source: Source, ref: str, archive: Path) -> None:
        argv = ["docker", "build", "--quiet", "--tag", ref, *source.flags(), *index_arguments(os.environ)]
        run([*argv, str(source.context)], timeout=BUILD_TIMEOUT)
        run(["docker", "save", "--output", archive, ref], timeout=600)


class Buildah:
    """buildah with a private store under `home`."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or cache_dir() / "buildah"
        self.certificates = self.home / "certificates"

    def argv(self, *words: str | Path) -> list[str]:
        """The command line of one buildah call on the private store.

        The mount namespace takes along whatever the storage driver mounts, also when buildah is killed.
        """
        store = ["--root", self.home / "root", "--runroot", self.home / "runroot", "--storage-driver", "overlay"]
        config = ["--registries-conf", self.home / "registries.conf"]
        namespace = ["unshare", "--mount", "--propagation", "private"]
        return [str(word) for word in (*namespace, "buildah", *store, *config, *words)]

    def call(self, *words: str | Path, timeout: float = 300.0) -> str:
        """Run one buildah command; what it printed, stripped."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "registries.conf").write_text('unqualified-search-registries = ["docker.io"]\n')
        return run(self.argv(*words), timeout=timeout, env={"TMPDIR": str(self.home)}).stdout.strip()

    def forget(self) -> None:
        """Empty the store when it has collected too much; the next build starts anew."""
        layers = self.home / "root" / "overlay"
        if layers.is_dir() and sum(1 for _ in layers.iterdir()) > MOST_LAYERS:
            self.call("rmi", "--all", "--force")

    def has(self, image: str) -> bool:
        """Whether the store holds `image`."""
        return bool(self.call("images", "--quiet", "--filter", f"reference={image}"))

    def build(self, source: Source, ref: str, archive: Path) -> None:
        self.call(*self._build_words(source, ref), timeout=BUILD_TIMEOUT)
        archive.unlink(missing_ok=True)
        self.call("push", "--quiet", ref, f"docker-archive:{archive}:{ref}", timeout=600)

    def _build_words(self, source: Source, ref: str) -> Sequence[str]:
        volumes = [f"--volume={host}:{inside}" for host, inside in source.volumes.items()]
        return [
            "bud", "--quiet", "--pull-never", "--layers", "--isolation", "chroot", "--network", "host", "--tag", ref,
            *source.flags(), *volumes, *self._trust(), *index_arguments(os.environ), str(source.context),
        ]  # fmt: skip

    def _trust(self) -> list[str]:
        """Let pip in the build trust whom this machine trusts, and leave no trace of it in the image."""
        bundle = machine_certificates()
        if bundle is None:
            return []
        self.certificates.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle, self.certificates / Path(CERTIFICATES).name)
        mount = f"--volume={self.certificates}:{Path(CERTIFICATES).parent}:ro"
        return [mount, "--build-arg", f"PIP_CERT={CERTIFICATES}"]
