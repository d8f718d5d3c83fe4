# ruff: noqa: ASYNC110 - the loop of a test has nothing else to do
"""The real rclone, built once from images/rclone, and mounts of a real versitygw by a real supervisor."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import requests
import s3engine

from cluster.toolchain import Source, Toolchain
from moorage import sigv4
from moorage_csi.mounter.kept import Kept
from moorage_csi.mounter.programs import Programs
from moorage_csi.mounter.recipe import Recipe
from moorage_csi.mounter.supervisor import Supervisor
from moorage_csi.runner import Processes

SECONDS = 120.0  # for what comes sooner or later
ID = "team/models/abcd2345"
_GO = Toolchain(s3engine.ROOT / "images", {"rclone": Source("moorage.dev/images/rclone", module="rclone")})


def program() -> Path:
    return _GO.tool("rclone")


@dataclass
class RcloneBed:
    """A mounter with the one volume: `recipe` says how, `target` where; a `fresh` supervisor is the next mounter."""

    home: Path
    engine: s3engine.Engine
    bucket: str
    supervisor: Supervisor = field(init=False)

    def __post_init__(self) -> None:
        self.supervisor = self.fresh()

    @property
    def target(self) -> Path:
        return self.home / "mnt"

    @property
    def kept(self) -> Kept:
        (found,) = self.supervisor.mounts
        return found

    @property
    def cache(self) -> Path:
        """Of the volume; there may be none."""
        found = self.recipe().writeback
        assert found
        return found(self.home).cache

    def fresh(self) -> Supervisor:
        return Supervisor(Processes(), self.home / "run")

    def admin(self, call: str, body: str = "") -> None:
        """A call of versitygw's admin API, with the root key."""
        path, _, query = call.partition("?")
        pairs = tuple((name, value) for name, _, value in (each.partition("=") for each in query.split("&") if each))
        host = f"127.0.0.1:{self.engine.port}"
        wanted = sigv4.Request("PATCH", path, {"host": host}, pairs, body.encode())
        key = sigv4.Key(self.engine.access, self.engine.secret)
        headers = sigv4.signed_headers(wanted, key, sigv4.Scope("us-east-1"), datetime.now(UTC))
        answer = requests.patch(f"{self.engine.endpoint}{call}", data=body.encode(), headers=headers, timeout=60)
        assert answer.ok, answer.text

    def recipe(self, access: str = "", secret: str = "", bucket: str = "", **parameters: str) -> Recipe:
        given = {"endpoint": self.engine.endpoint, "bucket": bucket or self.bucket, "prefix": "", "options": ""}
        key = {
            "AWS_ACCESS_KEY_ID": access or self.engine.access,
            "AWS_SECRET_ACCESS_KEY": secret or self.engine.secret,
        }
        ca = {"ca.crt": self.engine.ca.read_text()} if self.engine.secure else {}
        programs = Programs(self.home / "cache", rclone=str(program()))
        return programs.recipe(ID, str(self.target), "rclone", given | parameters, key | ca)

    def write(self, name: str, data: bytes) -> None:
        path = self.target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def write_while(self, away: Callable[[], None], files: Mapping[str, bytes]) -> None:
        """Files that are opened while the server is there (rclone lists it for that), and closed when it is `away`."""
        with ExitStack() as stack:
            opened = {name: stack.enter_context((self.target / name).open("wb")) for name in files}
            away()
            for name, file in opened.items():
                file.write(files[name])

    def stored(self, key: str) -> bytes | None:
        """The object's bytes; None while there is none."""
        listed = self.engine.s3.list_objects_v2(Bucket=self.bucket, Prefix=key).get("Contents", [])
        if key not in [each["Key"] for each in listed]:
            return None
        return self.engine.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()


async def eventually(true: Callable[[], bool]) -> None:
    """Without holding up the loop, which serves the supervisor."""
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.05)
