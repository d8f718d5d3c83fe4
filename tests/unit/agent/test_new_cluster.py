"""A pool that another cluster left behind: nothing on it is served or lost, and all of it can be adopted."""

from pathlib import Path
from typing import Any

import pytest

from moorage.model import Kept
from moorage.record import Record
from moorage_operator.agent.agent import Agent
from moorage_operator.agent.pool import Pool
from moorage_operator.agent.settings import Settings

GIB = 2**30
BACKEND = {
    "metadata": {"name": "shared"},
    "spec": {"engine": {"ganesha": {"namespace": "storage", "statefulSet": "moorage-nfs"}}},
}


class Api:
    """Remembers what was applied."""

    def __init__(self) -> None:
        self.applied: list[tuple[str, str, Any]] = []

    async def apply_status(self, path: str, manager: str, body: Any) -> None:
        self.applied.append((path, manager, body["status"]))


@pytest.fixture
def left_behind(tmp_path: Path) -> Pool:
    """Two shares of the other cluster: one was served to the end, one had been retained."""
    pool = Pool(tmp_path / "pool")
    pool.open()
    for number, (id, retained) in enumerate([("aaaaaaaa", False), ("bbbbbbbb", True)], start=1):
        pool.image(id).parent.mkdir()
        pool.image(id).write_text(f"data of {id}")
        owner = {"namespace": "team", "name": f"data-{id[0]}", "uid": f"other-cluster-{id[0]}"}
        pool.save_record(Record(id=id, export_id=number, size=GIB, retained=retained, **owner))
    return pool


@pytest.fixture
def agent(left_behind: Pool, tmp_path: Path) -> Agent:
    folders = {"MOORAGE_EXPORT_ROOT": str(tmp_path / "export"), "MOORAGE_RUN_DIR": str(tmp_path / "run")}
    settings = Settings.read({"POD_NAME": "moorage-nfs-0", "POD_NAMESPACE": "storage", **folders})
    agent = Agent(settings, left_behind, Api())  # type: ignore[arg-type]
    agent.catalogue.take_backends([BACKEND])
    return agent


def test_before_the_volumes_are_known_everything_is_served_on_and_nothing_is_called_kept(agent: Agent) -> None:
    assert [each.id for each in agent.served()] == ["aaaaaaaa"]
    assert agent.kept() is None


def test_then_it_is_kept_and_listed_and_served_no_more(agent: Agent) -> None:
    agent.catalogue.synced = True

    assert agent.served() == ()
    assert agent.kept() == (
        Kept(id="aaaaaaaa", namespace="team", name="data-a", size_bytes=GIB),
        Kept(id="bbbbbbbb", namespace="team", name="data-b", size_bytes=GIB),
    )


async def test_the_list_is_in_the_backends_status_and_the_data_is_untouched(agent: Agent) -> None:
    agent.catalogue.synced = True
    agent._backends.objects = {"uid": BACKEND}
    for id in agent.pool.ids():
        await agent._work(id)

    await agent._report_pool()

    (written,) = agent._pool_report._report._api.applied  # type: ignore[attr-defined]
    (server,) = written[2]["servers"]
    assert written[:2] == ("/apis/moorage.dev/v1alpha1/storagebackends/shared", "moorage-agent-moorage-nfs-0")
    assert [each["id"] for each in server["kept"]] == ["aaaaaaaa", "bbbbbbbb"]
    assert agent.failures == {}
    assert agent.pool.image("aaaaaaaa").read_text() == "data of aaaaaaaa"


async def test_a_list_that_is_not_known_yet_does_not_take_the_old_one_away(agent: Agent) -> None:
    kept = [{"id": "aaaaaaaa", "namespace": "team", "name": "data-a", "sizeBytes": GIB}]
    server = {"name": "moorage-nfs-0", "totalBytes": 1, "freeBytes": 1, "kept": kept}
    agent._backends.objects = {"uid": {**BACKEND, "status": {"servers": [server]}}}

    await agent._report_pool()

    ((_, _, status),) = agent._pool_report._report._api.applied  # type: ignore[attr-defined]
    assert status["servers"][0]["kept"] == kept


def test_a_living_volume_takes_its_share_off_the_list(agent: Agent) -> None:
    agent.catalogue.synced = True
    agent.catalogue.known.add("aaaaaaaa")

    kept = agent.kept()

    assert kept
    assert [each.id for each in kept] == ["bbbbbbbb"]
