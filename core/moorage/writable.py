"""Whether an engine keeps what files are made of. One that does not can be read as files, and not written."""

from moorage import berth, engines, features, placement
from moorage.actions import Problem
from moorage.facts import VolumeFacts
from moorage.features import Feature
from moorage.model import Placement

NOT_OFFERED = "NotOffered"


def refused(facts: VolumeFacts, placed: Placement | Problem | None) -> Problem | None:
    """Why the object volume cannot be written at `placed`; None when it can, is read-only, or is served already."""
    spec = facts.volume.spec
    if not isinstance(placed, Placement) or facts.volume.status.attributes or (spec.object and spec.object.read_only):
        return None
    backend = next((each for each in facts.backends if each.metadata["name"] == placed.backend), None)
    engine = backend.spec.engine.s3 if backend else None
    if engine is None or Feature.metadata in features.features(engine):
        return None
    lack = f"engine {engine.flavor} has no {Feature.metadata.value} ({features.MEANING[Feature.metadata]})"
    what = f"StorageBackend {placed.backend}: {lack}"
    return Problem(
        NOT_OFFERED, f"{what}: make the volume again with object.readOnly: true, or on another StorageBackend"
    )


def foreseen(facts: VolumeFacts) -> Problem | None:
    """The same before there is a Bucket, so that none is made for a volume that nobody could write."""
    spec = facts.volume.spec
    asked = berth.Asked(engines.ENGINES_FOR[spec.type], spec.backend)
    return refused(facts, placement.place(asked, facts.backends, facts.room))
