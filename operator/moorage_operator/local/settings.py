"""What the local agent is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from moorage import names
from moorage.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Settings:
    """`disks`: where volumes are mounted, at the same path here and on the node."""

    node: str
    namespace: str
    daemon_set: str
    pool: Path
    disks: Path
    volume_group: str
    http_port: int
    log_level: str

    @property
    def server(self) -> str:
        return self.node

    @property
    def address(self) -> str:
        return ""

    @property
    def exports(self) -> bool:
        return False

    def path(self, volume_id: str) -> str:
        return str(self.disks / volume_id)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Raises InvalidInput when a name is missing or a value cannot be read."""
        for name in ("NODE_NAME", "POD_NAMESPACE"):
            if not environ.get(name):
                raise InvalidInput(f"{name} is not set: give it from the pod's own fields (fieldRef)")
        port = environ.get("MOORAGE_HTTP_PORT", "8083")
        if not port.isdigit() or not 0 <= int(port) < 65536:
            raise InvalidInput(f"MOORAGE_HTTP_PORT={port!r} is not a port")
        kubelet = Path(environ.get("MOORAGE_KUBELET_DIR", "/var/lib/kubelet"))
        return cls(
            node=environ["NODE_NAME"],
            namespace=environ["POD_NAMESPACE"],
            daemon_set=environ.get("MOORAGE_DAEMON_SET", "moorage-local"),
            pool=Path(environ.get("MOORAGE_POOL", "/pool")),
            disks=kubelet / "plugins" / names.DRIVER / names.LOCAL_DISKS,
            volume_group=environ.get("MOORAGE_VOLUME_GROUP", ""),
            http_port=int(port),
            log_level=environ.get("MOORAGE_LOG_LEVEL", "INFO").upper(),
        )
