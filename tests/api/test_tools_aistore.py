"""S3 tools as they are on a real AIStore, with the Secret that our operator made: no patch, no redirects.

AIStore's own botocore patch is for servers that redirect; ours has the reverse proxy on (see moorage_operator.engines).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from bed import Bed
from s3engines import aistore
from s3engines.operated import backend_on
from s3engines.server import Server
from s3tools import Desk, Shell

MIB = 1 << 20

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ExitStack() as stack:
        yield aistore.start(tmp_path_factory.mktemp("aistore"), stack)


@pytest.fixture
async def shell(bed: Bed, server: Server, tmp_path: Path) -> AsyncIterator[Shell]:
    backend = await backend_on(bed, server)
    yield await Desk(bed, tmp_path).shell("data", backend=backend)


async def test_boto3(shell: Shell) -> None:
    s3, bucket = shell.boto(), shell.bucket
    data = os.urandom(6 * MIB)

    def work() -> tuple[bytes, bytes, list[str]]:
        s3.upload_file(str(shell.file("big", data)), bucket, "big")
        s3.put_object(Bucket=bucket, Key="small", Body=b"0123456789", Metadata={"who": "me"})
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/small")
        s3.head_object(Bucket=bucket, Key="small")
        whole = s3.get_object(Bucket=bucket, Key="big")["Body"].read()
        piece = s3.get_object(Bucket=bucket, Key="small", Range="bytes=2-4")["Body"].read()
        listed = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "small"}]})
        return whole, piece, listed

    assert await asyncio.to_thread(work) == (data, b"234", ["big", "copy", "small"])
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["big"]


async def test_aws(shell: Shell) -> None:
    where, data = f"s3://{shell.bucket}", os.urandom(20 * MIB)
    shell.file("big", data)

    await shell.run("aws", "s3", "cp", "big", f"{where}/big")
    await shell.run("aws", "s3", "cp", f"{where}/big", "back")
    listed = await shell.run("aws", "s3", "ls", f"{where}/")
    await shell.run("aws", "s3", "rm", f"{where}/big")

    assert (shell.home / "back").read_bytes() == data
    assert listed.split()[2:] == [str(len(data)), "big"]


async def test_s3cmd(shell: Shell) -> None:
    where, data = f"s3://{shell.bucket}", os.urandom(17 * MIB)
    shell.file("big", data)

    await shell.run("s3cmd", "put", "big", f"{where}/d/big")
    await shell.run("s3cmd", "get", f"{where}/d/big", "back")
    listed = await shell.run("s3cmd", "ls", "--recursive", where)
    await shell.run("s3cmd", "del", f"{where}/d/big")

    assert (shell.home / "back").read_bytes() == data
    assert listed.split()[-1] == f"{where}/d/big"


async def test_rclone(shell: Shell) -> None:
    where, data = f"moorage:{shell.bucket}", os.urandom(MIB)
    (shell.home / "tree").mkdir()
    for name in ("a", "b c", "d"):
        shell.file(f"tree/{name}", data + name.encode())

    await shell.run("rclone", "copy", "tree", where)
    await shell.run("rclone", "check", "tree", where)
    await shell.run("rclone", "copy", where, "back")
    await shell.run("rclone", "deletefile", f"{where}/d")

    assert (shell.home / "back" / "b c").read_bytes() == data + b"b c"
    assert (await shell.run("rclone", "lsf", where)).splitlines() == ["a", "b c"]


async def test_s5cmd(shell: Shell) -> None:
    where, data = f"s3://{shell.bucket}", os.urandom(17 * MIB)
    shell.file("big", data)

    await shell.run("s5cmd", "cp", "--part-size", "5", "big", f"{where}/big")
    await shell.run("s5cmd", "cp", f"{where}/big", "back")
    listed = await shell.run("s5cmd", "ls", f"{where}/")
    await shell.run("s5cmd", "rm", f"{where}/big")

    assert (shell.home / "back").read_bytes() == data
    assert listed.split()[-2:] == [str(len(data)), "big"]
