"""Conditions, as metav1.Condition has them."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from moorage.model.base import Generation, Message, Model


class ConditionStatus(StrEnum):
    """True, False or Unknown."""

    true = "True"
    false = "False"
    unknown = "Unknown"


class Condition(Model):
    """One aspect of the object's state, as metav1.Condition."""

    type: Annotated[str, Field(max_length=64)]
    """Which aspect: Provisioned, Ready, Attached, Healthy, Resized, SizeEnforced, CloseIsStored, Configured,
    ObjectLockEnforced, KeysEnforced, CapacityLow or DeletionBlocked."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=128)]
    """Why, in one CamelCase word."""
    message: Message = ""
    """What is happening and, when stuck, what to do."""
    observed_generation: Generation = 0
    """The metadata.generation that this condition speaks of."""
    last_transition_time: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
    """When `status` last changed (RFC 3339)."""


Conditions = Annotated[
    tuple[Condition, ...],
    Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]
