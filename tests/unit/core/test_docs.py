"""The documentation names what the code says: reasons, phases and metrics."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from moorage import features, model

ROOT = Path(__file__).parents[3]
LIFECYCLE = (ROOT / "docs/lifecycle.md").read_text()
METRICS = (ROOT / "docs/metrics.md").read_text()
_PROBLEM = re.compile(r'Problem\(\s*"([A-Z]\w+)"')
_VERDICT = re.compile(r'\b(?:yes|no)\(\s*conditions\.\w+,\s*"([A-Z]\w+)"')
_PENDING = re.compile(r'_pending\("([A-Z]\w+)"')


def sources(*folders: str) -> str:
    return "\n".join(path.read_text() for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


def test_every_reason_of_a_condition_is_explained() -> None:
    code = sources("core/moorage", "operator/moorage_operator")
    reasons = {each for pattern in (_PROBLEM, _VERDICT, _PENDING) for each in pattern.findall(code)}

    assert len(reasons) > 25
    assert sorted(each for each in reasons if f"`{each}`" not in LIFECYCLE) == []


def test_every_phase_is_explained() -> None:
    assert [each.value for each in model.Phase if f"| {each.value} |" not in LIFECYCLE] == []


def test_every_condition_is_explained() -> None:
    described = model.Condition.model_fields["type"].description or ""
    kinds = re.findall(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*", described.partition(":")[2])

    assert "DeletionBlocked" in kinds
    assert [each for each in kinds if f"| `{each}` |" not in LIFECYCLE] == []


def test_alerts_and_docs_speak_of_metrics_that_exist() -> None:
    groups = yaml.safe_load((ROOT / "charts/moorage/files/alerts.yaml").read_text())["groups"]
    expressions = " ".join(rule["expr"] for group in groups for rule in group["rules"])
    told = set(re.findall(r"moorage_\w+", expressions + LIFECYCLE + METRICS)) - {"moorage_operator"}
    code = sources("operator/moorage_operator", "moorfs/moorfs", "core/moorage", "csi/moorage_csi")

    def exists(name: str) -> bool:
        # Agent and moorfs write their prefix once, and moorfs' counts their ends too.
        whole = name.removesuffix("_bucket")
        own = whole.removeprefix("moorage_nfs_").removeprefix("moorage_volume_")
        stems = (own, own.removesuffix("_total"), own.removesuffix("_bytes_total"))
        return bool(re.search(rf"\b{whole}\b", code)) or any(f'"{each}"' in code for each in stems)

    assert len(told) > 6
    assert sorted(each for each in told if not exists(each)) == []


def test_the_table_of_engines_is_that_of_the_code() -> None:
    text = (ROOT / "docs/engines.md").read_text()

    assert features.table() in text, "write features.table() into docs/engines.md"
    assert all(f"\n## {each}" in text for each in model.S3Flavor)


def tables_of_tests(text: str) -> list[tuple[str, list[list[str]]]]:
    """Each table of a page that names tests: the text that its cells' files are to be found in, and its rows' cells."""
    found: list[tuple[str, list[list[str]]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()]
        if "`test_" in block:
            before = text[: text.index(block)].rsplit("\n\n", 2)[-2:]
            found.append(("".join(before), rows))
    return found


def files_of(text: str) -> list[str]:
    """The one file that it names, if any."""
    return re.findall(r"`(test_\w+\.py)`", text)[:1]


def named_in(file: str) -> set[str]:
    return set(re.findall(r"^(?:async )?def (test_\w+)", (ROOT / "tests/api" / file).read_text(), re.MULTILINE))


def test_each_row_of_a_table_of_tests_names_tests_that_exist() -> None:
    """The column's head says in which file of tests/api they are, or else the cell, or the text above the table."""
    checked, wrong = 0, list[str]()
    for page in ("docs/engines.md", "docs/buckets.md"):
        for above, (head, _, *rows) in tables_of_tests((ROOT / page).read_text()):
            for row in rows:
                named = [
                    (file, test)
                    for title, cell in zip(head, row, strict=True)
                    for file in files_of(title) or files_of(cell) or files_of(above)
                    for test in re.findall(r"`(test_\w+)`", cell)
                ]
                checked += len(named)
                wrong += [f"{page}: {file}::{test}" for file, test in named if test not in named_in(file)]
                wrong += [] if named else [f"{page}: no test is named in: {' | '.join(row)}"]

    assert checked > 60
    assert wrong == []
