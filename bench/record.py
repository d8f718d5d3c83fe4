"""build/bench.json: each part of the bench writes its own key and leaves the others'."""

import json
import platform
import time
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parents[1] / "build" / "bench.json"
Figures = dict[str, dict[str, float | str]]


def machine() -> dict[str, str]:
    return {"kernel": platform.release(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def write(**parts: Any) -> None:
    OUT.parent.mkdir(exist_ok=True)
    known: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    OUT.write_text(json.dumps({**known, **parts}, indent=2) + "\n")


def add(rows: Figures) -> None:
    """Rows of the running cluster; those of the same names are replaced."""
    known: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    write(machine=machine(), rows={**known.get("rows", {}), **rows})


def table(rows: Figures) -> None:
    for name, figures in rows.items():
        print(f"{name:48} " + "  ".join(f"{key} {value}" for key, value in figures.items()))
