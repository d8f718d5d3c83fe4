"""Metrics of several processes are one text that Prometheus takes."""

from prometheus_client.parser import text_string_to_metric_families

from moorage_csi.mounter.telemetry import merged


def text(volume: str, count: int) -> str:
    return f"""# TYPE moorage_volume_read_bytes_total counter
moorage_volume_read_bytes_total{{volume="{volume}"}} {count}
# HELP moorage_volume_operation_seconds How long callers waited.
# TYPE moorage_volume_operation_seconds histogram
moorage_volume_operation_seconds_bucket{{volume="{volume}",op="open",le="+Inf"}} {count}
moorage_volume_operation_seconds_sum{{volume="{volume}",op="open"}} 0.5
moorage_volume_operation_seconds_count{{volume="{volume}",op="open"}} {count}
"""


def test_samples_of_a_metric_stand_together_after_one_head() -> None:
    found = merged([text("ns/a", 3), "", text("ns/b", 4)])

    families = {each.name: each for each in text_string_to_metric_families(found)}
    assert sorted(families) == ["moorage_volume_operation_seconds", "moorage_volume_read_bytes"]
    counts = [
        (each.labels["volume"], each.value)
        for each in families["moorage_volume_operation_seconds"].samples
        if each.name.endswith("_count")
    ]
    assert counts == [("ns/a", 3.0), ("ns/b", 4.0)]
    assert families["moorage_volume_operation_seconds"].type == "histogram"
    assert found.count("# TYPE") == 2 and found.count("# HELP") == 1


def test_nothing_is_nothing() -> None:
    assert merged(["", ""]) == ""
