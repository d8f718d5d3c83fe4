"""S3 tools as users have them, run with nothing but what the Secret of a Bucket or BucketKey says.

aws, s3cmd and AIStore's packages are pinned by requirements/tools.lock, in an environment of their own (they need
other versions of libraries than we do); s5cmd and rclone are built from Go modules. Each is made once, into the user's
cache.
"""

import asyncio
import base64
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from bed import Bed
from botocore.config import Config

from cluster.cache import cache_dir, digest, locked
from cluster.toolchain import Source, Toolchain
from moorage.actions import part

HERE = Path(__file__).parent
LOCK = HERE.parents[1] / "requirements" / "tools.lock"
GO = Toolchain(
    HERE / "tools",
    {
        "s5cmd": Source("github.com/peak/s5cmd/v2", module="s5cmd"),
        "rclone": Source("./rclone", module="rclone"),
    },
)


def program(name: str) -> Path:
    """aws, s3cmd, s5cmd, rclone, or the python that has AIStore's packages; made if the cache lacks it."""
    return GO.tool(name) if name in ("s5cmd", "rclone") else packages() / name


def packages() -> Path:
    """bin/ of the environment with the pinned Python tools."""
    home = cache_dir() / f"venv-tools-{digest([LOCK.read_bytes(), sys.version])}"
    with locked(home.with_suffix(".lock"), wait=900):
        if not (home / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, timeout=300)
            pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True, timeout=900)
            (home / "ready").touch()
    return home / "bin"


@dataclass
class Shell:
    """What a pod has that takes a Secret as its environment and mounts its files. `hosts`: its /etc/hosts, if given."""

    secret: dict[str, str]
    home: Path
    hosts: str = ""
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        for name in ("rclone.conf", "s3cfg", *(["ca.crt"] if self.ca else [])):
            (self.home / name).write_text(self.secret[name])
        plain = {name: value for name, value in self.secret.items() if name.isupper()}
        bundle = {"AWS_CA_BUNDLE": str(self.ca)} if self.ca else {}
        self.environment = {**plain, **bundle, "PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"}

    @property
    def ca(self) -> Path | None:
        """The file with the CA of the server, if the Secret has one."""
        return self.home / "ca.crt" if "ca.crt" in self.secret else None

    @property
    def bucket(self) -> str:
        return self.secret["BUCKET"]

    def file(self, name: str, data: bytes | str = b"") -> Path:
        """A file to upload, or the path of one to come."""
        path = self.home / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    async def run(self, *argv: str | Path, given: bytes | None = None) -> str:
        """What the tool says; a failure is one of the test's."""
        status, said, complaint = await self.attempt(*argv, given=given)
        assert status == 0, f"{argv}: {status}\n{said}\n{complaint}"
        return said

    async def refused(self, *argv: str | Path) -> str:
        """What the tool complains."""
        status, said, complaint = await self.attempt(*argv)
        assert status != 0, f"{argv} was not refused: {said}"
        return said + complaint

    async def attempt(self, *argv: str | Path, given: bytes | None = None) -> tuple[int, str, str]:
        return await asyncio.to_thread(self._attempt, *argv, given=given)

    def _attempt(self, tool: str | Path, *argv: str | Path, given: bytes | None) -> tuple[int, str, str]:
        words = [*self._defaults(str(tool)), *(str(word) for word in argv)]
        command = [*self._namespace(), str(program(str(tool))), *words]
        done = subprocess.run(
            command, input=given or b"", env=self.environment, cwd=self.home, capture_output=True, timeout=120
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def _defaults(self, tool: str) -> list[str]:
        """s5cmd knows AWS_ENDPOINT_URL under its own name only; the others are told where their files are."""
        return {
            "s5cmd": ["--endpoint-url", self.secret["AWS_ENDPOINT_URL"]],
            "rclone": ["--config", str(self.home / "rclone.conf"), *(["--ca-cert", str(self.ca)] if self.ca else [])],
            "s3cmd": ["--config", str(self.home / "s3cfg"), *(["--ca-certs", str(self.ca)] if self.ca else [])],
        }.get(tool, [])

    def _namespace(self) -> list[str]:
        """A view of the file system with another /etc/hosts: in place of the DNS that users have."""
        if not self.hosts:
            return []
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        private = ["unshare", "--mount", "--propagation", "private"]
        return [*private, "sh", "-c", script, str(self.file("hosts", self.hosts))]

    def boto(self, **config: Any) -> Any:
        """boto3 with nothing set but what the Secret says, and `config`."""
        return boto3.client(
            "s3",
            endpoint_url=self.secret["AWS_ENDPOINT_URL"],
            region_name=self.secret["AWS_REGION"],
            aws_access_key_id=self.secret["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.secret["AWS_SECRET_ACCESS_KEY"],
            verify=str(self.ca) if self.ca else None,
            config=Config(retries={"max_attempts": 1}, **config),
        )


class Desk:
    """Buckets that our operator makes, and shells with their keys."""

    def __init__(self, bed: Bed, home: Path) -> None:
        self._bed = bed
        self._home = home

    async def shell(self, name: str = "data", hosts: str = "", **spec: Any) -> Shell:
        """With the own key of a new Bucket `name`."""
        await self._bed.make("Bucket", name, spec=spec)
        await self._bed.condition(name, "Ready", "True", "Bucket")
        home = self._home / name
        home.mkdir()
        return Shell(await self._secret(f"{name}-s3"), home, hosts)

    async def _secret(self, name: str) -> dict[str, str]:
        found = part(await self._bed.get("Secret", name, "v1"), "data")
        return {key: base64.b64decode(value).decode() for key, value in found.items()}


async def fetched(url: str) -> tuple[int, bytes]:
    """Status and body, by nobody in particular."""
    answer = await asyncio.to_thread(requests.get, url, timeout=10)
    return answer.status_code, answer.content


@pytest.fixture
def desk(bed: Bed, tmp_path: Path) -> Desk:
    return Desk(bed, tmp_path)
