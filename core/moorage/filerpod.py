"""The pod in which a filer's worker lives: what it may do, and where it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moorage import manifests, names
from moorage.actions import Manifest
from moorage.model import StorageBackend

ATTEMPT = f"{names.GROUP}/attempt"  # how many workers before it failed, or left something undone, in a row
GENERATION = f"{names.GROUP}/generation"  # of the backend that it was started for
LIFE = 3600  # seconds; the worker itself ends far sooner
READY_FILE = "/tmp/ready"  # noqa: S108 - in the pod: there when the export is mounted and can be written
MOUNT_POINT = "/mnt"  # of the image, so that no volume of the kubelet's is ever above the filer's files

# To mount; to make folders for others, and to remove what is theirs.
CAPABILITIES = ("SYS_ADMIN", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID")


@dataclass(frozen=True, slots=True)
class WorkerPod:
    """How the chart wants such pods. `spec`: more of their spec, such as tolerations and imagePullSecrets."""

    namespace: str
    image: str
    pull_policy: str = "IfNotPresent"
    account: str = "moorage-filer"
    log_level: str = "INFO"
    spec: Mapping[str, Any] = field(default_factory=dict[str, Any])


def worker(backend: StorageBackend, how: WorkerPod, attempt: int) -> Manifest:
    """Owned by its backend, so that draining a node need not be forced, and that it goes with it."""
    name = str(backend.metadata["name"])
    spec: Manifest = {**how.spec}
    resources = spec.pop("resources", {"requests": {"cpu": "10m", "memory": "64Mi"}})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.filer_worker(name),
            "namespace": how.namespace,
            "labels": {
                **names.MANAGED_BY,
                "app.kubernetes.io/name": "moorage",
                "app.kubernetes.io/component": "filer",
                names.LABEL_BACKEND: name,
            },
            "annotations": {ATTEMPT: str(attempt), GENERATION: str(backend.metadata.get("generation", 0))},
            "ownerReferences": [manifests.owner("StorageBackend", backend.metadata)],
        },
        "spec": {
            **spec,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE,
            "terminationGracePeriodSeconds": 10,
            "serviceAccountName": how.account,
            "automountServiceAccountToken": True,
            "enableServiceLinks": False,
            "nodeSelector": {**spec.get("nodeSelector", {}), **(backend.spec.node_selector or {})},
            "containers": [_container(name, how, resources)],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def _container(backend: str, how: WorkerPod, resources: Manifest) -> Manifest:
    own = {"POD_NAME": "metadata.name", "NODE_NAME": "spec.nodeName"}
    told = {
        "MOORAGE_BACKEND": backend,
        "MOORAGE_FILER_ROOT": MOUNT_POINT,
        "MOORAGE_FILER_READY": READY_FILE,
        "MOORAGE_LOG_LEVEL": how.log_level,
    }
    return {
        "name": "worker",
        "image": how.image,
        "imagePullPolicy": how.pull_policy,
        "command": ["moorage-filer"],
        "env": [
            *({"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}} for key, path in own.items()),
            *({"name": key, "value": value} for key, value in told.items()),
        ],
        "readinessProbe": {"exec": {"command": ["test", "-f", READY_FILE]}, "periodSeconds": 1, "timeoutSeconds": 5},
        "resources": resources,
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)},
            "seccompProfile": {"type": "RuntimeDefault"},
            # The profiles that container engines have by default deny mount(2), whatever the capabilities.
            "appArmorProfile": {"type": "Unconfined"},
            "seLinuxOptions": {"type": "spc_t"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
