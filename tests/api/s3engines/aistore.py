"""NVIDIA AIStore, one proxy and one target, on loopback.

aistore.json is what the project's own script for development writes, but for: checksum md5 (so that ETags are what S3
tools expect) and features 8216 = S3-API-via-Root, Fsync-PUT and S3-Reverse-Proxy (without the last, tools that do not
follow redirects of PUTs fail).
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from harness.ports import free_ports
from moorage.sigv4 import Key
from s3engines.process import spawn, until
from s3engines.programs import program
from s3engines.server import Server

CONFIG = Path(__file__).with_name("aistore.json")


@dataclass(frozen=True)
class Cloud:
    """An S3 that AIStore has buckets of. `hosts`: /etc/hosts of AIStore, for whom it is Amazon's."""

    endpoint: str
    key: Key
    ca: Path
    hosts: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for each file of tests: what a test sets there is nobody else's."""
    with ExitStack() as stack:
        yield start(tmp_path_factory.mktemp("aistore"), stack)


def start(home: Path, stack: ExitStack, cloud: Cloud | None = None) -> Server:
    ports = free_ports(6)
    proxy = f"http://127.0.0.1:{ports[0]}"
    config = json.loads(CONFIG.read_text())
    config["proxy"] |= {"primary_url": proxy, "original_url": proxy}
    config["backend"] = {"aws": {}} if cloud else {}
    for role, own, more in (("proxy", ports[:3], ("-skip_startup",)), ("target", ports[3:], ())):
        folder = home / role
        folder.mkdir()
        (folder / "ais.json").write_text(json.dumps(config))
        (folder / "ais_local.json").write_text(json.dumps(_local(folder, own)))
        files = (f"-config={folder / 'ais.json'}", f"-local_config={folder / 'ais_local.json'}")
        node = (program("aisnode"), *files, f"-role={role}", *more)
        spawn(home / f"{role}.log", stack, *_seeing(cloud, home), *node, env=_access(cloud))
    until(lambda: _ready(proxy), "AIStore is not ready", home)
    return Server("aistore", f"{proxy}/s3", Key("any", os.urandom(16).hex()))


def _seeing(cloud: Cloud | None, home: Path) -> list[str | Path]:
    """A view of the file system with the cloud's /etc/hosts: AIStore sends what was signed elsewhere to Amazon only."""
    if cloud is None:
        return []
    hosts = home / "hosts"
    hosts.write_text(cloud.hosts)
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, hosts]


def _access(cloud: Cloud | None) -> dict[str, str]:
    if cloud is None:
        return {}
    key = {"AWS_ACCESS_KEY_ID": cloud.key.access, "AWS_SECRET_ACCESS_KEY": cloud.key.secret}
    trust = {"SSL_CERT_FILE": str(cloud.ca), "AWS_CA_BUNDLE": ""}  # it can do nothing with a bundle of the machine's
    return {**key, **trust, "AWS_REGION": "us-east-1", "S3_ENDPOINT": cloud.endpoint}


def _local(folder: Path, ports: list[int]) -> dict[str, object]:
    public, control, data = map(str, ports)
    here = {"hostname": "127.0.0.1", "hostname_intra_control": "127.0.0.1", "hostname_intra_data": "127.0.0.1"}
    return {
        "confdir": str(folder),
        "log_dir": str(folder / "log"),
        "host_net": {**here, "port": public, "port_intra_control": control, "port_intra_data": data},
        "fspaths": {},
        "test_fspaths": {"root": str(folder / "data"), "count": 1, "instance": 0},
    }


def _ready(proxy: str) -> bool:
    """With its target: the proxy does not wait for it by itself, which takes it twenty seconds."""
    try:
        found = requests.get(f"{proxy}/v1/health", params={"prr": "true"}, timeout=5)
        nodes = requests.get(f"{proxy}/v1/daemon", params={"what": "smap"}, timeout=5)
        return found.ok and bool(nodes.json()["tmap"]) and requests.get(f"{proxy}/s3", timeout=5).ok
    except (OSError, ValueError, KeyError):
        return False
