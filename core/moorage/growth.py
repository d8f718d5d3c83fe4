"""Making a volume larger: which sizes are refused, in the API's own words, and how far it has come."""

from dataclasses import dataclass

from moorage import conditions, quantity
from moorage.errors import InvalidInput, MoorageError, NoCapacity, OutOfRange
from moorage.model import MAX_SIZE, MIN_SIZE, StorageVolume, VolumeType
from moorage.model.volumesize import NO_SIZE, ONLY_GROWS, TOO_LARGE, TOO_SMALL

WAITING = frozenset({"Resizing", "Resized"})  # reasons of the condition Resized that are no trouble


@dataclass(frozen=True, slots=True)
class Progress:
    """`has`: bytes that `df` shows in a pod, 0 while it is not served. `trouble`: why it does not go on, or ""."""

    has: int
    done: bool
    trouble: str = ""


def check(volume: StorageVolume, size: str) -> int:
    """The size in bytes; raises InvalidInput or OutOfRange with the sentence that the API server would answer."""
    wanted = quantity.parse(size)
    if volume.spec.type == VolumeType.object:
        raise InvalidInput(NO_SIZE)
    if wanted < MIN_SIZE:
        raise OutOfRange(TOO_SMALL)
    if wanted > MAX_SIZE:
        raise OutOfRange(TOO_LARGE)
    if volume.spec.size and wanted < quantity.parse(volume.spec.size):
        raise OutOfRange(ONLY_GROWS)
    return wanted


def progress(volume: StorageVolume, wanted: int) -> Progress:
    """How far a volume is that shall have `wanted` bytes. An answer to an earlier size says nothing."""
    share = volume.status.share
    has = share.size_bytes if share else 0
    resized = conditions.find(volume.status.conditions, conditions.RESIZED)
    judged = resized is not None and resized.observed_generation >= volume.metadata.get("generation", 0)
    stuck = resized if judged and resized and resized.reason not in WAITING else None
    return Progress(has, has >= wanted, stuck.message or stuck.reason if stuck else "")


def refused(trouble: str) -> MoorageError:
    """What a growth ends with that the backend could not do. What was asked stays asked."""
    return NoCapacity(f"{trouble}. The size asked stays asked: it grows by itself when that has changed")
