"""The CRDs: structural, bounded, described, and the files hold what the models say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage import crd, model

ROOT = Path(__file__).parents[3]
KINDS = pytest.mark.parametrize("kind", model.KINDS, ids=lambda kind: kind.__name__)


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below spec and status, with its path."""
    yield path, schema
    for name, value in schema.get("properties", {}).items():
        yield from walk(value, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from walk(schema[key], path + mark)


def ours(kind: type[model.Resource]) -> list[tuple[str, dict[str, Any]]]:
    properties = crd.root_schema(kind)["properties"]
    return [*walk(properties["spec"], ".spec"), *walk(properties["status"], ".status")]


@KINDS
def test_schemas_are_structural(kind: type[model.Resource]) -> None:
    allowed = {
        *("type", "description", "properties", "required", "items", "additionalProperties", "enum", "format"),
        *(
            "minLength",
            "maxLength",
            "pattern",
            "minimum",
            "maximum",
            "minItems",
            "maxItems",
            "maxProperties",
            "default",
        ),
        *("x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    }
    for path, schema in ours(kind):
        assert set(schema) <= allowed, path
        assert isinstance(schema["type"], str), path


@KINDS
def test_everything_is_bounded(kind: type[model.Resource]) -> None:
    for path, schema in ours(kind):
        match schema["type"]:
            case "string":
                assert "maxLength" in schema or "enum" in schema, path
            case "integer":
                assert "minimum" in schema, path
            case "array":
                assert "maxItems" in schema, path
            case "object":
                assert "properties" in schema or "maxProperties" in schema, path
            case other:
                assert other == "boolean", path


@KINDS
def test_every_field_is_described(kind: type[model.Resource]) -> None:
    fields = [(path, schema) for path, schema in ours(kind) if not path.endswith("{}")]

    assert [path for path, schema in fields if not schema.get("description", "").endswith(".")] == []


@KINDS
def test_defaults_stand_in_the_spec_only(kind: type[model.Resource]) -> None:
    assert [path for path, schema in ours(kind) if "default" in schema and path.startswith(".status")] == []


@KINDS
def test_rules_say_what_to_do_in_one_line(kind: type[model.Resource]) -> None:
    root = crd.root_schema(kind)
    rules = [rule for _, schema in [("", root), *ours(kind)] for rule in schema.get("x-kubernetes-validations", ())]

    assert rules
    for rule in rules:
        assert re.fullmatch(r"[^\n]{15,200}", rule["message"]), rule


@KINDS
def test_columns_and_selectable_fields_are_fields_of_the_schema(kind: type[model.Resource]) -> None:
    fields = {path for path, _ in ours(kind)}

    for path in (*(column.path for column in kind.columns), *kind.selectable):
        plain = re.sub(r"\[\?\(@\.type==\"\w+\"\)\]", "[]", path)
        assert plain in fields or plain.startswith(".metadata."), path


def test_a_union_is_refused() -> None:
    class Either(model.Model):
        value: int | str

    class Bad(model.Resource):
        plural = "bads"
        short_names = ()
        columns = ()
        spec: Either
        status: Either

    with pytest.raises(TypeError, match="one optional field per variant"):
        crd.crd(Bad)


@pytest.mark.parametrize("directory", ["crds", "charts/moorage/crds"])
def test_the_committed_files_are_fresh(directory: str) -> None:
    assert crd.main(["--check", str(ROOT / directory)]) == 0


def test_a_written_directory_is_fresh_and_holds_what_was_generated(tmp_path: Path) -> None:
    assert crd.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 0

    assert crd.main(["--check", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    for kind in model.KINDS:
        assert yaml.safe_load((tmp_path / "b" / f"{kind.plural}.yaml").read_text()) == crd.crd(kind)


def test_a_stale_file_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crd.main([str(tmp_path)])
    stale = tmp_path / "buckets.yaml"
    stale.write_text(stale.read_text().replace("kind: Bucket\n", "kind: Pail\n"))

    assert crd.main(["--check", str(tmp_path)]) == 1
    shown = capsys.readouterr().err
    assert "-    kind: Pail" in shown and "+    kind: Bucket" in shown
    assert f"stale: run python -m moorage.crd {tmp_path}" in shown


def test_a_file_of_a_kind_that_is_gone_is_shown_and_removed(tmp_path: Path) -> None:
    crd.main([str(tmp_path)])
    old = tmp_path / "pails.yaml"
    old.write_text(f"{crd.HEADER}kind: CustomResourceDefinition\n")

    assert crd.main(["--check", str(tmp_path)]) == 1
    assert crd.main([str(tmp_path)]) == 0
    assert not old.exists()
