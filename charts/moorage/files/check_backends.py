"""`helm test`: wait up to 60 s until each StorageBackend in $BACKENDS is Ready and $S3_HEALTH answers."""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc/apis/moorage.dev/v1alpha1/storagebackends"


def fetch(url: str, headers: dict[str, str], context: ssl.SSLContext | None = None) -> bytes:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - both addresses come from the chart
    with urllib.request.urlopen(request, timeout=5, context=context) as reply:  # noqa: S310
        return reply.read()


def backend_problem(name: str) -> str:
    """Why a backend is not Ready; empty when it is."""
    token = (ACCOUNT / "token").read_text()
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT  # cluster CAs made before Python 3.13 lack extensions it asks for
    thing = json.loads(fetch(f"{API}/{name}", {"Authorization": f"Bearer {token}"}, trusted))
    ready = [each for each in thing.get("status", {}).get("conditions", []) if each["type"] == "Ready"]
    if ready and ready[0]["status"] == "True":
        return ""
    return f"StorageBackend {name} is not Ready: {ready[0].get('message', '') if ready else 'no condition yet'}"


def problems() -> list[str]:
    found = []
    for name in os.environ["BACKENDS"].split():
        try:
            found.append(backend_problem(name))
        except OSError as error:
            found.append(f"StorageBackend {name}: {error}")
    if os.environ["S3_HEALTH"]:
        try:
            fetch(os.environ["S3_HEALTH"], {})
        except OSError as error:
            found.append(f"S3 server {os.environ['S3_HEALTH']}: {error}")
    return [each for each in found if each]


deadline = time.monotonic() + 60
while (left := problems()) and time.monotonic() < deadline:
    time.sleep(1)
print("\n".join(left) or "all backends are Ready")
sys.exit(1 if left else 0)
