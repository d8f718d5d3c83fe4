"""The commands the bed is made of, built from pinned Go modules into the cache: once per change of the module.

A machine needs Go for it and nothing else. The key of the cache counts all that a build depends on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .cache import cache_dir, digest, locked
from .command import CommandFailed, run
from .layout import KUBERNETES
from .progress import slow

HOME = Path(__file__).parent / "tools"
VERSION = "k8s.io/component-base/version"
MAJOR, MINOR, _ = KUBERNETES.removeprefix("v").split(".")
LDFLAGS = " ".join(
    [
        "-s -w",
        *(
            f"-X {VERSION}.{name}={value}"
            for name, value in {
                "gitVersion": KUBERNETES,
                "gitMajor": MAJOR,
                "gitMinor": MINOR,
                "gitTreeState": "clean",
                "gitCommit": "0" * 40,
                "buildDate": "2026-01-01T00:00:00Z",
            }.items()
        ),
        # Helm's own idea of a cluster's version, for `helm template` and `helm lint` without one
        *(
            f"-X helm.sh/helm/v3/pkg/{place}.k8sVersion{name}={value}"
            for place in ("chartutil", "lint/rules")
            for name, value in (("Major", MAJOR), ("Minor", MINOR))
        ),
    ]
)
# The machine's own Go settings must not change what is built.
ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


@dataclass(frozen=True)
class Source:
    """Where a command comes from: its Go package, the module directory under `tools/`, and build tags.

    `test`: the command is the package's compiled tests.
    """

    package: str
    module: str = "."
    tags: str = ""
    test: bool = False


_CONTAINERD = "no_btrfs,no_zfs,no_devmapper,no_aufs"
_CNI = "github.com/containernetworking/plugins/plugins"
SOURCES: Mapping[str, Source] = {
    **{
        name: Source(f"k8s.io/kubernetes/cmd/{name}")
        for name in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "kubectl",
        )
    },
    "etcd": Source("go.etcd.io/etcd/server/v3"),
    **{
        name: Source(f"github.com/containerd/containerd/v2/cmd/{name}", tags=_CONTAINERD)
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    },
    "cni/ptp": Source(f"{_CNI}/main/ptp"),
    "cni/loopback": Source(f"{_CNI}/main/loopback"),
    "cni/host-local": Source(f"{_CNI}/ipam/host-local"),
    "cni/portmap": Source(f"{_CNI}/meta/portmap"),
    "csi-provisioner": Source("github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner"),
    "csi-resizer": Source("github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer"),
    "coredns": Source("./coredns"),
    "helm": Source("helm.sh/helm/v3/cmd/helm"),
    "kind": Source("sigs.k8s.io/kind"),
    # the External Storage suite of this very Kubernetes, what runs it in parallel, and the image that its pods run
    "e2e.test": Source("k8s.io/kubernetes/test/e2e", test=True),
    "ginkgo": Source("github.com/onsi/ginkgo/v2/ginkgo"),
    "agnhost": Source("k8s.io/kubernetes/test/images/agnhost"),
    # it speaks CSI 1.13, with which the big module's Kubernetes does not compile, so it has a small one
    "csi-sanity": Source("github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity", module="csi-sanity"),
    # its libraries are newer than the big module's, so it has a small one
    **{
        name: Source(f"github.com/kubernetes-csi/external-snapshotter/v8/cmd/{name}", module="snapshotter")
        for name in ("csi-snapshotter", "snapshot-controller")
    },
    # its YAML library clashes with the big module's, so it has a small one
    "helm-unittest": Source("github.com/helm-unittest/helm-unittest/cmd/helm-unittest", module="helm-unittest"),
}
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "etcd")
NODE = ("kubelet", "kube-proxy", "containerd", "containerd-shim-runc-v2", "ctr")
CNI = ("cni/ptp", "cni/loopback", "cni/host-local", "cni/portmap")
IN_IMAGES = ("csi-provisioner", "csi-resizer", "csi-snapshotter", "snapshot-controller", "coredns")
# What a running local cluster, and the tests on it, need.
LOCAL = (*CONTROL_PLANE, *NODE, *CNI, *IN_IMAGES, "helm", "csi-sanity")
# What the External Storage suite needs; built only when it runs.
SUITE = ("e2e.test", "ginkgo", "agnhost")


class Toolchain:
    """The built commands: `tool` for the path of one, `ensure` for many at once.

    Another `home` and `sources` make a toolchain of its own, whose changes build nothing anew here (the bench has one).
    """

    def __init__(self, home: Path = HOME, sources: Mapping[str, Source] = SOURCES) -> None:
        self._home = home
        self._sources = sources

    @cached_property
    def bin(self) -> Path:
        """The directory they are in; its name counts the modules, our own Go sources, and the flags."""
        files = [path for path in sorted(self._home.rglob("*")) if path.suffix in (".go", ".mod", ".sum")]
        parts = [part for file in files for part in (str(file.relative_to(self._home)), file.read_bytes())]
        recipe = [f"{name}={source}" for name, source in sorted(self._sources.items())]
        key = digest([*parts, *recipe, LDFLAGS, *(f"{k}={v}" for k, v in ENVIRONMENT.items())])
        return cache_dir() / f"tools-{key}" / "bin"

    def tool(self, name: str) -> Path:
        """The path of one command, built if the cache lacks it. Names are those of its sources."""
        self.ensure([name])
        return self.bin / name

    def ensure(self, names: Iterable[str] = LOCAL) -> Path:
        """Have all of these built; returns the directory. What is there is not built again."""
        wanted = list(names)
        if unknown := set(wanted) - set(self._sources):
            there = ", ".join(sorted(self._sources))
            raise ValueError(f"no such tool: {', '.join(sorted(unknown))}; there are {there}")
        if not self._missing(wanted):
            return self.bin
        with locked(self.bin.with_name("build.lock"), wait=3600):
            for group in self._groups(self._missing(wanted)):
                self._build(group)
        return self.bin

    def _missing(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if not (self.bin / name).is_file()]

    def _groups(self, names: Iterable[str]) -> list[list[str]]:
        """What can be built by one call of Go, which is much faster than one each: same module, same tags."""
        groups: dict[tuple[str, str, bool], list[str]] = {}
        for name in names:
            source = self._sources[name]
            groups.setdefault((source.module, source.tags, source.test), []).append(name)
        return list(groups.values())

    def _build(self, names: list[str]) -> None:
        draft = self.bin.with_name("draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        sources = [self._sources[name] for name in names]
        _go(self._home, sources, draft, f"building {', '.join(names)}")
        for name, source in zip(names, sources, strict=True):
            target = self.bin / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(draft / produced(source), target)
        shutil.rmtree(draft)


def module_folder(source: Source, module: str) -> Path:
    """Where Go keeps the files of a module that `source` is built with; fetched if it is not there."""
    where = HOME / source.module
    run(["go", "mod", "download", module], cwd=where, timeout=600, env=ENVIRONMENT)
    return Path(run(["go", "list", "-m", "-f", "{{.Dir}}", module], cwd=where, env=ENVIRONMENT).stdout.strip())


def _go(home: Path, sources: list[Source], draft: Path, what: str) -> None:
    """Build commands that come from the same place, into the directory `draft`."""
    source = sources[0]
    flags = ["-trimpath", "-ldflags", LDFLAGS, *(["-tags", source.tags] if source.tags else []), "-o", f"{draft}/"]
    packages = [each.package for each in sources]
    where = home / source.module
    if source.test:
        with slow(what):
            run(["go", "test", "-c", *flags, *packages], cwd=where, timeout=3600, env=ENVIRONMENT)
    else:
        _go_build(["go", "build", *flags], packages, where, what)


def _go_build(argv: list[str], packages: list[str], where: Path, what: str) -> None:
    """Run `go build`, telling how many packages it has compiled: a first build takes minutes."""
    listed = run(["go", "list", "-deps", *packages], cwd=where, timeout=600, env=ENVIRONMENT)
    total, said = len(set(listed.stdout.split())), list[str]()
    whole = [*argv, "-v", *packages]
    with slow(what, detail=lambda: f", {len(said)} of at most {total} packages compiled"):
        environment = {**os.environ, **ENVIRONMENT}
        with subprocess.Popen(whole, cwd=where, env=environment, stderr=subprocess.PIPE, text=True) as child:
            assert child.stderr is not None
            said.extend(line.rstrip() for line in child.stderr)
        if child.returncode != 0:
            raise CommandFailed(whole, child.returncode, "", "\n".join(said[-30:]))


def produced(source: Source) -> str:
    """The file name Go gives a package's program: its last part, a version suffix left out; `.test` for its tests."""
    parts = source.package.split("/")
    last = parts[-1]
    name = parts[-2] if len(parts) > 2 and last[:1] == "v" and last[1:].isdigit() else last
    return f"{name}.test" if source.test else name
