"""Stand-ins for the base images of our Dockerfiles, made on machines where none can be pulled.

`debian:trixie-slim` comes from debootstrap and the rules by which the official image is made small.
`golang:1.26-trixie` is that image with the place for this machine's own Go, which is mounted at build time.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from .cache import cache_dir, digest, locked
from .command import run
from .debian import mirror
from .imagebuild import CERTIFICATES, Buildah, machine_certificates
from .progress import slow

SUITE = "trixie"
DEBIAN = f"docker.io/library/debian:{SUITE}-slim"
GOLANG = f"docker.io/library/golang:1.26-{SUITE}"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GO_ROOT, GO_PATH = "/usr/local/go", "/go"

# As /etc/dpkg/dpkg.cfg.d/docker of the official slim image.
SLIM = """path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/groff/*
path-exclude /usr/share/info/*
path-exclude /usr/share/linda/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
"""
# As /etc/apt/apt.conf.d/docker-* of the official image: no package archives and no translations are kept.
APT = """Acquire::Languages "none";
Acquire::GzipIndexes "true";
APT::Keep-Downloaded-Packages "false";
Binary::apt::APT::Keep-Downloaded-Packages "false";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
"""
SOURCES = """Types: deb
URIs: {mirror}
Suites: {suite} {suite}-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp

Types: deb
URIs: {mirror}-security
Suites: {suite}-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp
"""
WASTE = ("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists")


def ensure_bases(buildah: Buildah) -> None:
    """Have both base images in buildah's store, under the names that the Dockerfiles ask for.

    Each is kept under a name that carries the key of its recipe; a changed recipe makes a new one.
    """
    with locked(buildah.home.with_suffix(".lock")):
        buildah.forget()
        debian = _debian_name()
        if not buildah.has(debian):
            with slow(f"making the base image debian:{SUITE}-slim (debootstrap, once per machine)"):
                _make_debian(buildah, debian)
        golang = _named(GOLANG, digest([debian, *go_settings()]))
        if not buildah.has(golang):
            _make_golang(buildah, debian, golang)
        buildah.call("tag", debian, DEBIAN)
        buildah.call("tag", golang, GOLANG)


def _debian_name() -> str:
    return _named(DEBIAN, digest([SUITE, SLIM, APT, SOURCES, *WASTE]))


def _named(image: str, key: str) -> str:
    return f"localhost/{image.rpartition('/')[2]}-{key}"


def go_volumes() -> dict[Path, str]:
    """This machine's Go and its caches (made if a fresh machine has none yet), and where the golang image has them."""
    root, *caches = (Path(path) for path in go_env("GOROOT", "GOMODCACHE", "GOCACHE"))
    for cache in caches:
        cache.mkdir(parents=True, exist_ok=True)
    return {root: GO_ROOT, caches[0]: f"{GO_PATH}/pkg/mod", caches[1]: "/root/.cache/go-build"}


def go_env(*names: str) -> list[str]:
    """The values of this machine's Go settings."""
    known: dict[str, str] = json.loads(run(["go", "env", "-json", *names]).stdout)
    return [known[name] for name in names]


def go_settings() -> list[str]:
    """The environment of the golang image, with this machine's module proxy and flags for it."""
    proxy, sums = go_env("GOPROXY", "GOSUMDB")
    trust = [f"SSL_CERT_FILE={CERTIFICATES}"] if machine_certificates() else []
    places = [f"PATH={GO_PATH}/bin:{GO_ROOT}/bin:{PATH}", f"GOPATH={GO_PATH}", "GOTOOLCHAIN=local"]
    return [*places, f"GOPROXY={proxy}", f"GOSUMDB={sums}", *trust]


def _make_golang(buildah: Buildah, debian: str, name: str) -> None:
    settings = [f"--env={setting}" for setting in go_settings()]
    container = buildah.call("from", "--pull-never", debian)
    buildah.call("config", *settings, container)
    buildah.call("commit", "--quiet", "--rm", container, name)


def _make_debian(buildah: Buildah, name: str) -> None:
    draft = cache_dir() / "base.draft"
    tree, tar = draft / "tree", draft / "tree.tar"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _bootstrap(tree)
        run(["tar", "--numeric-owner", "-C", tree, "-cf", tar, "."], timeout=300)
        container = buildah.call("from", "scratch")
        buildah.call("add", "--quiet", container, tar, "/")
        buildah.call("config", f"--env=PATH={PATH}", "--cmd", "bash", container)
        buildah.call("commit", "--quiet", "--rm", container, name)
    finally:
        shutil.rmtree(draft)


def _bootstrap(tree: Path) -> None:
    # a mount namespace of its own, so that a killed debootstrap leaves no /proc mounted in the tree
    argv = ["unshare", "--mount", "--propagation", "private", "debootstrap", "--variant=minbase", SUITE, str(tree)]
    source = mirror()
    run(argv + ([source] if source else []), timeout=1800, env={"DEBIAN_FRONTEND": "noninteractive"})
    used = source or (tree / "etc/apt/sources.list").read_text().split()[1]
    (tree / "etc/apt/sources.list").unlink()
    (tree / "etc/apt/sources.list.d/debian.sources").write_text(SOURCES.format(mirror=used.rstrip("/"), suite=SUITE))
    (tree / "etc/apt/apt.conf.d/docker").write_text(APT)
    (tree / "etc/dpkg/dpkg.cfg.d/docker").write_text(SLIM)
    for name in WASTE:
        _empty(tree / name)


def _empty(folder: Path) -> None:
    """Remove what is in `folder` except licences, which must stay with the programs."""
    for path in folder.rglob("*"):
        if not path.is_dir() and path.name != "copyright":
            os.unlink(path)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
