"""Label selectors, and which namespaces a volume is shared with."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from moorage.model.base import Label, Model, Rule, matching

# As the API server checks labels' keys: an optional DNS subdomain of at most 253 characters, and a name of at most 63.
_DNS = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
LABEL_KEY_PATTERN = rf"^({_DNS}([.]{_DNS})*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{{0,61}}[A-Za-z0-9])?$"
_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$"

LabelKey = Annotated[
    str, Field(max_length=253), matching(LABEL_KEY_PATTERN, "write a label's key, such as pool or example.com/pool")
]
LabelValue = Annotated[
    str,
    Field(max_length=63, description="A label's value."),
    matching(_VALUE, "write a label's value: at most 63 letters, digits, '-', '_' or '.', alphanumeric at both ends"),
]


class Operator(StrEnum):
    """In, NotIn, Exists or DoesNotExist."""

    In = "In"
    NotIn = "NotIn"
    Exists = "Exists"
    DoesNotExist = "DoesNotExist"


class Requirement(Model):
    """One requirement on a label, as in a Kubernetes label selector."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            message="operators In and NotIn need values, Exists and DoesNotExist take none",
        ),
    )

    key: LabelKey
    """The label."""
    operator: Operator
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[LabelValue, ...] | None, Field(max_length=32)] = None
    """In: one of these; NotIn: none of these."""


class LabelSelector(Model):
    """A Kubernetes label selector: every part must hold; an empty one selects everything."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="!has(self.matchLabels)"
            f" || self.matchLabels.all(key, size(key) <= 253 && key.matches(r'{LABEL_KEY_PATTERN}'))",
            message="write labels' keys such as pool or example.com/pool",
            field_path=".matchLabels",
        ),
        # The API server drops a label whose value is null (`team:` and nothing behind it in YAML): then nothing is left
        # and would select everything.
        Rule(
            rule="!has(self.matchLabels) || size(self.matchLabels) > 0",
            message="matchLabels names no label with a value: write one, or leave matchLabels out to select everything",
            field_path=".matchLabels",
        ),
    )

    match_labels: Annotated[dict[str, LabelValue] | None, Field(max_length=16)] = None
    """Labels that must be there with these values."""
    match_expressions: Annotated[tuple[Requirement, ...] | None, Field(max_length=16)] = None
    """Further requirements on labels."""


class ShareFrom(StrEnum):
    """Same, Names, Selector or All."""

    Same = "Same"
    Names = "Names"
    Selector = "Selector"
    All = "All"


class Consent(Model):
    """Which namespaces may attach the volume; its own always may."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="(self.from == 'Names') == (has(self.names) && size(self.names) > 0)",
            message="from: Names needs names, a list of namespaces, and nothing else takes it",
            field_path=".names",
        ),
        Rule(
            rule="(self.from == 'Selector') == has(self.selector)",
            message="from: Selector needs selector, on the labels of namespaces, and nothing else takes it",
            field_path=".selector",
        ),
        Rule(
            rule="self.from != 'Selector' || !has(self.selector)"
            " || has(self.selector.matchLabels) || has(self.selector.matchExpressions)",
            message="selector is empty and would select every namespace: write labels, or from: All if that is meant",
            field_path=".selector",
        ),
    )

    from_: Annotated[ShareFrom, Field(alias="from")] = ShareFrom.Same
    """Same: only the volume's own namespace; Names: those in names; Selector: those whose labels match; All: all."""
    names: Annotated[tuple[Annotated[Label, Field(description="A namespace.")], ...] | None, Field(max_length=64)] = (
        None
    )
    """Names: the namespaces."""
    selector: LabelSelector | None = None
    """Selector: on the labels of namespaces."""
