"""What the operator asked of the API server, from the API server's audit log."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any


class Calls:
    """Counts by verb and resource between two looks. Its Lease is left out: it costs the same without volumes."""

    def __init__(self, audit: Path) -> None:
        self._file = audit
        self._offset = 0

    def take(self) -> Counter[str]:
        """Since the last look."""
        with self._file.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        events = (json.loads(line) for line in whole.splitlines())
        return Counter(each for event in events if (each := _name(event)))


def _name(event: dict[str, Any]) -> str | None:
    ref = event.get("objectRef", {})
    if ref.get("resource") in (None, "leases"):
        return None
    resource = "/".join(ref[key] for key in ("resource", "subresource") if key in ref)
    return f"{event['verb']} {resource}"
