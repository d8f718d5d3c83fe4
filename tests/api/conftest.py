"""A real kube-apiserver on a real etcd, for the tests of the CRDs: no kubelet, no controllers, nothing mocked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from bed import bed as bed  # fixtures: the operator in process
from bed import cluster as cluster
from group import group as group  # fixtures: nodes, and holder pods on them
from group import two_nodes as two_nodes
from programs import tools

from harness.ports import free_ports
from moorage import crd, model, names

DEADLINE = 90.0  # seconds; a start takes about 4 on an idle machine


@dataclass
class Api:
    """The API server by plain HTTP: paths in, JSON out. `certificate` is the one that the server signed itself."""

    url: str
    token: str
    certificate: Path

    def call(
        self, verb: str, path: str, body: Any = None, kind: str = "application/json", **query: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind, "Accept": query.pop("accept", "*/*")}
        return requests.request(
            verb,
            self.url + path,
            json=body,
            params=query,
            headers=headers,
            verify=str(self.certificate),
            timeout=30,
        )

    def path(self, kind: type[model.Resource], name: str = "", namespace: str = "default") -> str:
        inside = f"/namespaces/{namespace}" if kind.scope == "Namespaced" else ""
        return f"/apis/{names.API_VERSION}{inside}/{kind.plural}" + (f"/{name}" if name else "")

    def create(self, kind: type[model.Resource], name: str, dry: bool = False, **fields: Any) -> requests.Response:
        query = {"dryRun": "All"} if dry else {}
        body = {"apiVersion": names.API_VERSION, "kind": kind.__name__, "metadata": {"name": name}, **fields}
        return self.call("POST", self.path(kind), body, fieldValidation="Strict", **query)

    def merge(self, path: str, body: Any, **query: Any) -> requests.Response:
        return self.call("PATCH", path, body, "application/merge-patch+json", fieldValidation="Strict", **query)

    def apply(self, path: str, manager: str, kind: type[model.Resource], name: str, **fields: Any) -> requests.Response:
        body = {"apiVersion": names.API_VERSION, "kind": kind.__name__, "metadata": {"name": name}, **fields}
        return self.call("PATCH", path, body, "application/apply-patch+yaml", fieldManager=manager)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API server with our CRDs installed."""
    home = tmp_path_factory.mktemp("api")
    with ExitStack() as stack:
        api = _start(home, stack)
        for kind in model.KINDS:
            answer = api.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd.crd(kind))
            assert answer.status_code == 201, answer.text
        for kind in model.KINDS:
            _until(lambda kind=kind: api.call("GET", api.path(kind)).ok, f"{kind.plural} are not served", home)
        yield api
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def kubectl(api: Api, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The beginning of a command line: kubectl as the tests' user."""
    path = tmp_path_factory.mktemp("kubectl") / "kubeconfig"
    config = {
        **{"apiVersion": "v1", "kind": "Config", "current-context": "c"},
        "clusters": [{"name": "c", "cluster": {"server": api.url, "certificate-authority": str(api.certificate)}}],
        "users": [{"name": "u", "user": {"token": api.token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(json.dumps(config))
    return [*tools("kubectl"), f"--kubeconfig={path}", f"--cache-dir={path.parent / 'cache'}"]


def _start(home: Path, stack: ExitStack) -> Api:
    etcd, apiserver = tools("etcd", "kube-apiserver")
    client, peer, secure = free_ports(3)
    store = f"http://127.0.0.1:{client}"
    peers = f"http://127.0.0.1:{peer}"
    _run(
        home / "etcd.log",
        stack,
        etcd,
        f"--data-dir={home / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={store}",
        f"--advertise-client-urls={store}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
    )
    token = os.urandom(16).hex()
    (home / "tokens.csv").write_text(f"{token},tester,tester,system:masters\n")
    key = home / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True, timeout=30)
    _run(
        home / "apiserver.log",
        stack,
        apiserver,
        f"--etcd-servers={store}",
        "--bind-address=127.0.0.1",
        f"--secure-port={secure}",
        f"--cert-dir={home / 'certificates'}",
        f"--token-auth-file={home / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--anonymous-auth=false",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
    )
    api = Api(f"https://127.0.0.1:{secure}", token, home / "certificates" / "apiserver.crt")
    _until(lambda: _ready(api), "kube-apiserver is not ready", home)
    return api


@dataclass(frozen=True)
class S3Server:
    """A versitygw of the tests' own, and its root key."""

    endpoint: str
    admin_endpoint: str
    access: str
    secret: str


def versitygw() -> Path:
    """The binary: $MOORAGE_VERSITYGW, else built once from images/versitygw into the user's cache."""
    if given := os.environ.get("MOORAGE_VERSITYGW"):
        return Path(given)
    source = Path(__file__).parents[2] / "images" / "versitygw"
    digest = hashlib.sha256((source / "go.sum").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = cache / "moorage" / f"versitygw-{digest}" / "versitygw"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        fresh = built.with_suffix(f".{os.getpid()}")
        package = "github.com/versity/versitygw/cmd/versitygw"
        go = ["go", "build", "-mod=readonly", "-trimpath", "-o", str(fresh), package]
        subprocess.run(go, cwd=source, check=True, timeout=1200, env={**os.environ, "CGO_ENABLED": "0"})
        fresh.rename(built)
    return built


@pytest.fixture(scope="session")
def versitygw_program() -> Path:
    return versitygw()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 engine on free ports."""
    home = tmp_path_factory.mktemp("s3")
    for name in ("data", "versions", "iam"):
        (home / name).mkdir()
    port, admin = free_ports(2)
    server = S3Server(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}", "root-access", os.urandom(16).hex())
    with ExitStack() as stack:
        _run(
            home / "versitygw.log",
            stack,
            str(versitygw()),
            *(f"--port=127.0.0.1:{port}", f"--admin-port=127.0.0.1:{admin}", f"--iam-dir={home / 'iam'}"),
            *("--health=/health", "--keep-alive", "posix", f"--versioning-dir={home / 'versions'}", str(home / "data")),
            env={"ROOT_ACCESS_KEY_ID": server.access, "ROOT_SECRET_ACCESS_KEY": server.secret},
        )
        _until(lambda: _answers(f"{server.endpoint}/health"), "versitygw does not answer", home)
        yield server


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except OSError:
        return False


def _run(log: Path, stack: ExitStack, *argv: str, env: Mapping[str, str] | None = None) -> None:
    """Start a process that ends with the tests, and with a crash of them too (pdeathsig)."""
    with log.open("wb") as out:
        command = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(env or {})})
    stack.callback(process.wait, 30)
    stack.callback(process.kill)


def _ready(api: Api) -> bool:
    try:
        return api.call("GET", "/readyz").ok
    except OSError:  # not listening yet, or its certificate is not there yet
        return False


def _until(done: Callable[[], bool], complaint: str, home: Path) -> None:
    end = time.monotonic() + DEADLINE
    while not done():
        if time.monotonic() > end:
            pytest.fail(f"{complaint} after {DEADLINE:.0f} s:\n{_logs(home)}")
        time.sleep(0.05)


def _logs(home: Path) -> str:
    return "\n".join(f"== {each.name}\n{each.read_text()[-3000:]}" for each in sorted(home.glob("*.log")))
