"""What stands for a volume in the cluster: PersistentVolume and claim."""

from collections.abc import Mapping

from moorage import manifests, names, quantity
from moorage.actions import Action, Apply, Create, Manifest, Problem
from moorage.backing import Backing
from moorage.errors import InvalidInput
from moorage.facts import VolumeFacts


def claim_conflict(facts: VolumeFacts) -> Problem | None:
    if facts.volume.spec.claim == "None" or facts.claim is None:
        return None
    if manifests.is_owned(facts.claim, names.LABEL_VOLUME_UID, facts.volume.metadata["uid"]):
        return None
    if "deletionTimestamp" in facts.claim["metadata"]:  # of an earlier volume of this name; it goes by itself
        return Problem(
            "ClaimDestroying", f"PersistentVolumeClaim {facts.claim['metadata']['name']} is still being deleted"
        )
    message = "exists and is not of this volume: delete it, or set spec.claim to None"
    return Problem("ClaimConflict", f"PersistentVolumeClaim {facts.claim['metadata']['name']} {message}")


def claim_actions(facts: VolumeFacts, backing: Backing) -> tuple[Action, ...]:
    if facts.volume.spec.claim == "None":
        return ()
    claim, found = facts.claim, facts.persistent_volume
    attributes = (
        found["spec"]["csi"].get("volumeAttributes", {}) if found else backing.attributes
    )  # immutable once there
    wanted = manifests.persistent_volume(
        facts.volume, facts.id, attributes, backing.secret, affinity(found, backing.topology), rebind(found, claim)
    )
    actions: list[Action] = []
    if found is None or ("deletionTimestamp" not in found["metadata"] and drifted(found, wanted)):
        actions.append(Apply(wanted))
    if claim is None:
        actions.append(Create(manifests.persistent_volume_claim(facts.volume, facts.id)))
    return tuple(actions)


def affinity(found: Manifest | None, topology: Mapping[str, str] | None) -> Manifest:
    """The part of a PersistentVolume's spec that says which nodes can use it; immutable once there."""
    if found is None:
        return manifests.affinity(topology)
    there = found["spec"].get("nodeAffinity")
    return {"nodeAffinity": there} if there else {}


def rebind(found: Manifest | None, claim: Manifest | None) -> str | None:
    """The claim's uid when the PersistentVolume remembers another claim (deleted since), else None: no change asked."""
    remembered = found["spec"].get("claimRef", {}).get("uid") if found else None
    current = claim["metadata"].get("uid") if claim and "deletionTimestamp" not in claim["metadata"] else None
    return current if remembered and current and remembered != current else None


def drifted(found: Manifest, wanted: Manifest) -> bool:
    """Whether a PersistentVolume lacks what may be wanted of it: its labels, its size, its claim, its safety."""
    there, here = found["spec"], wanted["spec"]
    same = (
        wanted["metadata"]["labels"].items() <= found["metadata"].get("labels", {}).items()
        and there.get("persistentVolumeReclaimPolicy") == here["persistentVolumeReclaimPolicy"]
        and _bytes(there["capacity"]["storage"]) == _bytes(here["capacity"]["storage"])
        and "uid" not in here["claimRef"]
    )
    return not same


def _bytes(text: str) -> int:
    """Quantities by value: the API server writes 1000000000 as 1G."""
    try:
        return quantity.parse(text)
    except InvalidInput:
        return -1
