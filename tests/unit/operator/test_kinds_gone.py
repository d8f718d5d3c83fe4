"""A 404 for a kind of ours: believed when discovery agrees."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

from moorage_operator.cluster import ApiUnavailable, Cluster

KINDS = "/apis/moorage.dev/v1alpha1"


def listed(resources: list[str] | None) -> list[Any]:
    """What `list_ours` gives for buckets, whose path answers 404; discovery knows `resources`, or not the group."""

    async def discover(_: web.Request) -> web.Response:
        if resources is None:
            raise web.HTTPNotFound
        return web.json_response({"resources": [{"name": name} for name in resources]})

    async def ask() -> list[Any]:
        app = web.Application()
        app.router.add_get(KINDS, discover)
        async with TestServer(app) as server:
            configuration: Any = client.Configuration()
            configuration.host = str(server.make_url("")).rstrip("/")
            cluster = Cluster(configuration)
            try:
                return await cluster.list_ours("Bucket")
            finally:
                await cluster.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("resources", [["storagevolumes"], [], None])
def test_a_kind_that_is_not_served_has_no_objects(resources: list[str] | None) -> None:
    assert listed(resources) == []


def test_a_404_for_a_kind_that_is_served_is_no_empty_list() -> None:
    with pytest.raises(ApiUnavailable, match="says that it serves the kind"):
        listed(["storagevolumes", "buckets"])
