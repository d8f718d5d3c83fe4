"""What is read out of a suite's report, and the page and verdict that come of it."""

import json
from pathlib import Path

import pytest

from cluster.suite import Suite
from conformance import external, page, reason
from conformance.__main__ import judge
from conformance.case import Case, counts, load, read, save
from conformance.reason import Reason

WHY = Reason("skipped", "does not support (snapshots|clones)", "come in a later version")
KNOWN = Reason("failed", "rename a full folder", "objects have no folders", types=("object",))


def spec(state: str, message: str = "", text: str = "should work", seconds: float = 2.0) -> dict[str, object]:
    return {
        "ContainerHierarchyTexts": ["External Storage [Driver: csi.moorage.dev]", "[Testpattern: x] volumes"],
        "LeafNodeText": text,
        "LeafNodeType": "It",
        "State": state,
        "RunTime": int(seconds * 1e9),
        "Failure": {"Message": message},
    }


def case(state: str, name: str = "volumes should work", message: str = "", kind: str = "shared") -> Case:
    return Case("External.Storage", kind, name, state, message, 60.0)  # pyright: ignore[reportArgumentType]


def report(*specs: dict[str, object]) -> str:
    return json.dumps([{"SpecReports": list(specs)}])


def test_a_report_gives_each_case_with_its_name_state_message_and_time():
    text = report(spec("skipped", "Driver  x\ndoes not support y - skipping"), spec("passed"))

    assert read(text, "External.Storage", "object") == [
        Case("External.Storage", "object", "[Testpattern: x] volumes should work", "skipped",
             "Driver x does not support y - skipping", 2.0),
        Case("External.Storage", "object", "[Testpattern: x] volumes should work", "passed", "", 2.0),
    ]  # fmt: skip


def test_cases_that_the_focus_left_out_are_not_told_and_every_bad_end_is_a_failure():
    text = report(spec("skipped"), *(spec(state) for state in ("panicked", "timedout", "interrupted", "aborted", "?")))

    assert [each.state for each in read(text, "External.Storage", "shared")] == ["failed"] * 5


def test_of_a_run_of_the_whole_suite_no_case_is_forgotten():
    text = report(spec("skipped", text="needs a registry"), spec("skipped", text="never begun"))

    cases = read(text, "External.Storage", "shared", "needs a registry")

    assert [(each.state, each.message) for each in cases] == [
        ("skipped", "left out by us"), ("failed", "not begun when the run ended"),
    ]  # fmt: skip


def test_what_is_left_out_of_csi_sanity_is_told_too():
    left = spec("skipped", text="should clone") | {"ContainerHierarchyTexts": ["Controller Service"]}

    cases = read(report(left), "csi-sanity", "object", "clone")

    assert [(each.name, each.message) for each in cases] == [("Controller Service should clone", "left out by us")]


def test_what_is_no_case_is_told_only_when_it_failed():
    set_up = spec("passed") | {
        "ContainerHierarchyTexts": None,
        "LeafNodeText": "",
        "LeafNodeType": "SynchronizedBeforeSuite",
    }
    bad = set_up | {"State": "failed", "LeafNodeType": "SynchronizedAfterSuite"}

    cases = read(report(set_up, bad), "csi-sanity", "shared")

    assert read('[{"SpecReports": null}]', "csi-sanity", "shared") == []
    assert [each.name for each in cases] == ["SynchronizedAfterSuite"]


def test_results_survive_the_disk_and_are_counted(tmp_path: Path):
    cases = [case("passed"), case("skipped", message="no"), case("passed", kind="object")]
    save(tmp_path / "deep/results.json", cases)

    assert load(tmp_path / "deep/results.json") == cases
    assert counts(cases) == "2 passed, 0 failed, 1 skipped"
    assert counts([*cases, case("pending")]) == "2 passed, 0 failed, 1 pending, 1 skipped"


def test_a_reason_fits_by_state_text_and_type():
    skipped = case("skipped", message="Driver does not support clones")

    assert WHY.fits(skipped)
    assert not WHY.fits(case("skipped", message="Driver does not support topology"))
    assert not WHY.fits(case("failed", message="Driver does not support clones"))
    assert KNOWN.fits(case("failed", "volumes should rename a full folder", kind="object"))
    assert not KNOWN.fits(case("failed", "volumes should rename a full folder"))


def test_a_skip_or_failure_without_a_reason_and_a_reason_without_a_skip_are_found():
    strange = case("skipped", message="something new")
    cases = [case("passed"), strange, case("skipped", message="does not support snapshots")]

    assert reason.unexplained(cases, [WHY, KNOWN]) == [strange]
    assert reason.unused(cases, [WHY, KNOWN]) == []
    assert reason.unused(cases[:2], [WHY, KNOWN]) == [WHY]


def test_the_page_counts_and_explains():
    cases = [
        case("passed"),
        case("passed", kind="object"),
        case("failed", "volumes should rename a full folder", "exit 1", "object"),
        case("skipped", "a", "Driver x does not support clones - skipping"),
        case("skipped", "b", "Driver x does not support clones - skipping"),
        case("skipped", "b", "Driver x does not support snapshots - skipping", "object"),
    ]

    text = page.page(cases, [WHY, KNOWN], {"sanity": "v5.6.0", "kubernetes": "v1.36.3"})

    assert "| shared | 1 | 0 | 0 | 2 | 3 |" in text
    assert "| object | 1 | 1 | 0 | 1 | 3 |" in text
    assert "| volumes should rename a full folder | object | objects have no folders |" in text
    assert "| 2 | 1 | Driver x does not support clones | come in a later version |" in text
    assert "Kubernetes v1.36.3" in text
    assert "csi-test v5.6.0" in text


def test_the_page_says_what_nobody_has_explained():
    text = page.page([case("skipped", message="something | new")], [], {"sanity": "1", "kubernetes": "2"})

    assert "| 1 | 0 | something / new | **no reason is known**: something / new |" in text


@pytest.mark.parametrize(("message", "code"), [("does not support clones", 0), ("something new", 1)])
def test_the_verdict_is_bad_when_a_skip_has_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, code: int
):
    monkeypatch.setattr(reason, "load", lambda: [WHY] if code == 0 else [])

    assert judge([case("skipped", message=message)], tmp_path / "page.md") == code
    assert message in (tmp_path / "page.md").read_text()


def test_the_reasons_of_the_repository_are_sentences_with_valid_patterns():
    reasons = reason.load()

    assert len(reasons) >= 8
    assert all(each.why and not reason.re.compile(each.pattern).search("") for each in reasons)
    assert {each.state for each in reasons} <= {"skipped", "failed", "pending"}


def test_one_case_is_skipped_by_a_pattern_and_no_other(tmp_path: Path):
    suite = Suite(tmp_path / "e2e.test", tmp_path / "ginkgo")

    argv = external.argv(suite, external.Run("object"), tmp_path / "config", tmp_path)

    assert [word for word in argv if word.startswith(("--skip", "-skip"))] == [f"--skip={external.LEFT_OUT}"]
    assert "|" not in external.LEFT_OUT
    assert argv[-1].endswith("external-storage/object.yaml")
    assert (external.FILES / "object.yaml").is_file()
