"""What the agent is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from moorage import ganesha
from moorage.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Settings:
    pod: str
    node: str
    namespace: str
    pool: Path
    export_root: Path
    run_dir: Path
    cluster_domain: str
    extra_clients: tuple[str, ...]
    nfs_port: int
    http_port: int
    log_level: str

    @property
    def server(self) -> str:
        return self.pod

    @property
    def exports(self) -> bool:
        return True

    def path(self, volume_id: str) -> str:
        return ganesha.pseudo_path(volume_id)

    @property
    def stateful_set(self) -> str:
        return self.pod.rpartition("-")[0]

    @property
    def address(self) -> str:
        """DNS name of the Service that stands for this pod; it keeps its IP when the pod moves."""
        return f"{self.pod}.{self.namespace}.svc.{self.cluster_domain}"

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Raises InvalidInput when a name is missing or a value cannot be read."""
        for name in ("POD_NAME", "POD_NAMESPACE"):
            if not environ.get(name):
                raise InvalidInput(f"{name} is not set: give it from the pod's own fields (fieldRef)")
        extra = [text for text in environ.get("MOORAGE_NFS_EXTRA_CLIENTS", "").replace(",", " ").split() if text]
        return cls(
            pod=environ["POD_NAME"],
            node=environ.get("NODE_NAME", ""),
            namespace=environ["POD_NAMESPACE"],
            pool=Path(environ.get("MOORAGE_POOL", "/pool")),
            export_root=Path(environ.get("MOORAGE_EXPORT_ROOT", "/export")),
            run_dir=Path(environ.get("MOORAGE_RUN_DIR", "/run/moorage")),
            cluster_domain=environ.get("MOORAGE_CLUSTER_DOMAIN", "cluster.local"),
            extra_clients=ganesha.client_list((), extra),
            nfs_port=_port(environ, "MOORAGE_NFS_PORT", "2049"),
            http_port=_port(environ, "MOORAGE_HTTP_PORT", "8081"),
            log_level=environ.get("MOORAGE_LOG_LEVEL", "INFO").upper(),
        )


def _port(environ: Mapping[str, str], name: str, default: str) -> int:
    text = environ.get(name, default)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise InvalidInput(f"{name}={text!r} is not a port")
    return int(text)
