"""versitygw, on loopback, as the chart starts it."""

import os
from contextlib import ExitStack
from pathlib import Path

from harness.ports import free_ports
from moorage.sigv4 import Key
from s3engines.process import answers, spawn, until
from s3engines.server import Server


def start(
    home: Path, stack: ExitStack, *more: str, program: Path, ca: Path | None = None, root: Key | None = None
) -> Server:
    """`more`: further flags of the gateway; `ca`: it speaks TLS, by a certificate that this one signed."""
    for name in ("data", "versions", "iam"):
        (home / name).mkdir(exist_ok=True)
    port, admin = free_ports(2)
    root = root or Key("root-access", os.urandom(16).hex())
    scheme = "https" if ca else "http"
    server = Server("versitygw", f"{scheme}://127.0.0.1:{port}", root, f"{scheme}://127.0.0.1:{admin}", ca)
    spawn(
        home / f"versitygw-{port}.log",
        stack,
        program,
        *(f"--port=127.0.0.1:{port}", f"--admin-port=127.0.0.1:{admin}", f"--iam-dir={home / 'iam'}"),
        *("--health=/health", *more, "posix", f"--versioning-dir={home / 'versions'}", home / "data"),
        env={"ROOT_ACCESS_KEY_ID": root.access, "ROOT_SECRET_ACCESS_KEY": root.secret},
    )
    until(lambda: answers(f"{server.endpoint}/health", ca), "versitygw does not answer", home)
    return server
