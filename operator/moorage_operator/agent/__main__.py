"""moorage-agent: the NFS server's process tree."""

import asyncio
import logging
import os
import sys
from pathlib import Path

from moorage.errors import MoorageError
from moorage_operator.agent import orphans
from moorage_operator.agent.agent import Agent
from moorage_operator.agent.api import Api
from moorage_operator.agent.health import Health
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.settings import Settings
from moorage_operator.agent.told import until_told

log = logging.getLogger("moorage.agent")


def main() -> None:
    """Exit code 1 when the pool is held by another server or cannot be read."""
    try:
        settings = Settings.read(os.environ)
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        asyncio.run(_serve(settings))
    except MoorageError as error:
        sys.exit(f"moorage-agent: {error}")


async def _serve(settings: Settings) -> None:
    _mount_table()
    pool = Pool(settings.pool)
    await asyncio.to_thread(pool.open)
    api = await Api.connect()
    agent = Agent(settings, pool, api)
    web = await Health(agent).serve(settings.http_port)
    try:
        await until_told(_work(agent))
    finally:
        await web.cleanup()
        await api.close()
        for trouble in await asyncio.to_thread(agent.mounts.unmount_all):
            log.warning("not unmounted: %s", trouble)
        pool.close()
    log.info("ended")


async def _work(agent: Agent) -> None:
    await agent.restore()
    async with asyncio.TaskGroup() as group:
        group.create_task(orphans.reap())
        group.create_task(agent.run())


def _mount_table() -> None:
    """Ganesha reads /etc/mtab, which a slim image lacks: without it every export fails."""
    table = Path("/etc/mtab")
    if not table.exists():
        table.unlink(missing_ok=True)
        table.symlink_to("/proc/self/mounts")


if __name__ == "__main__":
    main()
