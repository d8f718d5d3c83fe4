"""What to do about a BucketKey that is being deleted: revoked at once, whoever uses it; then its Secret goes."""

from moorage import keyslots, names, placement
from moorage.actions import Notice, Plan
from moorage.conditions import lifecycle
from moorage.keyfacts import KeyFacts
from moorage.keyplan import conclude, removal, settle
from moorage.model import BucketKeyStatus, Phase


def release(facts: KeyFacts) -> Plan[BucketKeyStatus]:
    """The next step of a deletion."""
    status = facts.key.status
    if names.FINALIZER not in facts.key.metadata.get("finalizers", ()):
        return Plan(status)
    if status.phase == Phase.DESTROYED and not keyslots.slots(status):  # written last: all is done and told
        return Plan(status, finish=True)
    if status.phase != Phase.DESTROYING:
        return settle(facts, status, (lifecycle(Phase.DESTROYING, "the key is being revoked"),), (), 0)
    lost = _lost(facts)
    message = "the key and its Secret are gone"
    notices = (Notice("Destroyed", message),)
    if lost:
        text = f"{lost}: the key may still work where it was made; revoke {', '.join(keyslots.slots(status))} there"
        notices = (Notice("KeyRemains", text, warning=True), *notices)
    gone = keyslots.ended(status).model_copy(update={"buckets": ()})
    return Plan(conclude(facts, gone, (lifecycle(Phase.DESTROYED, message),)), removal(facts), notices, finish=True)


def _lost(facts: KeyFacts) -> str:
    """Why the engine cannot be asked to revoke it, for good as it seems."""
    placed = facts.key.status.placement
    if placed is None or not keyslots.slots(facts.key.status):
        return ""
    if facts.engine and not facts.root_key:
        ref = facts.engine.credentials_secret
        return f"Secret {ref.namespace}/{ref.name} with the engine's root key is gone"
    return placement.lost(facts.backend, placed)
