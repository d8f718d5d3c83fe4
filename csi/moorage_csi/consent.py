"""Whether a volume may still show another namespace's bucket. What is mounted goes on; new mounts are refused.

A PersistentVolume carries its whole mount plan, so it does not know that the bucket's owner has withdrawn spec.share
since. The StorageVolume says so, and is asked before each new mount of such a volume; all others ask nobody.
"""

from collections.abc import Callable

from moorage.errors import Forbidden, InvalidInput, NotFound
from moorage.mount import MountPlan
from moorage.objectmount import ObjectMount
from moorage_csi import api, lookup
from moorage_csi.api import Api


async def check(client: Callable[[], Api], volume_id: str, plan: MountPlan) -> None:
    """Raises Forbidden when the bucket is not shared with the volume's namespace (any more)."""
    if not isinstance(plan, ObjectMount) or not plan.secret:
        return
    try:
        volume = lookup.handle(volume_id)
    except InvalidInput:
        return
    if plan.secret.partition("/")[0] == volume.namespace:
        return
    try:
        found = await client().get(api.volume_path(volume.namespace, volume.name))
    except NotFound:
        return  # deleted by force: what its PersistentVolume says is all there is
    provisioned = lookup.condition(found, "Provisioned")
    if provisioned.get("reason") == lookup.NOT_SHARED:
        what = f"StorageVolume {volume.namespace}/{volume.name} may not have its bucket"
        raise Forbidden(f"{what} for new pods: {provisioned.get('message', '')}")
