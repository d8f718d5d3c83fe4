"""What stands in the way of shares or snapshots, by id. The log hears of each once, not at every attempt."""

import logging

log = logging.getLogger(__name__)


class Troubles(dict[str, str]):
    """The last word about each that is not as it shall be; `kind` is what they are called in the log."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def note(self, id: str, trouble: str) -> None:
        """`trouble`: "" when nothing stands in the way any more."""
        if not trouble:
            self.pop(id, None)
        elif self.get(id) != trouble:
            log.warning("%s %s: %s", self._kind, id, trouble)
            self[id] = trouble
