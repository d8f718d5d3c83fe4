"""The cluster's name service: CoreDNS on the control-plane node, as plain objects to apply."""

from __future__ import annotations

import json

from .layout import CONTROL_PLANE, SERVICE_DNS

IMAGE = "registry.k8s.io/coredns/coredns:v1.15.0"
NAMESPACE = "kube-system"
COREFILE = """.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
    }
    cache 5
}
"""
Object = dict[str, object]


def objects() -> list[Object]:
    """All objects of the name service."""
    account = {"kind": "ServiceAccount", "name": "coredns", "namespace": NAMESPACE}
    read = ["list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": read},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
    ]
    role: Object = {"kind": "ClusterRole", "name": "system:coredns", "apiGroup": "rbac.authorization.k8s.io"}
    return [
        _named("v1", "ServiceAccount", "coredns"),
        _named("rbac.authorization.k8s.io/v1", "ClusterRole", "system:coredns", rules=rules),
        _named(
            "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "system:coredns", roleRef=role, subjects=[account]
        ),
        _named("v1", "ConfigMap", "coredns", data={"Corefile": COREFILE}),
        _deployment(),
        _service(),
    ]


def manifest() -> str:
    """The objects as one List, for `kubectl apply -f -`."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects()})


def _named(version: str, kind: str, name: str, **rest: object) -> Object:
    cluster_wide = kind.startswith("Cluster")
    metadata = {"name": name} if cluster_wide else {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _deployment() -> Object:
    labels = {"k8s-app": "kube-dns"}
    container: Object = {
        "name": "coredns",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
    }
    pod: Object = {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "nodeSelector": {CONTROL_PLANE: ""},
        "tolerations": [{"key": CONTROL_PLANE, "operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    template: Object = {"metadata": {"labels": labels}, "spec": pod}
    spec: Object = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return _named("apps/v1", "Deployment", "coredns", spec=spec)


def _service() -> Object:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    spec: Object = {"clusterIP": SERVICE_DNS, "selector": {"k8s-app": "kube-dns"}, "ports": ports}
    return _named("v1", "Service", "kube-dns", spec=spec)
