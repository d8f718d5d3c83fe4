"""Settings from the environment, and those that kopf gets."""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import kopf

from moorage import names
from moorage.errors import InvalidInput
from moorage.filerpod import WorkerPod
from moorage.model import SecretRef


@dataclass(frozen=True)  # no slots: the class attributes are the defaults below
class Settings:
    """`namespace`: of the release. `identity`: this very process, for the Lease. Times are seconds."""

    namespace: str
    identity: str
    http_port: int = 8080
    log_format: str = "json"
    log_level: str = "INFO"
    node_account: str = "moorage-csi-node"
    workers: int = 16
    resync: float = 60.0
    relist: float = 300.0
    deep: float = 300.0  # between looks at what no watch shows: Secrets, Roles, buckets on their engines
    walk: float = 300.0  # between walks through a bucket, which tell how much is in it
    stamp: float = 60.0  # between walks through a locked bucket whose versions are given their retention
    crds_patience: float = 60.0  # then the kinds are served whose CRDs are there
    holder_image: str = "docker.io/library/busybox:1.37"  # of the pods that hold mounts on nodes
    holder_pull_policy: str = "IfNotPresent"
    image: str = "moorage:latest"  # of the pods that are filers' workers
    pull_policy: str = "IfNotPresent"
    filer_account: str = "moorage-filer"
    filer_pod: str = "{}"  # JSON: more of their spec

    @property
    def node_service_account(self) -> SecretRef:
        return SecretRef(name=self.node_account, namespace=self.namespace)

    @property
    def filer_worker(self) -> WorkerPod:
        more = cast(dict[str, Any], json.loads(self.filer_pod))
        return WorkerPod(self.namespace, self.image, self.pull_policy, self.filer_account, self.log_level, more)

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """From the environment; raises InvalidInput that names the variable."""
        namespace = environ.get("POD_NAMESPACE")
        if not namespace:
            raise InvalidInput("POD_NAMESPACE is not set: give it the namespace of the release")
        return cls(
            namespace=namespace,
            identity=environ.get("POD_NAME") or socket.gethostname(),
            http_port=_number(environ, "MOORAGE_HTTP_PORT", cls.http_port),
            log_format=environ.get("MOORAGE_LOG_FORMAT", cls.log_format),
            log_level=environ.get("MOORAGE_LOG_LEVEL", cls.log_level),
            node_account=environ.get("MOORAGE_NODE_SERVICE_ACCOUNT", cls.node_account),
            workers=_number(environ, "MOORAGE_WORKERS", cls.workers),
            holder_image=environ.get("MOORAGE_HOLDER_IMAGE") or cls.holder_image,
            holder_pull_policy=environ.get("MOORAGE_HOLDER_PULL_POLICY") or cls.holder_pull_policy,
            image=environ.get("MOORAGE_IMAGE") or cls.image,
            pull_policy=environ.get("MOORAGE_PULL_POLICY") or cls.pull_policy,
            filer_account=environ.get("MOORAGE_FILER_SERVICE_ACCOUNT") or cls.filer_account,
            filer_pod=_mapping(environ, "MOORAGE_FILER_POD"),
        )


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, str(default))
    if not text.isdecimal():
        raise InvalidInput(f"{name}={text!r} is not a number")
    return int(text)


def _mapping(environ: Mapping[str, str], name: str) -> str:
    text = environ.get(name) or "{}"
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{name} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{name}={text!r} is not a JSON object")
    return text


class NoDiffs(kopf.DiffBaseStorage):
    """Kopf copies each object of each event deeply, to compare it with what it was; nothing of ours asks for that."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return cast(kopf.BodyEssence, {})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        return None


def kopf_settings() -> kopf.OperatorSettings:
    """Kopf only watches here: nothing of it is written to objects, and no log line becomes an Event."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.scanning.disabled = True  # the CRDs are there before us; saves watching all CRDs
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.inactivity_timeout = 70
    settings.watching.chunk_size = 100  # of thousands listed at once, kopf holds each whole, and memory stays so large
    settings.peering.standalone = True
    settings.queueing.idle_timeout = 0.1  # each object that was listed has a task of kopf's for so long
    settings.persistence.finalizer = f"{names.GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{names.GROUP}")
    settings.persistence.diffbase_storage = NoDiffs()
    return settings
