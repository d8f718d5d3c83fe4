"""S3 tools as they are on a real AIStore, with the Secret that our operator made: no patch, no redirects.

AIStore's own botocore patch is for servers that redirect; ours has the reverse proxy on (test_tools_aistore_sdk.py).
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bed import Bed, until
from s3engines.aistore import server as server  # fixture
from s3engines.operated import backend_on
from s3engines.server import Server
from s3tools import Desk, Shell

MIB = 1 << 20

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")


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

    async def keys() -> list[str]:
        return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]

    async def deleted() -> bool:  # which it does after it has answered
        return await keys() == ["big"]

    async def story() -> str:
        return f"there are still {await keys()}"

    assert await asyncio.to_thread(work) == (data, b"234", ["big", "copy", "small"])
    await until(deleted, story)


async def test_aws(shell: Shell) -> None:
    where, data = f"s3://{shell.bucket}", os.urandom(20 * MIB)
    shell.file("big", data)

    await shell.run("aws", "s3", "cp", "big", f"{where}/big")
    await shell.run("aws", "s3", "cp", f"{where}/big", "back")
    listed = await shell.run("aws", "s3", "ls", f"{where}/")
    await shell.run("aws", "s3", "rm", f"{where}/big")

    assert (shell.home / "back").read_bytes() == data
    assert listed.split()[2:] == [str(len(data)), "big"]


async def test_each_call_of_aistores_own_table_by_aws(shell: Shell) -> None:
    """Those that AIStore's documentation names for `aws s3api`; a run of aws takes a second, so some run at once."""
    s3, part = shell.boto(), shell.file("part", "0123456789")
    await asyncio.to_thread(s3.put_object, Bucket=shell.bucket, Key="k", Body=b"0123456789")

    async def ask(operation: str, *argv: str, key: str = "k") -> Any:
        where = ("--bucket", shell.bucket, *(["--key", key] if key else []), "--output", "json")
        said = await shell.run("aws", "s3api", operation, *where, *argv)
        return json.loads(said) if said.strip() else {}

    piece, head, _, state, begun = await asyncio.gather(
        ask("get-object", "--range", "bytes=2-4", "piece"),
        ask("head-object"),
        ask("copy-object", "--copy-source", f"{shell.bucket}/k", key="copy"),
        ask("get-bucket-versioning", key=""),
        ask("create-multipart-upload", key="parts"),
    )
    upload = ("--upload-id", begun["UploadId"])
    sent = await ask("upload-part", *upload, "--part-number", "1", "--body", str(part), key="parts")
    listed = (await ask("list-parts", *upload, key="parts"))["Parts"]
    wanted = {"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]}
    await ask("complete-multipart-upload", *upload, "--multipart-upload", json.dumps(wanted), key="parts")
    before = await ask("list-objects-v2", key="")
    gone = await ask("delete-objects", "--delete", json.dumps({"Objects": [{"Key": "k"}, {"Key": "copy"}]}), key="")
    left = await asyncio.to_thread(s3.get_object, Bucket=shell.bucket, Key="parts")

    assert ((shell.home / "piece").read_bytes(), piece["ContentLength"], head["ContentLength"]) == (b"234", 3, 10)
    assert [each["Key"] for each in before["Contents"]] == ["copy", "k", "parts"]
    assert ([each["PartNumber"] for each in listed], left["Body"].read()) == ([1], b"0123456789")
    assert (state["Status"], sorted(each["Key"] for each in gone["Deleted"])) == ("Enabled", ["copy", "k"])


async def test_buckets_by_aws_and_s3cmd(shell: Shell) -> None:
    """Whoever reaches AIStore makes and removes buckets, with any key."""
    s3 = shell.boto()

    async def life(bucket: str, known: tuple[str, ...], *words: str) -> str:
        await shell.run(*words, "mb", f"s3://{bucket}")
        listed = await shell.run(*words, "ls")
        await shell.run(*known)
        await shell.run(*words, "rb", f"s3://{bucket}")
        return listed

    by_aws, by_s3cmd = await asyncio.gather(
        life("by-aws", ("aws", "s3api", "head-bucket", "--bucket", "by-aws"), "aws", "s3"),
        life("by-s3cmd", ("s3cmd", "info", "s3://by-s3cmd"), "s3cmd"),
    )
    left = {each["Name"] for each in (await asyncio.to_thread(s3.list_buckets))["Buckets"]}

    assert ("by-aws" in by_aws, "by-s3cmd" in by_s3cmd, shell.bucket in by_aws, shell.bucket in left) == (True,) * 4
    assert left.isdisjoint({"by-aws", "by-s3cmd"})


async def test_s3cmd(shell: Shell) -> None:
    where, data = f"s3://{shell.bucket}", os.urandom(17 * MIB)
    shell.file("big", data)

    await shell.run("s3cmd", "put", "big", f"{where}/d/big")
    await shell.run("s3cmd", "get", f"{where}/d/big", "back")
    info = await shell.run("s3cmd", "info", f"{where}/d/big")
    listed = await shell.run("s3cmd", "ls", "--recursive", where)
    await shell.run("s3cmd", "del", f"{where}/d/big")

    assert (shell.home / "back").read_bytes() == data
    assert listed.split()[-1] == f"{where}/d/big"
    assert f"File size: {len(data)}" in info
    assert "Last mod:" in info


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
