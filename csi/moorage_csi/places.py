"""Which nodes are where: the nodes behind places, and the places of a node group. Asked of the API server."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import urlencode

from moorage import names
from moorage_csi import api
from moorage_csi.api import Api

_SECONDS = 5.0  # GetCapacity comes for each node and class, so an answer is used again for so long
_KEPT = 64  # groups


class Places:
    def __init__(self, client: Api) -> None:
        self._api = client
        self._groups: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()

    async def node(self, place: str) -> str:
        """The name of the node that is this place; empty when there is none."""
        found = await self._nodes({names.TOPOLOGY_NODE: place})
        return next(iter(found.values()), "")

    async def group(self, labels: Mapping[str, str]) -> frozenset[str]:
        """The places of the nodes that have all of these labels."""
        key = _selector(labels)
        now = time.monotonic()
        asked, places = self._groups.get(key, (-_SECONDS, frozenset[str]()))
        if now - asked >= _SECONDS:
            places = frozenset(await self._nodes(labels))
            self._groups[key] = (now, places)
            if len(self._groups) > _KEPT:
                self._groups.popitem(last=False)
        return places

    async def _nodes(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The names of the nodes with these labels, by their places."""
        answer = await self._api.get(f"{api.NODES}?{urlencode({'labelSelector': _selector(labels)})}")
        found = [each["metadata"] for each in answer["items"]]
        return {names.topology_value(each["name"]): str(each["name"]) for each in found}


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
