"""The aws command line as it is, with the key that our Bucket made."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bed import until
from s3tools import Desk, Shell, fetched
from s3tools import desk as desk

MIB = 1 << 20


async def api(shell: Shell, operation: str, *argv: str | Path) -> dict[str, Any]:
    """`aws s3api`, answered in JSON."""
    said = await shell.run("aws", "s3api", operation, "--bucket", shell.bucket, "--output", "json", *argv)
    return json.loads(said) if said.strip() else {}


async def test_files_and_folders(desk: Desk) -> None:
    shell = await desk.shell()
    where = f"s3://{shell.bucket}"
    data = os.urandom(20 * MIB + 1)  # more than 8 MiB: in parts
    shell.file("big", data)
    (shell.home / "tree" / "sub").mkdir(parents=True)
    for name in ("tree/a b", "tree/sub/c+d"):
        shell.file(name, name)

    await shell.run("aws", "s3", "cp", "big", f"{where}/big", "--metadata", "who=me")
    await shell.run("aws", "s3", "sync", "tree", f"{where}/tree")
    again = await shell.run("aws", "s3", "sync", "tree", f"{where}/tree")
    await shell.run("aws", "s3", "cp", f"{where}/big", f"{where}/copy")
    await shell.run("aws", "s3", "mv", f"{where}/tree/a b", f"{where}/tree/moved")
    await shell.run("aws", "s3", "cp", f"{where}/copy", "back")
    listed = await shell.run("aws", "s3", "ls", f"{where}/", "--recursive")
    streamed = await shell.run("aws", "s3", "cp", f"{where}/tree/moved", "-")
    head = await api(shell, "head-object", "--key", "big")

    assert again == ""
    assert (shell.home / "back").read_bytes() == data
    assert [line.split(maxsplit=3)[3] for line in listed.splitlines()] == ["big", "copy", "tree/moved", "tree/sub/c+d"]
    assert streamed == "tree/a b"
    assert (head["Metadata"], head["ContentLength"]) == ({"who": "me"}, len(data))
    await shell.run("aws", "s3", "rm", where, "--recursive")
    assert await shell.run("aws", "s3", "ls", f"{where}/") == ""
    await shell.run("aws", "s3api", "head-bucket", "--bucket", shell.bucket)


async def test_a_stream_of_unknown_length(desk: Desk) -> None:
    shell = await desk.shell()
    data = os.urandom(9 * MIB)

    await shell.run("aws", "s3", "cp", "-", f"s3://{shell.bucket}/stream", given=data)
    await shell.run("aws", "s3", "cp", f"s3://{shell.bucket}/stream", "back")

    assert (shell.home / "back").read_bytes() == data


async def test_ranges_copies_tags_and_deletion_of_many(desk: Desk) -> None:
    shell = await desk.shell()
    shell.file("k", "0123456789")

    await api(
        shell, "put-object", "--key", "k", "--body", "k", "--content-type", "x/y", "--checksum-algorithm", "SHA256"
    )
    piece = await api(shell, "get-object", "--key", "k", "--range", "bytes=2-4", "piece")
    await api(shell, "copy-object", "--key", "copy", "--copy-source", f"{shell.bucket}/k")
    await api(shell, "put-object-tagging", "--key", "k", "--tagging", "TagSet=[{Key=stage,Value=raw}]")
    tags = await api(shell, "get-object-tagging", "--key", "k")
    listed = await api(shell, "list-objects-v2", "--max-items", "1")
    both = json.dumps({"Objects": [{"Key": "k"}, {"Key": "copy"}]})
    gone = await api(shell, "delete-objects", "--delete", both)

    assert ((shell.home / "piece").read_bytes(), piece["ContentRange"]) == (b"234", "bytes 2-4/10")
    assert tags["TagSet"] == [{"Key": "stage", "Value": "raw"}]
    assert [each["Key"] for each in listed["Contents"]] == ["copy"]
    assert sorted(each["Key"] for each in gone["Deleted"]) == ["copy", "k"]


async def test_multipart_by_hand(desk: Desk) -> None:
    shell = await desk.shell()
    shell.file("first", bytes(5 * MIB))
    shell.file("last", "end")

    upload = (await api(shell, "create-multipart-upload", "--key", "big"))["UploadId"]
    words = ("--key", "big", "--upload-id", upload)
    etags = [
        (await api(shell, "upload-part", *words, "--part-number", str(number), "--body", name))["ETag"]
        for number, name in enumerate(("first", "last"), 1)
    ]
    listed = await api(shell, "list-parts", *words)
    parts = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]}
    await api(shell, "complete-multipart-upload", *words, "--multipart-upload", json.dumps(parts))

    assert [each["ETag"] for each in listed["Parts"]] == etags
    assert (await api(shell, "head-object", "--key", "big"))["ContentLength"] == 5 * MIB + 3


async def test_versions(desk: Desk) -> None:
    shell = await desk.shell(versioning=True)
    versions = []
    for text in ("1", "2"):
        shell.file("k", text)
        versions.append((await api(shell, "put-object", "--key", "k", "--body", "k"))["VersionId"])
    await shell.run("aws", "s3", "rm", f"s3://{shell.bucket}/k")

    listed = await api(shell, "list-object-versions")
    await api(shell, "get-object", "--key", "k", "--version-id", versions[0], "old")
    state = await api(shell, "get-bucket-versioning")

    assert [each["VersionId"] for each in listed["Versions"]] == versions[::-1]
    assert len(listed["DeleteMarkers"]) == 1
    assert ((shell.home / "old").read_bytes(), state["Status"]) == (b"1", "Enabled")


async def test_a_presigned_url(desk: Desk) -> None:
    shell = await desk.shell()
    shell.file("k", "by url")
    # for URLs aws takes signatures of version 2 by itself, which engines of today refuse
    await shell.run("aws", "configure", "set", "default.s3.signature_version", "s3v4")
    await shell.run("aws", "s3", "cp", "k", f"s3://{shell.bucket}/k")

    url = (await shell.run("aws", "s3", "presign", f"s3://{shell.bucket}/k", "--expires-in", "60")).strip()

    assert await fetched(url) == (200, b"by url")
    assert (await fetched(url.split("?")[0]))[0] == 403


async def test_conditional_writes(desk: Desk) -> None:
    shell = await desk.shell()
    shell.file("k", "x")

    first = await api(shell, "put-object", "--key", "k", "--body", "k", "--if-none-match", "*")
    again = ("aws", "s3api", "put-object", "--bucket", shell.bucket, "--key", "k", "--body", "k")
    refused = await shell.refused(*again, "--if-none-match", "*")
    await shell.run(*again, "--if-match", first["ETag"])

    assert "PreconditionFailed" in refused


async def test_a_version_under_the_buckets_lock_stays(desk: Desk) -> None:
    shell = await desk.shell(versioning=True, objectLock={"mode": "Compliance", "days": 1})
    shell.file("k", "kept")
    version = (await api(shell, "put-object", "--key", "k", "--body", "k"))["VersionId"]
    words = ("--key", "k", "--version-id", version)

    async def stamped() -> bool:
        ask = ("aws", "s3api", "get-object-retention", "--bucket", shell.bucket, *words)
        return (await shell.attempt(*ask))[0] == 0

    await until(stamped, lambda: api(shell, "list-object-versions"))
    retention = (await api(shell, "get-object-retention", *words))["Retention"]
    refused = await shell.refused("aws", "s3api", "delete-object", "--bucket", shell.bucket, *words)

    assert retention["Mode"] == "COMPLIANCE"
    assert datetime.fromisoformat(retention["RetainUntilDate"]) > datetime.now(UTC)
    assert "AccessDenied" in refused or "ObjectLocked" in refused


async def test_other_buckets_and_the_bucket_itself_are_out_of_reach(desk: Desk) -> None:
    shell, other = await desk.shell("mine"), await desk.shell("theirs")

    for argv in (
        ("s3", "ls", f"s3://{other.bucket}"),
        ("s3", "mb", "s3://one-of-my-own"),
        ("s3", "rb", f"s3://{shell.bucket}"),
        ("s3api", "delete-bucket-policy", "--bucket", shell.bucket),
    ):
        assert "AccessDenied" in await shell.refused("aws", *argv)
