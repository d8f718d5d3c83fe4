"""A real versitygw on a loopback port, and boto3 as the judge of what it holds."""

import hashlib
import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from harness.ports import free_ports

ROOT = Path(__file__).parents[3]
READY_SECONDS = 60.0


def write_key(path: Path, access: str, secret: str) -> Path:
    """A key file as moorfs reads it."""
    path.write_text(json.dumps({"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}))
    return path


@dataclass
class Engine:
    """`endpoint` and the root key; `pid` of the server, which tests may stop (SIGSTOP) or replace by `restart`.

    `secure`: it speaks TLS with a certificate that `ca` made. `more`: further options of versitygw.
    """

    home: Path
    port: int
    access: str = "root-access"
    secret: str = "root-secret-of-a-test"
    process: "subprocess.Popen[bytes] | None" = None
    buckets: int = 0
    secure: bool = False
    more: tuple[str, ...] = ("--keep-alive",)

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        """The CA's certificate, in PEM."""
        return self.home / "ca.crt"

    @property
    def s3(self) -> Any:
        """A boto3 client with the root key."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            verify=str(self.ca) if self.secure else None,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}, read_timeout=20),
        )

    def bucket(self) -> str:
        """A new, empty bucket."""
        self.buckets += 1
        name = f"bucket-{os.getpid()}-{self.buckets}"
        self.s3.create_bucket(Bucket=name)
        return name

    def start(self) -> None:
        for name in ("data", "versions", "iam"):
            (self.home / name).mkdir(exist_ok=True)
        argv = [
            *("setpriv", "--pdeathsig", "KILL", "--", str(versitygw()), f"--port=127.0.0.1:{self.port}"),
            *(f"--iam-dir={self.home / 'iam'}", "--health=/health", *self._tls(), *self.more, "posix"),
            *(f"--versioning-dir={self.home / 'versions'}", str(self.home / "data")),
        ]
        env = {**os.environ, "ROOT_ACCESS_KEY_ID": self.access, "ROOT_SECRET_ACCESS_KEY": self.secret}
        with (self.home / "versitygw.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, env=env)
        end = time.monotonic() + READY_SECONDS
        while not self._answers():
            assert time.monotonic() < end, (self.home / "versitygw.log").read_text()[-3000:]
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def _tls(self) -> tuple[str, ...]:
        if not self.secure:
            return ()
        if not self.ca.exists():
            certify(self.home)
        return (f"--cert={self.home / 'server.crt'}", f"--key={self.home / 'server.key'}")

    def _answers(self) -> bool:
        try:
            trust = ssl.create_default_context(cafile=str(self.ca)) if self.secure else None
            with urllib.request.urlopen(f"{self.endpoint}/health", timeout=5, context=trust) as answer:  # noqa: S310
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False


@contextmanager
def running(home: Path, secure: bool = False, more: tuple[str, ...] = ("--keep-alive",)) -> Iterator[Engine]:
    """An engine whose data lies in `home`; it ends with the block, and with us."""
    home.mkdir(parents=True, exist_ok=True)
    engine = Engine(home, free_ports(1)[0], secure=secure, more=more)
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()


def certify(home: Path) -> None:
    """ca.crt, and server.crt with server.key for 127.0.0.1, ::1, localhost and *.s3.test."""
    names = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost,DNS:s3.test,DNS:*.s3.test"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    ca = [*new, "-subj", "/CN=CA of a test", "-keyout", str(home / "ca.key"), "-out", str(home / "ca.crt")]
    signed = [
        *new,
        *("-subj", "/CN=server of a test", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"),
        *("-CA", str(home / "ca.crt"), "-CAkey", str(home / "ca.key")),
        *("-keyout", str(home / "server.key"), "-out", str(home / "server.crt")),
    ]
    for argv in (ca, signed):
        subprocess.run(argv, check=True, capture_output=True, timeout=60)


def versitygw() -> Path:
    """The binary: $MOORAGE_VERSITYGW, else built once from images/versitygw into the user's cache."""
    if given := os.environ.get("MOORAGE_VERSITYGW"):
        return Path(given)
    source = ROOT / "images" / "versitygw"
    digest = hashlib.sha256((source / "go.sum").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = cache / "moorage" / f"versitygw-{digest}" / "versitygw"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        fresh = built.with_suffix(f".{os.getpid()}")
        go = [
            "go",
            "build",
            "-mod=readonly",
            "-trimpath",
            "-o",
            str(fresh),
            "github.com/versity/versitygw/cmd/versitygw",
        ]
        subprocess.run(go, cwd=source, check=True, timeout=1200, env={**os.environ, "CGO_ENABLED": "0"})
        fresh.rename(built)
    return built
