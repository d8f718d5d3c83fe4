"""Metrics of several processes are one text that Prometheus takes."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from moorage import volumemetrics as metrics
from moorage.volumemetrics import Labels, Page, merged, number


def text(volume: str, count: int) -> str:
    page, labels = Page(), Labels.of(volume, metrics.OBJECT)
    page.add(metrics.BYTES, labels, count, direction="read")
    page.add(metrics.DURATION, labels, count, "_bucket", operation="open", le="+Inf")
    page.add(metrics.DURATION, labels, 0.5, "_sum", operation="open")
    page.add(metrics.DURATION, labels, count, "_count", operation="open")
    metrics.figures(page, labels, {"passthrough": 1.0, "unsaved_files": count})
    return page.text()


def test_samples_of_a_metric_stand_together_after_one_head() -> None:
    found = merged([text("ns/a", 3), "", text("ns/b", 4)])

    families = {each.name: each for each in text_string_to_metric_families(found)}
    duration = families["moorage_volume_operation_duration_seconds"]
    assert sorted(families) == [
        "moorage_volume_bytes", "moorage_volume_operation_duration_seconds", "moorage_volume_passthrough",
        "moorage_volume_unsaved_files",
    ]  # fmt: skip
    counts = [(each.labels["volume"], each.value) for each in duration.samples if each.name.endswith("_count")]
    assert counts == [("a", 3.0), ("b", 4.0)]
    assert duration.type == "histogram"
    assert found.count("# TYPE") == 4 and found.count("# HELP") == 2


def test_two_mounts_of_a_volume_are_one_series() -> None:
    found = merged([text("ns/a", 3), text("ns/a", 4)])

    values = {each.name: each.value for family in text_string_to_metric_families(found) for each in family.samples}
    assert values["moorage_volume_bytes_total"] == 7
    assert values["moorage_volume_operation_duration_seconds_sum"] == 1
    assert values["moorage_volume_unsaved_files"] == 7
    assert values["moorage_volume_passthrough"] == 1, "it is there or not"
    assert len(found.splitlines()) == len(text("ns/a", 3).splitlines())


def test_nothing_is_nothing() -> None:
    assert merged(["", ""]) == ""


@pytest.mark.parametrize("name", ['n"s/vol', "ns\n/a", "\\/x"])
def test_no_name_breaks_a_line(name: str) -> None:
    (family,) = text_string_to_metric_families(_line(name))
    (sample,) = family.samples

    assert (sample.labels["namespace"], sample.labels["volume"]) == tuple(name.split("/"))


def _line(name: str) -> str:
    page = Page()
    page.add(metrics.NETWORK, Labels.of(name, metrics.OBJECT), 1, direction="read")
    return page.text()


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (2**62, "4611686018427387904"), (0.25, "0.250000"), (float("inf"), "inf")]
)
def test_numbers(value: float, shown: str) -> None:
    assert number(value) == shown
