"""NVIDIA AIStore, one proxy and one target, on loopback.

aistore.json is what the project's own script for development writes, but for: checksum md5 (so that ETags are what S3
tools expect) and features 8216 = S3-API-via-Root, Fsync-PUT and S3-Reverse-Proxy (without the last, tools that do not
follow redirects of PUTs fail).
"""

import json
import os
from contextlib import ExitStack
from pathlib import Path

import requests

from harness.ports import free_ports
from moorage.sigv4 import Key
from s3engines.process import spawn, until
from s3engines.programs import program
from s3engines.server import Server

CONFIG = Path(__file__).with_name("aistore.json")


def start(home: Path, stack: ExitStack) -> Server:
    ports = free_ports(6)
    proxy = f"http://127.0.0.1:{ports[0]}"
    config = json.loads(CONFIG.read_text())
    config["proxy"] |= {"primary_url": proxy, "original_url": proxy}
    for role, own, more in (("proxy", ports[:3], ("-ntargets=1",)), ("target", ports[3:], ())):
        folder = home / role
        folder.mkdir()
        (folder / "ais.json").write_text(json.dumps(config))
        (folder / "ais_local.json").write_text(json.dumps(_local(folder, own)))
        files = (f"-config={folder / 'ais.json'}", f"-local_config={folder / 'ais_local.json'}")
        spawn(home / f"{role}.log", stack, program("aisnode"), *files, f"-role={role}", *more)
    until(lambda: _ready(proxy), "AIStore is not ready", home)
    return Server("aistore", f"{proxy}/s3", Key("any", os.urandom(16).hex()))


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
    try:
        found = requests.get(f"{proxy}/v1/health", params={"prr": "true"}, timeout=5)
        return found.ok and requests.get(f"{proxy}/s3", timeout=5).ok
    except OSError:
        return False
