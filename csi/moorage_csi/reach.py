"""Whether this node may use a volume: a volume of a node group, or of one node's disk, serves only those."""

from collections.abc import Mapping

from moorage import names
from moorage.errors import Forbidden, NotFound
from moorage_csi import api
from moorage_csi.api import Api


async def check(client: Api, node: str, topology: Mapping[str, str], what: str) -> None:
    """Raises Forbidden with the label that this node lacks. Asks for the Node only when the volume has a topology.

    Claims need no such check: their PersistentVolume says where the scheduler may put their pods.
    """
    if not topology:
        return
    labels = {names.TOPOLOGY_NODE: names.topology_value(node)}
    if set(topology) - set(labels):
        labels = await _labels(client, node) | labels
    lacking = sorted(f"{key}={value}" for key, value in topology.items() if labels.get(key) != value)
    if lacking:
        raise Forbidden(
            f"{what} is for nodes with the label {', '.join(lacking)}, which node {node} has not: write it into the "
            "nodeSelector of the pod"
        )


async def _labels(client: Api, node: str) -> dict[str, str]:
    try:
        found = await client.get(api.node_path(node))
    except NotFound:
        return {}
    return dict(api.part(found, "metadata", "labels"))
