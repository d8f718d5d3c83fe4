"""What the kernel counts of NFS, told under the names of all volumes. The samples were taken on user-mode-linux nodes.

There 9 MiB were written with one fsync, read twice (once after the caches were dropped), a name that does not exist was
asked for, a folder made, a file renamed and removed; then the mount was bound to "/mnt/b c".
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from moorage import blockstats
from moorage import volumemetrics as metrics
from moorage.mountstats import NfsStats, parse, tell
from moorage.volumemetrics import Labels, Page

SAMPLES = Path(__file__).parent / "samples"
MIB = 1 << 20
DATA = Labels("research", "data", metrics.SHARED)


def sample(kernel: str) -> list[str]:
    return (SAMPLES / f"mountstats-{kernel}.txt").read_text().splitlines(keepends=True)


def told(page: Page) -> dict[tuple[str, str], float]:
    """By the sample's name and its operation or direction."""
    return {
        (each.name, each.labels.get("operation") or each.labels.get("direction", "")): each.value
        for family in text_string_to_metric_families(page.text())
        for each in family.samples
    }


@pytest.mark.parametrize("kernel", ["6.1", "7.2"])
def test_a_mount_is_read(kernel: str) -> None:
    stats = parse(sample(kernel), {"/mnt/a"})["/mnt/a"]

    assert (stats.read, stats.written) == (18 * MIB, 9 * MIB)
    assert (stats.received, stats.sent) == (9 * MIB, 9 * MIB)
    assert stats.requests["rename"].count == stats.requests["remove"].count == 1
    assert stats.requests["lookup"].errors == 1
    assert stats.requests["read"].transmissions == stats.requests["read"].count
    assert "link" not in stats.requests, "it was never asked for"


def test_times_are_seconds() -> None:
    write = parse(sample("7.2"), {"/mnt/a"})["/mnt/a"].requests["write"]

    assert (write.server, write.seconds) == (1.58, 5.308)


def test_only_what_is_wanted_is_read() -> None:
    assert set(parse(sample("7.2"), {r"/mnt/b\040c", "/srv", "/mnt"})) == {r"/mnt/b\040c"}
    assert parse(sample("7.2"), set[str]()) == {}


def test_of_mounts_on_top_of_each_other_the_topmost_is_read() -> None:
    lines = ["device a:/ mounted on /m with fstype nfs4 statvers=1.1\n", "\tbytes:\t1 1 1 1 1 1 1 1\n"]
    above = [lines[0], "\tbytes:\t5 0 2 0 0 0 0 0\n"]

    assert parse([*lines, *above], {"/m"})["/m"].read == 7


@pytest.mark.parametrize(
    "line",
    [
        "", "\n", "\t\n", "device\n", "no device mounted on /m with fstype nfs4 statvers=1.1\n", "\tREAD: 1 2 3\n",
        "\tREAD: one two three four five six seven eight\n", "\tbytes:\n", "\tbytes:\t1\n", "\t        READ\n",
        "\tper-op statistics\n", "device x mounted on /m with fstype xfs\n",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_left_out(line: str) -> None:
    head = ["device a:/ mounted on /m with fstype nfs4 statvers=1.1\n", "\tper-op statistics\n"]

    assert parse([*head, line], {"/m"}) == {"/m": NfsStats()}


def test_kernels_before_5_3_tell_no_errors() -> None:
    head = ["device a:/ mounted on /m with fstype nfs statvers=1.0\n", "\tper-op statistics\n"]

    request = parse([*head, "\t        READ: 5 7 1 600 4000 10 2000 2500\n"], {"/m"})["/m"].requests["read"]

    assert (request.count, request.transmissions, request.timeouts, request.errors) == (5, 7, 1, 0)
    assert (request.server, request.seconds) == (2.0, 2.5)


def test_prometheus_takes_what_is_told() -> None:
    page = Page()
    tell(page, DATA, parse(sample("7.2"), {"/mnt/a"})["/mnt/a"])

    found = told(page)
    assert found["moorage_volume_bytes_total", "read"] == 18 * MIB
    assert found["moorage_volume_network_bytes_total", "read"] == 9 * MIB
    assert found["moorage_volume_operations_total", "write"] == 288
    assert found["moorage_volume_operation_seconds_total", "write"] == 5.308
    assert found["moorage_volume_server_seconds_total", "write"] == 1.58
    assert found["moorage_volume_operation_errors_total", "open"] == 8
    assert found["moorage_volume_retransmissions_total", "open"] == 0
    assert 'namespace="research",volume="data",type="shared"' in page.text()


def test_two_mounts_of_a_volume_are_added_up() -> None:
    page, stats = Page(), parse(sample("7.2"), {"/mnt/a"})["/mnt/a"]
    tell(page, DATA, stats)
    tell(page, DATA, stats)

    assert told(page)["moorage_volume_bytes_total", "read"] == 36 * MIB
    assert page.text().count('moorage_volume_bytes_total{namespace="research",volume="data"') == 2


def test_a_hundred_mounts_are_a_bounded_text() -> None:
    def many() -> Iterator[str]:
        (_, section) = "".join(sample("7.2")).split("device 127.0.0.1:/ mounted on /mnt/a ")[:2]
        for number in range(100):
            yield from f"device s:/{number} mounted on /{number} {section}".splitlines(keepends=True)

    page = Page()
    for target, stats in parse(many(), {f"/{number}" for number in range(100)}).items():
        tell(page, Labels("ns", target.strip("/"), metrics.SHARED), stats)

    assert len(page.text()) < 2 * MIB


# A disk of the node.

NOW = "4 1 2048 30 8 2 4096 1200 0 1100 1230 3 0 800 50 2 70"


def test_a_block_device_is_told() -> None:
    page = Page()
    blockstats.tell(page, Labels("research", "scratch", metrics.LOCAL), NOW)

    found = told(page)
    assert found["moorage_volume_bytes_total", "read"] == 2048 * 512
    assert found["moorage_volume_bytes_total", "write"] == 4096 * 512
    assert found["moorage_volume_operations_total", "flush"] == 2
    assert found["moorage_volume_operation_seconds_total", "write"] == 1.2
    assert found["moorage_volume_operation_seconds_total", "flush"] == 0.07


@pytest.mark.parametrize(("text", "operations"), [("", 0), ("x y", 0), ("1 2 3 4 5 6 7 8 9 10 11", 2)])
def test_older_kernels_tell_less_of_a_block_device(text: str, operations: int) -> None:
    page = Page()
    blockstats.tell(page, DATA, text)

    assert len(page.samples.get(metrics.OPERATIONS, {})) == operations
