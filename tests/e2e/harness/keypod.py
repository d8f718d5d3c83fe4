"""A pod that uses a bucket by nothing but what the Secret of its key and our image have."""

from harness.kube import Kube
from harness.manifests import MOORAGE, Object, pod

# GET and PUT with the environment that the Secret gives; prints the two statuses, and what it read.
TOOL = """
import os, urllib.request, urllib.error
from datetime import UTC, datetime
from moorage import sigv4
def ask(method, name, body=b""):
    url = os.environ["AWS_ENDPOINT_URL"]
    key = sigv4.Key(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    path = "/" + os.environ["BUCKET"] + "/" + name
    request = sigv4.Request(method, path, {"host": url.split("://")[1]}, (), body)
    headers = sigv4.signed_headers(request, key, sigv4.Scope(os.environ["AWS_REGION"]), datetime.now(UTC))
    try:
        asked = urllib.request.Request(url + path, body or None, headers, method=method)
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
print(*ask("GET", "hello"), ask("PUT", "mine", b"x")[0])
"""


def keypod(name: str, namespace: str, secret: str) -> Object:
    """With the Secret as its environment, and as files: a server's CA is trusted if the Secret has it."""
    made = pod(name, {"secret": {"secretName": secret}}, namespace, image=MOORAGE)
    container = made["spec"]["containers"][0]
    container["envFrom"] = [{"secretRef": {"name": secret}}]
    container["env"] = [{"name": "SSL_CERT_FILE", "value": "/data/ca.crt"}]
    return made


def use(kube: Kube, name: str, namespace: str) -> str:
    """`STATUS of GET hello` [what was read] `STATUS of PUT mine`."""
    return kube.exec(name, "/opt/moorage/venv/bin/python", "-c", TOOL, namespace=namespace, timeout=60).strip()
