"""s3cmd as it is, with the s3cfg that stands in the Secret of our Bucket."""

import hashlib
import os

from s3tools import Desk, fetched
from s3tools import desk as desk

MIB = 1 << 20


async def test_objects(desk: Desk) -> None:
    shell = await desk.shell()
    where = f"s3://{shell.bucket}"
    data = os.urandom(100_000)
    shell.file("k", data)

    await shell.run("s3cmd", "put", "k", f"{where}/a/b c+d%ü", "--add-header=x-amz-meta-who:me", "--mime-type=x/y")
    info = await shell.run("s3cmd", "info", f"{where}/a/b c+d%ü")
    await shell.run("s3cmd", "cp", f"{where}/a/b c+d%ü", f"{where}/copy")
    await shell.run("s3cmd", "mv", f"{where}/copy", f"{where}/moved")
    await shell.run("s3cmd", "get", f"{where}/moved", "back")
    listed = await shell.run("s3cmd", "ls", "--recursive", where)
    await shell.run("s3cmd", "modify", f"{where}/moved", "--add-header=x-amz-meta-who:you")

    assert (shell.home / "back").read_bytes() == data
    assert hashlib.md5(data, usedforsecurity=False).hexdigest() in info
    assert "x-amz-meta-who: me" in info
    assert "MIME type: x/y" in info
    assert [line.split("  ")[-1].split(f"{where}/")[1] for line in listed.splitlines()] == ["a/b c+d%ü", "moved"]
    assert "x-amz-meta-who: you" in await shell.run("s3cmd", "info", f"{where}/moved")


async def test_a_get_goes_on_where_it_stopped(desk: Desk) -> None:
    shell = await desk.shell()
    data = os.urandom(MIB)
    shell.file("k", data)
    await shell.run("s3cmd", "put", "k", f"s3://{shell.bucket}/k")
    shell.file("half", data[: MIB // 2])

    await shell.run("s3cmd", "get", "--continue", f"s3://{shell.bucket}/k", "half")

    assert (shell.home / "half").read_bytes() == data


async def test_multipart(desk: Desk) -> None:
    shell = await desk.shell()
    where = f"s3://{shell.bucket}"
    data = os.urandom(17 * MIB)
    shell.file("big", data)

    await shell.run("s3cmd", "put", "--multipart-chunk-size-mb=5", "big", f"{where}/big")
    await shell.run("s3cmd", "get", f"{where}/big", "back")

    assert shell.boto().head_object(Bucket=shell.bucket, Key="big")["ETag"].endswith('-4"')
    assert (shell.home / "back").read_bytes() == data
    assert await shell.run("s3cmd", "multipart", where) == f"{where}/\nInitiated\tPath\tId\n"


async def test_folders_and_deletion_of_many(desk: Desk) -> None:
    shell = await desk.shell()
    where = f"s3://{shell.bucket}"
    (shell.home / "tree").mkdir()
    for number in range(30):
        shell.file(f"tree/{number}", str(number))

    await shell.run("s3cmd", "sync", "tree/", f"{where}/tree/")
    again = await shell.run("s3cmd", "sync", "tree/", f"{where}/tree/")
    total = await shell.run("s3cmd", "du", where)
    await shell.run("s3cmd", "sync", f"{where}/tree/", "back/")
    await shell.run("s3cmd", "del", "--recursive", "--force", f"{where}/tree/")

    assert "upload" not in again
    assert total.split()[1] == "30"
    assert (shell.home / "back" / "17").read_text() == "17"
    assert await shell.run("s3cmd", "ls", where) == ""


async def test_tags_of_objects(desk: Desk) -> None:
    shell = await desk.shell()
    shell.file("k", "x")
    await shell.run("s3cmd", "put", "k", f"s3://{shell.bucket}/k", "--add-header=x-amz-tagging:stage=raw")

    said = shell.boto().get_object_tagging(Bucket=shell.bucket, Key="k")["TagSet"]

    assert said == [{"Key": "stage", "Value": "raw"}]


async def test_a_signed_url_is_of_version_2_which_engines_of_today_refuse(desk: Desk) -> None:
    shell = await desk.shell()
    shell.file("k", "by url")
    await shell.run("s3cmd", "put", "k", f"s3://{shell.bucket}/k")

    url = (await shell.run("s3cmd", "signurl", f"s3://{shell.bucket}/k", "+60")).strip()

    assert "X-Amz-Signature" not in url  # s3cmd 2.4 knows no other way: sign URLs with another tool
    assert (await fetched(url))[0] in (400, 403)


async def test_other_buckets_and_the_bucket_itself_are_out_of_reach(desk: Desk) -> None:
    shell, other = await desk.shell("mine"), await desk.shell("theirs")

    for argv in (("ls", f"s3://{other.bucket}"), ("mb", "s3://one-of-my-own"), ("rb", f"s3://{shell.bucket}")):
        assert "Access Denied" in await shell.refused("s3cmd", *argv)
