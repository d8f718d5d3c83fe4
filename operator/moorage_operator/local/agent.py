"""The agent of one node."""

from moorage_operator.agent.api import Api
from moorage_operator.agent.catalogue import LOCAL, Catalogue
from moorage_operator.agent.keeper import Keeper
from moorage_operator.agent.reconcile import NoExports
from moorage_operator.local.disks import Disks
from moorage_operator.local.localpool import LocalPool
from moorage_operator.local.settings import Settings


class LocalAgent(Keeper):
    """Keeps the volumes of this node's disk. Of the cluster's it sees only those that were placed here: a thousand
    nodes that each watched all of them would be a load of their own."""

    def __init__(self, settings: Settings, pool: LocalPool, api: Api) -> None:
        catalogue = Catalogue(settings.node, settings.namespace, settings.daemon_set, LOCAL)
        disks = Disks(settings.disks, pool)
        selector = f"status.placement.server={settings.node}"
        super().__init__(settings, pool, disks, NoExports(), catalogue, api, selector)
