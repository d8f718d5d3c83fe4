"""What kopf watches for us: decorators and nothing else. Each event only tells the router where to look."""

from collections.abc import Callable
from typing import Any

import kopf

from moorage.actions import Manifest
from moorage_operator.cluster import Cluster, plural
from moorage_operator.watch import WATCHED

See = Callable[[Manifest, bool, bool], None]  # an object, whether it was deleted, whether it was listed


def register(registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings, cluster: Cluster, see: See) -> None:
    """Handlers for all that is watched, and the login, into a registry of their own (none is global)."""

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:  # pyright: ignore[reportUnusedFunction]
        return kopf.AiohttpSession(server=cluster.configuration.host, aiohttp_session=cluster.session())

    for api_version, kind, selectors in WATCHED:
        group, _, version = api_version.rpartition("/")
        resource = (group, version, plural(kind))
        kopf.on.event(*resource, id=kind, registry=registry)(_handler(api_version, kind, see))
        if "labelSelector" in selectors:
            settings.watching.label_selectors[resource] = selectors["labelSelector"]
        if "fieldSelector" in selectors:
            settings.watching.field_selectors[resource] = selectors["fieldSelector"]


def _handler(api_version: str, kind: str, see: See) -> Callable[..., Any]:
    async def handle(event: Any, **_: Any) -> None:
        body = {"apiVersion": api_version, "kind": kind, **event["object"]}
        see(body, event["type"] == "DELETED", event["type"] is None)

    return handle
