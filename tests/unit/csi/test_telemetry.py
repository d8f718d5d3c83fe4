"""The node plugin tells of each volume once, out of what the kernel counts."""

import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from moorage_csi import mounts
from moorage_csi.mounts import Mount
from moorage_csi.state import Store, Volume
from moorage_csi.telemetry import Kernel, Telemetry

SECTION = """device srv:/v/{name} mounted on {target} with fstype nfs4 statvers=1.1
\tage:\t7
\tbytes:\t{count} 0 0 0 0 0 0 0
\tper-op statistics
\t        READ: {count} {count} 0 1 1 0 1 1 0

"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "World":
    return World(tmp_path, monkeypatch)


class World:
    """A node's volumes, mounts and kernel."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store(path / "state")
        self.kernel = Kernel(path / "mountstats", path / "block")
        self.table: list[Mount] = []
        self.kernel.mountstats.write_text("device proc mounted on /proc with fstype proc\n")
        monkeypatch.setattr(mounts, "table", lambda: tuple(self.table))

    def nfs(self, volume: Volume, device: str, count: int) -> None:
        self.store.save(volume)
        self.table.append(Mount(device, "/", volume.staging, False, "nfs4", "srv:/v/x"))
        with self.kernel.mountstats.open("a") as file:
            file.write(SECTION.format(name="x", target=mounts.escaped(volume.staging), count=count))

    def local(self, volume: Volume, device: str, text: str) -> None:
        self.store.save(volume)
        self.table.append(Mount(device, "/", volume.staging, False, "xfs", "/dev/loop7"))
        (self.kernel.block / device).mkdir(parents=True)
        (self.kernel.block / device / "stat").write_text(text)

    async def operations(self) -> dict[tuple[str, str, str], float]:
        text = await Telemetry(self.store, self.kernel).text()
        return {
            (each.labels["namespace"], each.labels["volume"], each.labels["type"]): each.value
            for family in text_string_to_metric_families(text)
            for each in family.samples
            if each.name == "moorage_volume_operations_total" and each.labels["operation"] == "read"
        }


async def test_volumes_of_each_kind_are_told(world: World) -> None:
    world.nfs(Volume("ns/a/abc", "/kubelet/globalmount one"), "0:50", 3)
    world.local(Volume("ns/b/bcd", "/kubelet/two"), "7:7", "9 0 8 1 0 0 0 0 0 0 0")

    assert await world.operations() == {("ns", "a", "shared"): 3, ("ns", "b", "local"): 9}


async def test_a_volume_that_is_mounted_in_two_ways_is_told_once(world: World) -> None:
    world.nfs(Volume("ns/a/abc", "/kubelet/claim"), "0:50", 3)
    world.nfs(Volume("csi-1234", "/kubelet/inline", inline=True, handle="ns/a/abc"), "0:50", 3)
    world.nfs(Volume("ns/a/abc-att", "/kubelet/attachment"), "0:51", 4)

    assert await world.operations() == {("ns", "a", "shared"): 7}, "other mount options make a file system of its own"


async def test_what_is_not_known_is_not_told(world: World) -> None:
    world.nfs(Volume("csi-1234", "/kubelet/old-inline", inline=True), "0:50", 3)
    world.store.save(Volume("ns/c/cde", "/kubelet/not-mounted"))
    world.store.save(Volume("ns/d/def", "/kubelet/bucket"))
    world.table.append(Mount("0:60", "/", "/kubelet/bucket", False, "fuse.moorfs", "bucket"))
    world.store.save(Volume("ns/e/efg", "/kubelet/gone"))
    world.table.append(Mount("7:9", "/", "/kubelet/gone", False, "xfs", "/dev/loop9"))

    assert await world.operations() == {}


async def test_a_kernel_that_tells_nothing_fails_no_scrape(world: World) -> None:
    world.nfs(Volume("ns/a/abc", "/kubelet/one"), "0:50", 3)
    world.local(Volume("ns/b/bcd", "/kubelet/two"), "7:7", "9 0 8 1 0 0 0 0 0 0 0")
    world.kernel.mountstats.unlink()

    assert await world.operations() == {("ns", "b", "local"): 9}


def test_a_later_versions_state_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(Volume("ns/a/abc", "/s", handle="ns/a/abc"))
    (file,) = tmp_path.glob("*.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"unheard": 1}))

    loaded = store.load("ns/a/abc")
    assert loaded is not None and loaded.full_name == "ns/a"
