"""Which namespaces may attach a volume or have a key of a bucket, and which labels a selector selects."""

from collections.abc import Mapping

from moorage.model import Bucket, Consent, LabelSelector, Operator, Requirement, ShareFrom, StorageVolume

Labels = Mapping[str, str]


def matches(selector: LabelSelector, labels: Labels) -> bool:
    """Whether every part of the selector holds, as Kubernetes reads label selectors: NotIn also without the label."""
    equal = all(labels.get(key) == value for key, value in (selector.match_labels or {}).items())
    return equal and all(_holds(each, labels) for each in selector.match_expressions or ())


def _holds(requirement: Requirement, labels: Labels) -> bool:
    values = requirement.values or ()
    match requirement.operator:
        case Operator.In:
            return labels.get(requirement.key) in values
        case Operator.NotIn:
            return labels.get(requirement.key) not in values
        case Operator.Exists:
            return requirement.key in labels
        case Operator.DoesNotExist:
            return requirement.key not in labels


def allows(shared: StorageVolume | Bucket, namespace: str, labels: Labels | None) -> bool:
    """Whether the namespace, with these labels (None: not known), may use it; its own always may."""
    return namespace == shared.metadata["namespace"] or _agrees(shared.spec.share, namespace, labels)


def _agrees(share: Consent | None, namespace: str, labels: Labels | None) -> bool:
    if share is None:
        return False
    match share.from_:
        case ShareFrom.Same:
            return False
        case ShareFrom.Names:
            return namespace in (share.names or ())
        case ShareFrom.Selector:
            return labels is not None and share.selector is not None and matches(share.selector, labels)
        case ShareFrom.All:
            return True
