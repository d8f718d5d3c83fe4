"""The two slots of a key: the current one and, for the time of `overlap`, the one before it. Pure; times are RFC 3339.

A rotation is written down before anything is made (`step`), and ends when the Secret has the new key (`issued`): from
then on counts the overlap. A crash in between leaves a state from which the same plan goes on. Access keys come from
the owner's uid and the number of the key, never from a Secret, and no number comes twice.
"""

import base64
import hashlib
from typing import TypeVar

from moorage import duration
from moorage.model.keystate import KeyRotation, KeyState, PreviousKey

State = TypeVar("State", bound=KeyState)


def access_key(uid: str, serial: int = 1) -> str:
    """The access key with this number of the object with this uid: 20 capital letters and digits, as AWS's are."""
    seed = f"access-key:{uid}" if serial == 1 else f"access-key:{uid}:{serial}"
    return "MO" + base64.b32encode(hashlib.sha256(seed.encode()).digest()).decode()[:18]


def is_being_made(state: KeyState) -> bool:
    """Whether a key was decided on that the Secret does not have yet."""
    return state.access_key_id is not None and state.issued_at is None


def step(state: State, uid: str, rotation: KeyRotation, now: str) -> State:
    """The state with the first or the next key decided on, if it is due; else as it was."""
    return begun(state, uid, rotation) if is_due(state, rotation, now) else state


def is_due(state: KeyState, rotation: KeyRotation, now: str) -> bool:
    """A key that still overlaps with the one before it waits: there are two slots."""
    if state.access_key_id is None:
        return True
    if is_being_made(state) or state.previous:
        return False
    old = state.rotates_at is not None and duration.until(state.rotates_at, now) == 0
    return old or state.rotated != rotation.rotate


def begun(state: State, uid: str, rotation: KeyRotation) -> State:
    """The next key is decided on; the current one becomes the previous."""
    serial, old = state.serial + 1, state.access_key_id
    update = {
        "serial": serial,
        "access_key_id": access_key(uid, serial),
        "issued_at": None,
        "rotates_at": None,
        "rotated": rotation.rotate,
        "previous": PreviousKey(access_key_id=old) if old else None,
    }
    return state.model_copy(update=update)


def issued(state: State, rotation: KeyRotation, now: str) -> State:
    """The Secret has the current key and it works: its times, which follow changes of the rotation."""
    since = state.issued_at or now
    after, previous = rotation.rotate_after, state.previous
    if previous:
        latest = duration.stamp(duration.moment(now) + duration.parse(rotation.overlap))
        kept = previous.revoke_at
        sooner = latest if kept is None or duration.moment(latest) < duration.moment(kept) else kept
        previous = previous.model_copy(update={"revoke_at": sooner})
    rotates = duration.stamp(duration.moment(since) + duration.parse(after)) if after else None
    return state.model_copy(update={"issued_at": since, "rotates_at": rotates, "previous": previous})


def over(state: KeyState, now: str) -> str | None:
    """The access key of the previous slot, when its time has come."""
    previous = state.previous
    if previous and previous.revoke_at and duration.until(previous.revoke_at, now) == 0:
        return previous.access_key_id
    return None


def without_previous(state: State) -> State:
    return state.model_copy(update={"previous": None})


def ended(state: State) -> State:
    """No key lives any more. The number stays: it must not come twice."""
    gone = {"access_key_id": None, "issued_at": None, "rotates_at": None, "previous": None}
    return state.model_copy(update=gone)


def slots(state: KeyState) -> tuple[str, ...]:
    """All access keys that the engine may have."""
    previous = (state.previous.access_key_id,) if state.previous else ()
    return (*((state.access_key_id,) if state.access_key_id else ()), *previous)


def live(state: KeyState, now: str) -> tuple[str, ...]:
    """The access keys that shall work."""
    late = over(state, now)
    return tuple(each for each in slots(state) if each != late)


def next_change(state: KeyState, now: str, *others: str | None) -> float | None:
    """Seconds until one of its times, or of the others, has come."""
    revoke = state.previous.revoke_at if state.previous else None
    times = (revoke, None if state.previous else state.rotates_at, *others)
    return min((duration.until(each, now) for each in times if each), default=None)
