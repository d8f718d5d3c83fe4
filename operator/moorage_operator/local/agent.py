"""The agent of one node."""

import random

from moorage.actions import part
from moorage_operator.agent.api import BACKENDS, Api, Feed, Object, Poll
from moorage_operator.agent.catalogue import LOCAL, Catalogue
from moorage_operator.agent.keeper import Keeper
from moorage_operator.agent.reconcile import NoExports
from moorage_operator.local.disks import Disks
from moorage_operator.local.localpool import LocalPool
from moorage_operator.local.settings import Settings

_PERIOD = 60.0  # seconds between two looks at the StorageBackends
_FIRST = 3.0  # while none names this agent


class LocalAgent(Keeper):
    """Keeps the volumes of this node's disk.

    A thousand nodes that each watched all that the others do would be a load of their own: of the cluster's volumes it
    sees those that were placed here, and the StorageBackends, where every node has its entry, it lists now and then.
    """

    def __init__(self, settings: Settings, pool: LocalPool, api: Api) -> None:
        catalogue = Catalogue(settings.node, settings.namespace, settings.daemon_set, LOCAL)
        disks = Disks(settings.disks, pool)
        selector = f"status.placement.server={settings.node}"
        super().__init__(settings, pool, disks, NoExports(), catalogue, api, selector)

    def _backend_feed(self, api: Api) -> Feed:
        self._poll = Poll(api, BACKENDS, self._backend_changed, self._period)
        return self._poll

    def _period(self) -> float:
        """Nodes that started together do not ask together."""
        return random.uniform(0.5, 1.5) * (_PERIOD if self.catalogue.backends else _FIRST)  # noqa: S311

    def _volume_changed(self, uid: str, item: Object | None) -> None:
        placed = part(item, "status", "placement").get("backend")
        if placed and placed not in self.catalogue.backends:
            self._poll.look()
        super()._volume_changed(uid, item)
