"""A pod that waits because its volume can be used on other nodes only: what to tell it.

The scheduler says no more than "volume node affinity conflict", and nothing at all to the claim.
"""

from collections.abc import Mapping

from moorage.actions import Manifest, Notice, part
from moorage.nodegroup import labels_text

CONFLICT = "node affinity conflict"  # in the scheduler's words ("volume node affinity conflict")


def is_stray(pod: Manifest) -> bool:
    """Whether the scheduler finds no node for the pod, and volumes that nodes cannot use are among its reasons."""
    found: list[Manifest] = part(pod, "status").get("conditions") or []
    return any(
        each.get("type") == "PodScheduled" and each.get("status") == "False" and CONFLICT in each.get("message", "")
        for each in found
    )


def notice(volume: Manifest, topology: Mapping[str, str]) -> Notice:
    """What to tell a pod, and its claim."""
    metadata = volume["metadata"]
    text = f"StorageVolume {metadata['namespace']}/{metadata['name']} can be used on nodes with"
    return Notice("VolumeElsewhere", f"{text} {labels_text(topology)} only: let its pods run there", warning=True)
