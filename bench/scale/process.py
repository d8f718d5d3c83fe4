"""The operator as a process of its own, with the settings that the chart gives it, and what /proc says of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from bench.scale.agent import NAMESPACE, SERVER
from bench.scale.plane import AGENT, OPERATOR, Plane
from harness.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
PYTHONPATH = ":".join(str(ROOT / part) for part in ("core", "operator", "csi", "tests/e2e", "."))
# There is no cluster DNS here: the NFS server's name comes from an /etc/hosts that only the operator sees.
_AS_ROOT = [] if os.geteuid() == 0 else ["--map-root-user"]
ALONE = ["unshare", *_AS_ROOT, "--mount", "--propagation", "private", "--", "sh", "-c"]
ENTER = 'mount --bind "$0" /etc/hosts && exec "$@"'


class OperatorProcess:
    """Start, kill, and look at it."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self._address = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
        self._hosts = plane.home / "hosts"
        self._hosts.write_text(f"127.0.0.1 localhost\n{self._address} {SERVER}.{NAMESPACE}.svc\n")

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start_agent(self) -> None:
        environment = {"KUBECONFIG": str(self._plane.kubeconfig(AGENT)), "PYTHONPATH": PYTHONPATH}
        self._plane.spawn("agent", [sys.executable, "-m", "bench.scale.agent", self._address], environment)

    def start(self) -> None:
        environment = {
            "KUBECONFIG": str(self._plane.kubeconfig(OPERATOR)),
            "PYTHONPATH": PYTHONPATH,
            "POD_NAMESPACE": NAMESPACE,
            "POD_NAME": "moorage-operator-0",
            "MOORAGE_HTTP_PORT": str(self._port),
        }
        how = os.environ.get("MOORAGE_SCALE_PYTHON", "").split()  # a profiler, for those who mend
        argv = [*ALONE, ENTER, self._hosts, sys.executable, *how, "-m", "moorage_operator"]
        self._process = self._plane.spawn("operator", argv, environment)

    def kill(self) -> None:
        """No goodbye: as a node that fails. A container that is restarted keeps its pod's name, as here."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def cpu(self) -> float:
        """Seconds of CPU that it has used, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, field: str = "VmRSS") -> float:
        """MiB; VmHWM is the highest that VmRSS has been."""
        found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert found
        return round(int(found[1]) / 1024, 1)

    def metric(self, name: str, **labels: str) -> float:
        """One sample of its /metrics; -1 while there is none."""
        wanted = name + ("{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else "")
        try:
            text = requests.get(f"http://127.0.0.1:{self._port}/metrics", timeout=5).text
        except OSError:
            return -1
        found = next((line for line in text.splitlines() if line.startswith(wanted + " ")), "")
        return float(found.rpartition(" ")[2]) if found else -1

    def busy(self, seconds: float) -> float:
        """Share of one core, in percent, over the next `seconds`."""
        before, started = self.cpu(), time.monotonic()
        time.sleep(seconds)
        return round(100 * (self.cpu() - before) / (time.monotonic() - started), 2)
