"""Which settings a bucket shall have on its engine: its spec's, what others may set there, and never a looser lock.

What the spec never said stays as it is on the engine (an administrator's tags, an Admin key's CORS rules); what it said
once and says no more is taken away, which is why the status remembers it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from moorage import features, keysenforced, quantity
from moorage.actions import Problem
from moorage.bucketowner import Owner
from moorage.bucketsettings import BucketSettings
from moorage.features import Feature
from moorage.model import BucketSpec, BucketStatus, LockMode, ObjectLock, S3Engine

NOT_OFFERED = "NotOffered"
_FIELDS = {Feature.lifecycle: "lifecycle", Feature.cors: "cors", Feature.quota: "quota"}


@dataclass(frozen=True, slots=True)
class Look:
    """What the engine said of the bucket. `access`: whether just those may use it who shall. `exists`: else it was
    removed there, by somebody else.
    """

    settings: BucketSettings
    tags: Mapping[str, str]
    access: bool = True
    exists: bool = True


@dataclass(frozen=True, slots=True)
class Wish:
    """What the bucket shall be. `tags`: to be there, beside those of others; `dropped`: those that shall go."""

    settings: BucketSettings
    tags: Mapping[str, str]
    dropped: frozenset[str] = frozenset()


def wish(spec: BucketSpec, status: BucketStatus, engine: S3Engine, owner: Owner, look: Look | None) -> Wish:
    """What the engine can do of what is asked; `refused` says what it cannot."""
    offered = features.features(engine)
    seen = look.settings if look else BucketSettings()
    asked = _asked(spec)
    said = set(status.set_fields)
    kept = {
        name: getattr(seen, name)
        for feature, name in _FIELDS.items()
        if feature in offered and not getattr(asked, name) and name not in said
    }
    lock = stricter(stricter(asked.lock, seen.lock), known_lock(status))
    versioned = asked.versioning or lock is not None
    settings = replace(asked, lock=lock, versioning=versioned, **kept)
    tags = (spec.tags or {}) if Feature.tags in offered else {}
    dropped = frozenset(status.tag_keys) - tags.keys()
    return Wish(_within(settings, offered), {**tags, **owner.tags}, dropped)


def refused(spec: BucketSpec, backend: str, engine: S3Engine) -> Problem | None:
    """What is asked and the engine has not, with what to do."""
    if keysenforced.without_keys(engine):
        return Problem(NOT_OFFERED, f"StorageBackend {backend}: {keysenforced.NO_KEYS}")
    rotates = spec.key.rotate_after is not None or bool(spec.key.rotate)
    more = {Feature.public_read: spec.public_read, Feature.tags: bool(spec.tags), Feature.keys: rotates}
    why = features.lacking(engine, {*_asked(spec).needs, *(each for each, wanted in more.items() if wanted)})
    return Problem(NOT_OFFERED, f"StorageBackend {backend}: {why}") if why else None


def set_fields(spec: BucketSpec) -> tuple[str, ...]:
    """The fields of the settings that the spec speaks of: for the status."""
    asked = _asked(spec)
    return tuple(name for name in sorted(_FIELDS.values()) if getattr(asked, name))


def drift(wanted: Wish, look: Look) -> tuple[str, ...]:
    """What somebody has changed on the engine, in words; empty when all is as it shall be."""
    seen, want = look.settings, wanted.settings
    if not look.exists:
        return ("it was gone with all that was in it, and an empty one is there again",)
    found: list[str] = []
    if seen.versioning != want.versioning:
        found.append(f"versioning was {_onoff(seen.versioning)} and is {_onoff(want.versioning)} again")
    if seen.lock != want.lock:
        found.append(f"the lock was {lock_text(seen.lock)} and is {lock_text(want.lock)} again")
    changed = (name for name in sorted(_FIELDS.values()) if getattr(seen, name) != getattr(want, name))
    found.extend(f"{name} was changed and is as in the spec again" for name in changed)
    found.extend(_tag_drift(wanted.tags, look.tags))
    if not look.access:
        found.append("the rules of who may use it were changed and are as they shall be again")
    return tuple(found)


def stricter(one: ObjectLock | None, other: ObjectLock | None) -> ObjectLock | None:
    """The lock that is not looser than any of the two."""
    if one is None or other is None:
        return one or other
    mode = LockMode.Compliance if LockMode.Compliance in (one.mode, other.mode) else LockMode.Governance
    return ObjectLock.model_construct(mode=mode, days=max(one.days, other.days))


def known_lock(status: BucketStatus) -> ObjectLock | None:
    """The lock that the bucket has had: an adopted one's may be in no spec."""
    if status.lock_mode is None or not status.lock_days:
        return None
    return ObjectLock.model_construct(mode=status.lock_mode, days=status.lock_days)


def lock_text(lock: ObjectLock | None) -> str:
    return f"{lock.mode} for {lock.days} day{'s' if lock.days != 1 else ''}" if lock else "off"


def _asked(spec: BucketSpec) -> BucketSettings:
    return BucketSettings(
        versioning=spec.versioning,
        lock=spec.object_lock,
        lifecycle=spec.lifecycle,
        cors=spec.cors,
        quota=quantity.parse(spec.quota) if spec.quota else None,
    )


def _within(settings: BucketSettings, offered: frozenset[Feature]) -> BucketSettings:
    """Less what the engine has not."""
    none = BucketSettings()
    lacking = {name: getattr(none, name) for feature, name in _FIELDS.items() if feature not in offered}
    if Feature.versioning not in offered:
        lacking |= {"versioning": False, "lock": None}
    if Feature.object_lock not in offered:
        lacking["lock"] = None
    rules = tuple(each for each in settings.lifecycle if _fits(each.abort_multipart_days, offered))
    return replace(settings, **{"lifecycle": rules, **lacking})


def _fits(abort_days: int | None, offered: frozenset[Feature]) -> bool:
    return abort_days is None or Feature.abort_multipart in offered


def _tag_drift(wanted: Mapping[str, str], seen: Mapping[str, str]) -> list[str]:
    gone = sorted(key for key in wanted if key not in seen)
    changed = sorted(key for key in wanted if key in seen and seen[key] != wanted[key])
    return [
        *(f"tag {key} was gone and is there again" for key in gone),
        *(f"tag {key} was changed and is {wanted[key]!r} again" for key in changed),
    ]


def _onoff(on: bool) -> str:
    return "on" if on else "off"
