"""kubectl with values in and out, and waits that end."""

import json
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from cluster.command import CommandFailed
from cluster.provider import Provider

Object = dict[str, Any]
T = TypeVar("T")
KINDS = {
    "StorageVolume": "storagevolumes.moorage.dev",
    "StorageAttachment": "storageattachments.moorage.dev",
    "StorageSnapshot": "storagesnapshots.moorage.dev",
    "Bucket": "buckets.moorage.dev",
    "BucketKey": "bucketkeys.moorage.dev",
}


class TimedOut(AssertionError):
    """A state did not come; the message holds what was seen last."""


def wait_for(what: str, probe: Callable[[], T | None], timeout: float = 90, every: float = 0.25) -> T:
    """The first true value that `probe` gives; raises TimedOut with the last false one."""
    deadline = time.monotonic() + timeout
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise TimedOut(f"{what}: not within {timeout:.0f} s (last: {value!r})")
        time.sleep(every)
    return value


class Kube:
    """A cluster seen through kubectl."""

    def __init__(self, cluster: Provider) -> None:
        self.cluster = cluster
        self.argv = cluster.kubectl_argv()

    def __call__(self, *args: str, stdin: str | None = None, timeout: float = 60) -> str:
        return self.cluster.kubectl(*args, stdin=stdin, timeout=timeout)

    def attempt(self, *args: str, stdin: str | None = None, timeout: float = 60) -> tuple[bool, str]:
        """Whether kubectl succeeded, and what it said either way."""
        try:
            return True, self(*args, stdin=stdin, timeout=timeout)
        except CommandFailed as error:
            return False, str(error)

    def apply(self, *objects: Object) -> None:
        self("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(_list(objects)))

    def create(self, *objects: Object) -> tuple[bool, str]:
        return self.attempt("create", "-f", "-", stdin=json.dumps(_list(objects)))

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        text = self("get", KINDS.get(kind, kind), name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def items(self, kind: str, namespace: str = "", selector: str = "") -> list[Object]:
        where = ["-n", namespace] if namespace else ["-A"]
        pick = ["-l", selector] if selector else []
        return json.loads(self("get", KINDS.get(kind, kind), *where, *pick, "-o", "json"))["items"]

    def delete(self, kind: str, name: str, namespace: str = "default", wait: bool = True, timeout: float = 90) -> None:
        flags = ["--ignore-not-found", f"--wait={str(wait).lower()}", f"--timeout={timeout:.0f}s"]
        self("delete", KINDS.get(kind, kind), name, "-n", namespace, *flags, timeout=timeout + 10)

    def exec(
        self, pod: str, *argv: str, namespace: str = "default", timeout: float = 60, stdin: str | None = None
    ) -> str:
        flags = ["-i"] if stdin is not None else []
        return self("exec", *flags, "-n", namespace, pod, "--", *argv, timeout=timeout, stdin=stdin)

    def events(self, kind: str, name: str, namespace: str = "default") -> list[Object]:
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = json.loads(self("get", "events", "-n", namespace, "--field-selector", selector, "-o", "json"))["items"]
        return sorted(found, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")

    def wait_phase(self, kind: str, name: str, phase: str, namespace: str = "default", timeout: float = 90) -> Object:
        """Wait for `status.phase`; on time-out the error holds the whole status."""

        def probe() -> Object | None:
            seen = self.get(kind, name, namespace)
            last.update(seen or {})
            return seen if seen and seen.get("status", {}).get("phase") == phase else None

        last: Object = {}
        try:
            return wait_for(f"{kind} {namespace}/{name} {phase}", probe, timeout)
        except TimedOut as error:
            raise TimedOut(f"{error}; status: {json.dumps(last.get('status'))}") from None

    def wait_pod(self, name: str, namespace: str = "default", timeout: float = 120) -> Object:
        """Wait until the pod is Ready; on time-out the error holds its events."""

        def probe() -> Object | None:
            pod = self.get("pod", name, namespace)
            return pod if pod and condition(pod, "Ready").get("status") == "True" else None

        try:
            return wait_for(f"pod {namespace}/{name} Ready", probe, timeout)
        except TimedOut as error:
            said = [event["message"] for event in self.events("Pod", name, namespace)]
            raise TimedOut(f"{error}; events: {said}") from None

    def wait_gone(self, kind: str, name: str, namespace: str = "default", timeout: float = 90) -> None:
        wait_for(f"{kind} {namespace}/{name} gone", lambda: self.get(kind, name, namespace) is None, timeout)

    @contextmanager
    def port_forward(self, target: str, port: int, namespace: str) -> Generator[str]:
        """A local address that leads to `port` of `target` while the context lasts."""
        argv = [*self.argv, "port-forward", "-n", namespace, target, f":{port}"]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "->" not in line:
                raise TimedOut(f"port-forward to {target}: {line}{process.stdout.read()}")
            yield f"127.0.0.1:{line.split('127.0.0.1:')[1].split()[0]}"
        finally:
            process.terminate()
            process.wait(10)


def condition(thing: Object, kind: str) -> Object:
    """The condition of a type, or {}."""
    found: list[Object] = thing.get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), Object())


def _list(objects: Sequence[Object]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}
