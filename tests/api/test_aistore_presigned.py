"""AIStore's pass-through of presigned requests: it asks Amazon, which here is a versitygw that AIStore takes for it."""

import asyncio
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError
from s3engines import aistore, versity
from s3engines.server import Server

from moorage.sigv4 import Key
from moorage_operator.engines.aistore import FEATURES

AMAZON = "s3.us-east-1.amazonaws.com"  # the only place that AIStore sends presigned requests to
PRESIGNED = 1 << 9
BUCKET = "shots"


@dataclass(frozen=True)
class Passed:
    """AIStore with the feature on, and the cloud behind it. `stranger` signs by a wrong key."""

    ais: Server
    cloud: Server

    def url(self, what: str, key: str, by: Key | None = None) -> str:
        """Signed for Amazon, sent to AIStore."""
        by = by or self.cloud.root
        config = Config(
            signature_version="s3v4", s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
        )
        keys = {"aws_access_key_id": by.access, "aws_secret_access_key": by.secret}
        s3: Any = boto3.client("s3", region_name="us-east-1", config=config, **keys)
        url: str = s3.generate_presigned_url(what, Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=60)
        return url.replace(f"https://{BUCKET}.{AMAZON}", f"{self.ais.endpoint}/{BUCKET}")

    @property
    def stranger(self) -> Key:
        return Key(self.cloud.root.access, "x" * 32)


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory, versitygw_program: Path) -> Iterator[Passed]:
    home = tmp_path_factory.mktemp("presigned")
    ca = certificate(home)
    # Amazon's address: one of the machine's own, whose port 443 nobody has
    address = ".".join(map(str, (127, *(random.randint(2, 250) for _ in range(3)))))  # noqa: S311
    flags = (f"--cert={ca}", f"--key={home / 'key'}", f"--virtual-domain={AMAZON}", f"--port={address}:443")
    hosts = f"127.0.0.1 localhost\n{address} {AMAZON} {BUCKET}.{AMAZON} twins.{AMAZON}\n"
    with ExitStack() as stack:
        for folder in ("cloud", "ais"):
            (home / folder).mkdir()
        cloud = versity.start(home / "cloud", stack, *flags, program=versitygw_program, ca=ca)
        cloud.boto().create_bucket(Bucket=BUCKET)
        there = aistore.Cloud(f"https://{AMAZON}", cloud.root, ca, hosts)
        yield Passed(aistore.start(home / "ais", stack, there), cloud)


def certificate(home: Path) -> Path:
    """Amazon's, by nobody but itself; the key lies beside it."""
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=amazon"]
    names = f"subjectAltName=IP:127.0.0.1,DNS:{AMAZON},DNS:*.{AMAZON}"
    files = ["-keyout", str(home / "key"), "-out", str(home / "ca"), "-addext", names]
    subprocess.run([*make, *files], check=True, capture_output=True, timeout=60)
    return home / "ca"


async def probed(server: Server) -> Any:
    async with server.opened() as engine:
        return await engine.probe()


def test_a_presigned_request_is_judged_by_the_cloud(passed: Passed) -> None:
    """The administrator sets the feature, the operator its own beside it; a bucket gets them when it is first seen."""
    proxy = passed.ais.endpoint.removesuffix("/s3")
    cloud, data = passed.cloud.boto(), os.urandom(1000)
    set_by_hand = {"action": "set-config", "value": {"features": str(PRESIGNED)}}
    assert requests.put(f"{proxy}/v1/cluster", json=set_by_hand, timeout=10).ok
    trouble = asyncio.run(probed(passed.ais))
    features = int(requests.get(f"{proxy}/v1/daemon", params={"what": "config"}, timeout=10).json()["features"])
    requests.head(f"{proxy}/v1/buckets/{BUCKET}", params={"provider": "aws"}, timeout=10)

    def put(key: str, by: Key | None = None) -> int:
        return requests.put(passed.url("put_object", key, by), data=data, timeout=20).status_code

    def head(key: str, by: Key | None = None) -> int:
        return requests.head(passed.url("head_object", key, by), timeout=20).status_code

    stored, refused = put("k"), put("other", passed.stranger)
    cloud.put_object(Bucket=BUCKET, Key="cold", Body=data)
    heads = head("cold", passed.stranger), head("cold")
    read = requests.get(passed.url("get_object", "k"), timeout=20).content

    assert (trouble, features) == (None, FEATURES | PRESIGNED)
    assert (stored, refused, heads) == (200, 403, (403, 200))
    assert cloud.get_object(Bucket=BUCKET, Key="k")["Body"].read() == read == data
    assert sorted(each["Key"] for each in cloud.list_objects_v2(Bucket=BUCKET)["Contents"]) == ["cold", "k"]
    assert requests.get(passed.url("get_object", "cold", passed.stranger), timeout=20).content == data
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):  # what any tool signs is passed on as well
        passed.ais.boto().put_object(Bucket=BUCKET, Key="by-tool", Body=b"1")


def test_a_bucket_of_aistores_own_with_the_clouds_name_shuts_both(passed: Passed) -> None:
    """Why no Bucket of ours stands before the cloud's one: by another name the signature is for another bucket."""
    proxy = passed.ais.endpoint.removesuffix("/s3")
    passed.cloud.boto().create_bucket(Bucket="twins")
    behind = {"backend_bck": {"name": "twins", "provider": "aws"}}
    created = requests.post(
        f"{proxy}/v1/buckets/twins", json={"action": "create-bck", "value": behind}, timeout=20
    ).status_code

    said = requests.get(f"{passed.ais.endpoint}/twins", timeout=20)

    assert (created, said.status_code) == (200, 422)
    assert "cannot unambiguously resolve bucket name" in said.text
