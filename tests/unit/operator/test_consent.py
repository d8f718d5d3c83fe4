"""Selectors as Kubernetes reads them, and which namespaces a volume is shared with."""

from typing import Any

import pytest

from moorage import consent
from moorage.model import LabelSelector, StorageVolume


def volume(share: dict[str, Any] | None) -> StorageVolume:
    spec = {"type": "shared", "size": "1Gi", **({"share": share} if share else {})}
    return StorageVolume.model_validate({"metadata": {"name": "data", "namespace": "ns"}, "spec": spec})


def expression(operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "pool", "operator": operator, **({"values": values} if values else {})}]}


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ({}, {}, True),
        ({"matchLabels": {"pool": "gpu"}}, {"pool": "gpu", "zone": "a"}, True),
        ({"matchLabels": {"pool": "gpu", "zone": "b"}}, {"pool": "gpu", "zone": "a"}, False),
        (expression("In", "gpu", "cpu"), {"pool": "cpu"}, True),
        (expression("In", "gpu"), {}, False),
        (expression("NotIn", "gpu"), {"pool": "gpu"}, False),
        (expression("NotIn", "gpu"), {}, True),  # as in Kubernetes: also without the label
        (expression("Exists"), {"pool": ""}, True),
        (expression("Exists"), {}, False),
        (expression("DoesNotExist"), {}, True),
        (expression("DoesNotExist"), {"pool": "gpu"}, False),
        ({"matchLabels": {"zone": "a"}, **expression("Exists")}, {"pool": "gpu"}, False),
    ],
)
def test_a_selector_selects_as_kubernetes_does(selector: Any, labels: dict[str, str], expected: bool) -> None:
    assert consent.matches(LabelSelector.model_validate(selector), labels) == expected


@pytest.mark.parametrize(
    ("share", "namespace", "labels", "expected"),
    [
        (None, "ns", None, True),
        (None, "other", {}, False),
        ({"from": "Same"}, "other", {}, False),
        ({"from": "Names", "names": ["other"]}, "other", None, True),
        ({"from": "Names", "names": ["third"]}, "other", {}, False),
        ({"from": "Names", "names": ["third"]}, "ns", {}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}, "other", {"team": "a"}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}, "other", {"team": "b"}, False),
        ({"from": "Selector", "selector": expression("DoesNotExist")}, "other", None, False),  # not known is no consent
        ({"from": "All"}, "other", None, True),
    ],
)
def test_a_volume_is_attached_by_its_own_namespace_and_those_it_agrees_to(
    share: Any, namespace: str, labels: dict[str, str] | None, expected: bool
) -> None:
    assert consent.allows(volume(share), namespace, labels) == expected
