"""s5cmd as it is, with the key that our Bucket made."""

import json
import os

from s3tools import Desk, fetched
from s3tools import desk as desk

MIB = 1 << 20


async def test_objects(desk: Desk) -> None:
    shell = await desk.shell()
    where = f"s3://{shell.bucket}"
    data = os.urandom(100_000)
    shell.file("k", data)

    await shell.run("s5cmd", "cp", "--metadata", "who=me", "--content-type", "x/y", "k", f"{where}/a/b c+d%ü")
    head = json.loads(await shell.run("s5cmd", "--json", "head", f"{where}/a/b c+d%ü"))
    await shell.run("s5cmd", "cp", f"{where}/a/b c+d%ü", f"{where}/copy")
    await shell.run("s5cmd", "mv", f"{where}/copy", f"{where}/moved")
    await shell.run("s5cmd", "cp", f"{where}/moved", "back")
    listed = await shell.run("s5cmd", "--json", "ls", f"{where}/*")
    missing = await shell.refused("s5cmd", "cp", f"{where}/none", "none")

    assert (shell.home / "back").read_bytes() == data
    assert (head["size"], head["metadata"]) == (len(data), {"who": "me"})
    assert [json.loads(line)["key"] for line in listed.splitlines()] == [f"{where}/a/b c+d%ü", f"{where}/moved"]
    assert "NoSuchKey" in missing or "no object found" in missing or "Not Found" in missing
    assert await shell.run("s5cmd", "head", where)


async def test_multipart_from_a_file_and_from_a_stream(desk: Desk) -> None:
    shell = await desk.shell()
    where = f"s3://{shell.bucket}"
    data = os.urandom(17 * MIB)
    shell.file("big", data)

    await shell.run("s5cmd", "cp", "--part-size", "5", "big", f"{where}/big")
    await shell.run("s5cmd", "pipe", "--part-size", "5", f"{where}/stream", given=data)
    await shell.run("s5cmd", "cp", "--part-size", "5", f"{where}/big", "back")
    await shell.run("s5cmd", "cp", f"{where}/stream", "stream")

    assert (shell.home / "back").read_bytes() == data
    assert (shell.home / "stream").read_bytes() == data
    assert shell.boto().head_object(Bucket=shell.bucket, Key="big")["ETag"].endswith('-4"')


async def test_folders_and_deletion_of_many(desk: Desk) -> None:
    shell = await desk.shell()
    where = f"s3://{shell.bucket}"
    (shell.home / "tree").mkdir()
    for number in range(30):
        os.utime(shell.file(f"tree/{number}", str(number)), (1_000_000_000, 1_000_000_000))

    await shell.run("s5cmd", "sync", "tree/", f"{where}/tree/")
    again = await shell.run("s5cmd", "sync", "tree/", f"{where}/tree/")
    total = await shell.run("s5cmd", "du", f"{where}/tree/*")
    await shell.run("s5cmd", "cp", f"{where}/tree/*", "back/")
    await shell.run("s5cmd", "rm", f"{where}/tree/*")

    assert again == ""
    assert "30 objects" in total
    assert (shell.home / "back" / "17").read_text() == "17"
    assert "no object found" in await shell.refused("s5cmd", "ls", f"{where}/*")


async def test_versions(desk: Desk) -> None:
    shell = await desk.shell(versioning=True)
    where = f"s3://{shell.bucket}"
    for text in ("1", "22"):
        shell.file("k", text)
        await shell.run("s5cmd", "cp", "k", f"{where}/k")
    await shell.run("s5cmd", "rm", f"{where}/k")

    listed = (await shell.run("s5cmd", "ls", "--all-versions", f"{where}/k")).splitlines()
    known = shell.boto().list_object_versions(Bucket=shell.bucket)
    first = known["Versions"][-1]["VersionId"]
    await shell.run("s5cmd", "cp", "--version-id", first, f"{where}/k", "old")

    assert len(listed) == 3
    assert first in listed[1]
    assert (shell.home / "old").read_text() == "1"


async def test_a_presigned_url(desk: Desk) -> None:
    shell = await desk.shell()
    shell.file("k", "by url")
    await shell.run("s5cmd", "cp", "k", f"s3://{shell.bucket}/k")

    url = (await shell.run("s5cmd", "presign", "--expire", "1m", f"s3://{shell.bucket}/k")).strip()

    assert await fetched(url) == (200, b"by url")


async def test_other_buckets_and_the_bucket_itself_are_out_of_reach(desk: Desk) -> None:
    shell, other = await desk.shell("mine"), await desk.shell("theirs")

    for argv in (("ls", f"s3://{other.bucket}"), ("mb", "s3://one-of-my-own"), ("rb", f"s3://{shell.bucket}")):
        assert "AccessDenied" in await shell.refused("s5cmd", *argv)
