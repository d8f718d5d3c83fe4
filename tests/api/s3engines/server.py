"""An S3 server that a test started, with its root key, and the clients that judge it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import boto3
from botocore.config import Config

from moorage.model import S3Engine
from moorage.sigv4 import Key
from moorage_operator.engines.desk import speaker
from moorage_operator.engines.plain import Turns
from moorage_operator.engines.protocol import ObjectEngine
from moorage_operator.s3 import S3


@dataclass(frozen=True)
class Server:
    """`spec` is what a StorageBackend would say of it."""

    flavor: str
    endpoint: str
    root: Key
    admin_endpoint: str | None = None
    ca: Path | None = None

    def spec(self, **more: object) -> S3Engine:
        where = {"adminEndpoint": self.admin_endpoint} if self.admin_endpoint else {}
        secret = {"name": "root", "namespace": "moorage"}
        common = {"flavor": self.flavor, "endpoint": self.endpoint, "credentialsSecret": secret}
        return S3Engine.model_validate({**common, **where, **more})

    def boto(self, key: Key | None = None) -> Any:
        """A client of boto3; by default with the root key."""
        key = key or self.root
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key.access,
            aws_secret_access_key=key.secret,
            verify=str(self.ca) if self.ca else None,
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, signature_version="s3v4"),
        )

    @asynccontextmanager
    async def opened(self, **more: object) -> AsyncIterator[ObjectEngine]:
        """The engine as the operator speaks to it."""
        spec = self.spec(**more)
        trusted = ssl.create_default_context(cafile=self.ca) if self.ca else True
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as session:
            yield speaker(spec, S3(session, spec.endpoint, spec.region, self.root), Turns())
