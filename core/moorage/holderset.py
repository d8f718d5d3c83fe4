"""The DaemonSet whose pods hold an attachment's mount on the nodes of its group.

Its pods need nothing but the claim: no rights, no token, no identity. So they run where Pod Security is `restricted`.
Readiness is a bounded look at the mount: a hung file system makes a pod unready and hangs nothing else.
"""

from collections.abc import Mapping
from typing import Any, cast

from moorage import manifests, names
from moorage.actions import Manifest
from moorage.attachmentfacts import AttachmentFacts
from moorage.model import LabelSelector

MOUNT = "/volume"
USER = 65532  # nobody in particular
PROBE_TIMEOUT = 5  # seconds; `timeout` ends the look, the kubelet only after it


def daemon_set(facts: AttachmentFacts, selector: LabelSelector, topology: Mapping[str, str] | None = None) -> Manifest:
    """Complete, for server-side apply. `topology`: labels of the nodes that can use the volume; None: all can."""
    metadata = facts.attachment.metadata
    labels = manifests.labels(names.LABEL_ATTACHMENT_UID, metadata["uid"])
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": names.holder(facts.id),
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [manifests.owner("StorageAttachment", metadata)],
        },
        "spec": {
            "selector": {"matchLabels": {names.LABEL_ATTACHMENT_UID: metadata["uid"]}},
            # A pod that is replaced takes the mount away from who uses it on the node: neither another selector nor a
            # newer image is worth that. Nodes that join get the new template, nodes that leave lose their pod anyway.
            "updateStrategy": {"type": "OnDelete"},
            "template": {"metadata": {"labels": labels}, "spec": _pod(facts, affinity(selector, topology))},
        },
    }


def _pod(facts: AttachmentFacts, nodes: Manifest) -> Manifest:
    read_only = facts.attachment.spec.read_only
    source = {"claimName": facts.attachment.metadata["name"], "readOnly": read_only}
    return {
        "affinity": nodes,
        "tolerations": [{"operator": "Exists"}],  # the group is what the selector says, tainted nodes too
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(facts, read_only)],
        "volumes": [{"name": "volume", "persistentVolumeClaim": source}],
    }


def _container(facts: AttachmentFacts, read_only: bool) -> Manifest:
    look = ["timeout", str(PROBE_TIMEOUT), "stat", "-f", MOUNT]
    return {
        "name": "holder",
        "image": facts.image.name,
        "imagePullPolicy": facts.image.pull_policy,
        "command": ["sleep", "infinity"],
        # The kubelet looks at once when the container has started, and then every period.
        "readinessProbe": {
            "exec": {"command": look},
            "timeoutSeconds": PROBE_TIMEOUT + 1,
            "periodSeconds": 10,
            "failureThreshold": 2,
        },
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "volume", "mountPath": MOUNT, "readOnly": read_only}],
    }


def affinity(selector: LabelSelector, topology: Mapping[str, str] | None = None) -> Manifest:
    """The selector on nodes' labels, within the nodes that can use the volume, as pods say it; nothing for all nodes.

    A pod elsewhere would never be scheduled, and its node would seem to lag.
    """
    wanted = {*(selector.match_labels or {}).items(), *(topology or {}).items()}
    equal = [{"key": key, "operator": "In", "values": [value]} for key, value in sorted(wanted)]
    rest = [each.dump() for each in selector.match_expressions or ()]
    if not equal and not rest:
        return {}
    terms = [{"matchExpressions": [*equal, *rest]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def is_current(found: Manifest, wanted: Manifest) -> bool:
    """Whether all that we want is there. The API server adds defaults, but never to the affinity."""
    return _covers(found["spec"], wanted["spec"]) and _affinity_of(found) == _affinity_of(wanted)


def _affinity_of(body: Manifest) -> Any:
    return body["spec"]["template"]["spec"].get("affinity") or {}


def _covers(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        there, parts = cast("Manifest", found), cast("Manifest", wanted)
        return all(_covers(there.get(key), value) for key, value in parts.items())
    if isinstance(wanted, list) and isinstance(found, list):
        seen, items = cast("list[Any]", found), cast("list[Any]", wanted)
        return len(seen) == len(items) and all(map(_covers, seen, items))
    return found == wanted or (not found and not wanted)  # false and absent are the same
