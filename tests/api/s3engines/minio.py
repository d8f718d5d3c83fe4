"""MinIO with one folder, on loopback."""

import os
from contextlib import ExitStack
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from harness.ports import free_ports
from moorage.sigv4 import Key
from s3engines.process import spawn, until
from s3engines.programs import program
from s3engines.server import Server


def start(home: Path, stack: ExitStack) -> Server:
    port, console = free_ports(2)
    server = Server("minio", f"http://127.0.0.1:{port}", Key("minio-root", os.urandom(16).hex()))
    spawn(
        home / "minio.log",
        stack,
        program("minio"),
        *("server", home / "data", "--quiet"),
        *(f"--address=127.0.0.1:{port}", f"--console-address=127.0.0.1:{console}"),
        env={
            **{"MINIO_ROOT_USER": server.root.access, "MINIO_ROOT_PASSWORD": server.root.secret},
            **{"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_CALLHOME_ENABLE": "off"},
            "MINIO_SCANNER_SPEED": "fastest",
        },
    )
    until(lambda: _knows_its_root(server), "MinIO does not answer", home)
    return server


def _knows_its_root(server: Server) -> bool:
    """Its health page says yes before its users are loaded."""
    try:
        server.boto().create_bucket(Bucket="first-sign-of-life")
        return True
    except (ClientError, BotoCoreError):
        return False
