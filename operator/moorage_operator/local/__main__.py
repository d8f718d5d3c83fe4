"""moorage-local: a node's own disk."""

import asyncio
import logging
import os
import sys

from moorage.errors import MoorageError
from moorage_operator.agent import orphans
from moorage_operator.agent.api import Api
from moorage_operator.agent.told import until_told
from moorage_operator.local.agent import LocalAgent
from moorage_operator.local.health import Health
from moorage_operator.local.localpool import LocalPool
from moorage_operator.local.settings import Settings
from moorage_operator.local.volumegroup import VolumeGroup

log = logging.getLogger("moorage.local")


def main() -> None:
    """Exit code 1 when the pool is held by another agent or cannot be read."""
    try:
        settings = Settings.read(os.environ)
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        asyncio.run(_serve(settings))
    except MoorageError as error:
        sys.exit(f"moorage-local: {error}")


async def _serve(settings: Settings) -> None:
    """Mounts stay when it ends: they are the node's."""
    group = settings.volume_group
    pool = VolumeGroup(settings.pool, group) if group else LocalPool(settings.pool)
    await asyncio.to_thread(pool.open)
    api = await Api.connect()
    agent = LocalAgent(settings, pool, api)
    web = await Health(agent).listen(settings.http_port)
    try:
        await until_told(_work(agent))
    finally:
        web.close()
        await api.close()
        pool.close()
    log.info("ended")


async def _work(agent: LocalAgent) -> None:
    await agent.restore()
    async with asyncio.TaskGroup() as group:
        group.create_task(orphans.reap())
        group.create_task(agent.run())


if __name__ == "__main__":
    main()
