"""rclone as it is, with the rclone.conf that stands in the Secret of our Bucket; checksums are never ignored."""

import asyncio
import json
import os

from s3tools import Desk, fetched
from s3tools import desk as desk

MIB = 1 << 20


async def test_objects(desk: Desk) -> None:
    shell = await desk.shell()
    where = f"moorage:{shell.bucket}"
    data = os.urandom(100_000)
    shell.file("k", data)

    await shell.run("rclone", "copyto", "k", f"{where}/a/b c+d%ü", "--metadata", "--metadata-set", "who=me")
    await shell.run("rclone", "copyto", f"{where}/a/b c+d%ü", f"{where}/copy")
    await shell.run("rclone", "copyto", f"{where}/copy", "back")
    listed = json.loads(await shell.run("rclone", "lsjson", where, "-R", "--files-only", "--hash", "--metadata"))
    missing = await shell.refused("rclone", "deletefile", f"{where}/none")

    assert (shell.home / "back").read_bytes() == data
    assert [(each["Path"], each["Size"]) for each in listed] == [("a/b c+d%ü", len(data)), ("copy", len(data))]
    assert listed[0]["Metadata"]["who"] == "me"
    assert "not found" in missing
    await shell.run("rclone", "deletefile", f"{where}/copy")
    assert (await shell.run("rclone", "lsf", where, "--recursive", "--files-only")).split("\n")[0] == "a/b c+d%ü"


async def test_a_range(desk: Desk) -> None:
    shell = await desk.shell()
    shell.file("k", "0123456789")
    await shell.run("rclone", "copyto", "k", f"moorage:{shell.bucket}/k")

    assert await shell.run("rclone", "cat", f"moorage:{shell.bucket}/k", "--offset", "2", "--count", "3") == "234"


async def test_multipart_from_a_file_and_from_a_stream(desk: Desk) -> None:
    shell = await desk.shell()
    where = f"moorage:{shell.bucket}"
    data = os.urandom(17 * MIB)
    shell.file("big", data)

    await shell.run("rclone", "copy", "big", where, "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M")
    await shell.run("rclone", "rcat", f"{where}/stream", "--s3-chunk-size", "5M", given=data)
    await shell.run("rclone", "copy", where, "back", "--multi-thread-cutoff", "5M")

    assert (shell.home / "back" / "big").read_bytes() == data
    assert (shell.home / "back" / "stream").read_bytes() == data
    head = shell.boto().head_object(Bucket=shell.bucket, Key="big")
    assert head["ETag"].endswith('-4"')


async def test_folders_are_synchronised_and_compared(desk: Desk) -> None:
    shell = await desk.shell()
    where = f"moorage:{shell.bucket}/tree"
    (shell.home / "tree" / "sub").mkdir(parents=True)
    for number in range(30):
        shell.file(f"tree/sub/{number}", str(number))

    await shell.run("rclone", "sync", "tree", where)
    (shell.home / "tree" / "sub" / "7").unlink()
    shell.file("tree/sub/8", "changed")
    await shell.run("rclone", "sync", "tree", where)
    await shell.run("rclone", "check", "tree", where)
    await shell.run("rclone", "move", where, "back")

    assert sorted(each.name for each in (shell.home / "back" / "sub").iterdir()) == sorted(
        str(number) for number in range(30) if number != 7
    )
    assert (shell.home / "back" / "sub" / "8").read_text() == "changed"
    assert await shell.run("rclone", "lsf", f"moorage:{shell.bucket}", "--recursive", "--files-only") == ""


async def test_a_link(desk: Desk) -> None:
    shell = await desk.shell()
    shell.file("k", "by url")
    await shell.run("rclone", "copy", "k", f"moorage:{shell.bucket}")

    url = (await shell.run("rclone", "link", f"moorage:{shell.bucket}/k", "--expire", "1m")).strip()

    assert await fetched(url) == (200, b"by url")


async def test_versions(desk: Desk) -> None:
    shell = await desk.shell(versioning=True)
    where = f"moorage:{shell.bucket}"
    for text in ("1", "22"):
        shell.file("k.txt", text)
        await shell.run("rclone", "copy", "k.txt", where)
        await asyncio.sleep(1.1)  # rclone names versions by their time, which the engine tells in seconds
    await shell.run("rclone", "deletefile", f"{where}/k.txt")

    now = await shell.run("rclone", "lsf", where)
    all_of_them = (await shell.run("rclone", "lsf", where, "--s3-versions", "--format", "sp")).splitlines()
    state = await shell.run("rclone", "backend", "versioning", where)

    assert now == ""
    assert sorted(line.split(";")[0] for line in all_of_them) == ["1", "2"]
    assert "Enabled" in state
    old = next(line.split(";")[1] for line in all_of_them if line.startswith("1;"))
    assert await shell.run("rclone", "cat", f"{where}/{old}", "--s3-versions") == "1"


async def test_other_buckets_are_out_of_reach(desk: Desk) -> None:
    shell, other = await desk.shell("mine"), await desk.shell("theirs")
    shell.file("k", "x")

    for argv in (
        ("lsf", f"moorage:{other.bucket}"),
        ("copy", "k", f"moorage:{other.bucket}", "--retries", "1"),
        ("purge", f"moorage:{shell.bucket}", "--retries", "1"),
    ):
        assert "403" in await shell.refused("rclone", *argv)
