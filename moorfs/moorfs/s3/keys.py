"""The access key of the mount, in a file that only root may read; a rotation writes the file anew."""

import json
import threading
from pathlib import Path
from typing import Any

from moorage.errors import Unauthenticated
from moorage.sigv4 import Key

ACCESS = "AWS_ACCESS_KEY_ID"
SECRET = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a field


class KeyFile:
    """The key as last read. Any thread may ask."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._key = self._read()

    @property
    def key(self) -> Key:
        return self._key

    def reread(self) -> bool:
        """Whether the file held another key than before; an unreadable file leaves the key as it is."""
        with self._lock:
            try:
                fresh = self._read()
            except (OSError, Unauthenticated):
                return False
            changed = fresh != self._key
            self._key = fresh
            return changed

    def _read(self) -> Key:
        try:
            fields: dict[str, Any] = json.loads(self._path.read_bytes())
            access, secret = str(fields[ACCESS]), str(fields[SECRET])
        except (ValueError, KeyError, TypeError) as error:
            raise Unauthenticated(f"key file {self._path} must be JSON with {ACCESS} and {SECRET}") from error
        return Key(access.strip(), secret.strip())
