"""Keys and certificates of the local cluster, by openssl: elliptic curve P-256, one authority and a front-proxy one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .command import run
from .layout import API_SERVER, GATEWAY, NODES, SERVICE_API

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
DAYS = "3650"


@dataclass(frozen=True)
class Certificate:
    """A certificate to make: file name, subject, other names, and the authority that signs it."""

    name: str
    subject: str
    names: str = ""
    authority: str = "ca"


API_NAMES = ",".join(
    [
        *(f"DNS:kubernetes{tail}" for tail in ("", ".default", ".default.svc", ".default.svc.cluster.local")),
        "DNS:localhost",
        "IP:127.0.0.1",
        f"IP:{GATEWAY}",
        f"IP:{SERVICE_API}",
    ]
)
CERTIFICATES = (
    Certificate("apiserver", "/CN=kube-apiserver", API_NAMES),
    Certificate("front-proxy", "/CN=front-proxy-client", authority="front-ca"),
    Certificate("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
    Certificate("etcd", "/CN=etcd", "IP:127.0.0.1"),
    Certificate("admin", "/O=system:masters/CN=admin"),
    Certificate("kube-controller-manager", "/CN=system:kube-controller-manager"),
    Certificate("kube-scheduler", "/CN=system:kube-scheduler"),
    Certificate("kube-proxy", "/CN=system:kube-proxy"),
    *(
        Certificate(node.name, f"/O=system:nodes/CN=system:node:{node.name}", f"DNS:{node.name},IP:{node.address}")
        for node in NODES
    ),
)


def ensure(home: Path) -> None:
    """Make all keys and certificates in `home` (under a second); the last file made says that all are there."""
    if (home / "complete").exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    with ThreadPoolExecutor(8) as pool:
        _join(pool.submit(_authority, home, name) for name in ("ca", "front-ca"))
        signing = [pool.submit(_certificate, home, one) for one in CERTIFICATES]
        _join([*signing, pool.submit(_service_accounts, home)])
    (home / "complete").touch()


def _join(jobs: Iterable[Future[None]]) -> None:
    for job in list(jobs):
        job.result()


def _authority(home: Path, name: str) -> None:
    # as kubeadm's: strict verifiers (Python 3.13) refuse an authority whose certificate does not say what it may sign
    usage = ["-addext", "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign"]
    argv = ["openssl", "req", "-x509", *CURVE, "-days", DAYS, "-subj", f"/CN={name}", *usage]
    run([*argv, "-keyout", home / f"{name}.key", "-out", home / f"{name}.crt"])


def _certificate(home: Path, one: Certificate) -> None:
    request, extra = home / f"{one.name}.csr", home / f"{one.name}.ext"
    run(["openssl", "req", *CURVE, "-subj", one.subject, "-keyout", home / f"{one.name}.key", "-out", request])
    extra.write_text(extensions(one))
    authority = ["-CA", home / f"{one.authority}.crt", "-CAkey", home / f"{one.authority}.key"]
    # a random serial each: the default writes one shared file, and we sign several at once
    argv = ["openssl", "x509", "-req", "-in", request, *authority, "-set_serial", str(serial(one.name))]
    run([*argv, "-days", DAYS, "-extfile", extra, "-out", home / f"{one.name}.crt"])
    request.unlink()
    extra.unlink()


def serial(name: str) -> int:
    """A serial number that no other certificate of the authority has."""
    return 1 + [one.name for one in CERTIFICATES].index(name)


def extensions(one: Certificate) -> str:
    """The X.509 extensions of a certificate, as an openssl extension file."""
    lines = [
        "keyUsage=critical,digitalSignature",
        "extendedKeyUsage=clientAuth,serverAuth",
        "authorityKeyIdentifier=keyid",
        "subjectKeyIdentifier=hash",
    ]
    return "\n".join([*lines, *([f"subjectAltName={one.names}"] if one.names else [])]) + "\n"


def _service_accounts(home: Path) -> None:
    key = home / "sa.key"
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key])
    run(["openssl", "ec", "-in", key, "-pubout", "-out", home / "sa.pub"])


def kubeconfig(home: Path, user: str) -> str:
    """A kubeconfig for the certificate `user`, with all data inside, so that it can be read anywhere."""

    def data(name: str) -> str:
        return base64.b64encode((home / name).read_bytes()).decode()

    cluster = {"server": API_SERVER, "certificate-authority-data": data("ca.crt")}
    person = {"client-certificate-data": data(f"{user}.crt"), "client-key-data": data(f"{user}.key")}
    context = {"cluster": "moorage", "user": user}
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "moorage", "cluster": cluster}],
        "users": [{"name": user, "user": person}],
        "contexts": [{"name": "moorage", "context": context}],
        "current-context": "moorage",
    }
    return json.dumps(whole, indent=1)


def write_kubeconfig(home: Path, user: str, file: Path) -> None:
    """Write it so that only its owner reads it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(0o600)
    file.write_text(kubeconfig(home, user))
