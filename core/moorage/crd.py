"""Models to CustomResourceDefinitions. `python -m moorage.crd [--check] DIR...` writes one file per kind.

Generating is pure; only `main` touches files, and only `main` needs PyYAML (a tool of development, not of the images).
"""

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from moorage import model, names

Schema = dict[str, Any]

HEADER = "# Generated from core/moorage/model by `python -m moorage.crd`. Do not edit.\n"
# JSON Schema that Kubernetes' structural schemas refuse, or that says nothing there.
_DROPPED = frozenset({"title", "additionalProperties", "$defs", "default"})


def crd(kind: type[model.Resource]) -> Schema:
    """The CustomResourceDefinition of a kind, ready for the API server."""
    singular = kind.__name__.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": kind.__name__,
                "listKind": f"{kind.__name__}List",
                "plural": kind.plural,
                "singular": singular,
                "shortNames": list(kind.short_names),
                "categories": [names.CATEGORY],
            },
            "scope": kind.scope,
            "versions": [_version(kind)],
        },
    }


def _version(kind: type[model.Resource]) -> Schema:
    version: Schema = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": root_schema(kind)},
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return version


def _column(column: model.Column) -> Schema:
    wide = {"priority": 1} if column.wide else {}
    return {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "jsonPath": column.path,
        **wide,
    }


def root_schema(kind: type[model.Resource]) -> Schema:
    """The structural schema of a whole object, rules included."""
    raw = kind.model_json_schema(by_alias=True)
    properties = raw["properties"]
    spec, status = (_structural(properties[name], raw["$defs"], name == "spec") for name in ("spec", "status"))
    kind_words = {
        "apiVersion": {"type": "string", "description": "Group and version of this kind."},
        "kind": {"type": "string", "description": "The kind of this object."},
    }
    # The bound on the name is there for the cost estimate of rules that read it; the rules are stricter.
    metadata: Schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}}
    required = [name for name in raw["required"] if name != "metadata"]
    return {
        "type": "object",
        "description": raw["description"],
        "properties": {**kind_words, "metadata": metadata, "spec": spec, "status": status},
        **({"required": required} if required else {}),
        **{key: raw[key] for key in ("x-kubernetes-validations",) if key in raw},
    }


def _structural(schema: Schema, definitions: Schema, defaults: bool) -> Schema:
    """One schema without references, unions and null. `defaults`: let the API server fill in what is absent.

    Defaults are for what users write: in a status they would be fields that no writer ever applied.
    """
    schema = _resolved(schema, definitions)
    out = {key: value for key, value in schema.items() if key not in _DROPPED}
    if "description" in out:
        out["description"] = " ".join(out["description"].split())
    if defaults and schema.get("default") is not None:
        out["default"] = {} if out["type"] == "object" else schema["default"]  # its own fields have theirs
    if "properties" in schema:
        out["properties"] = {
            name: _structural(value, definitions, defaults) for name, value in schema["properties"].items()
        }
    if "items" in schema:
        out["items"] = _structural(schema["items"], definitions, defaults)
    if isinstance(schema.get("additionalProperties"), dict):
        out["additionalProperties"] = _structural(schema["additionalProperties"], definitions, defaults)
    if "x-kubernetes-validations" in out:  # a rule with a message says the same better
        out.pop("pattern", None)
    return out


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """Follow `$ref` and look through `T | None`; what stands beside the reference wins over what it names."""
    if "anyOf" in schema:
        real = [cast("Schema", option) for option in schema["anyOf"] if option.get("type") != "null"]
        if len(real) != 1:
            raise TypeError("a union cannot be told to Kubernetes: use one optional field per variant and a rule")
        beside = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**_resolved(real[0], definitions), **beside}
    if "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions), **beside}
    return schema


def render(kind: type[model.Resource]) -> str:
    """The kind's file, as YAML."""
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True  # anchors would be right, but unreadable

    return HEADER + yaml.dump(crd(kind), Dumper=Plain, sort_keys=False, width=120, allow_unicode=True)


def files() -> dict[str, str]:
    """Name and text of every generated file."""
    return {f"{kind.plural}.yaml": render(kind) for kind in model.KINDS}


def _present(directory: Path) -> dict[str, str]:
    """Name and text of the generated files in a directory, those of kinds that are gone included."""
    texts = {path.name: path.read_text() for path in directory.glob("*.yaml")}
    return {name: text for name, text in texts.items() if name in files() or text.startswith(HEADER)}


def _stale(directory: Path) -> str:
    """How the directory differs from what would be generated, as a diff; empty when fresh."""
    there, wanted = _present(directory), files()
    diff: list[str] = []
    for name in sorted(there | wanted):
        before, after = there.get(name, "").splitlines(True), wanted.get(name, "").splitlines(True)
        diff += difflib.unified_diff(before, after, str(directory / name), "generated")
    return "".join(diff)


def _write(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in _present(directory).keys() - files().keys():
        (directory / name).unlink()
    for name, text in files().items():
        (directory / name).write_text(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m moorage.crd", description="Write the CRDs, or check them.")
    parser.add_argument("--check", action="store_true", help="write nothing; show what is stale and exit with 1")
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="such as: crds charts/moorage/crds")
    options = parser.parse_args(arguments)
    directories: list[Path] = options.directories
    if options.check:
        stale = "".join(map(_stale, directories))
        hint = f"stale: run python -m moorage.crd {' '.join(map(str, directories))}\n" if stale else ""
        sys.stderr.write(stale + hint)
        return 1 if stale else 0
    for directory in directories:
        _write(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
