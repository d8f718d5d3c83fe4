"""`pool.json`: the pool's version, the next export id, and who was last known to mount."""

from collections.abc import Set
from pathlib import Path

from moorage import ganesha
from moorage.errors import NotOffered
from moorage.record import POOL_VERSION, PoolState
from moorage_operator.agent.files import write_durably


class Ledger:
    """Blocking; by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.state = PoolState()
        self._path = path

    def open(self) -> None:
        """Raises NotOffered when a newer release wrote it, and leaves it alone."""
        if self._path.exists():
            self.state = PoolState.model_validate_json(self._path.read_text())
        if self.state.version > POOL_VERSION:
            raise NotOffered(
                f"pool version {self.state.version} is newer than this agent: go back to the newer release"
            )
        self._save(self.state)

    def keep_clients(self, clients: tuple[str, ...]) -> None:
        if clients != self.state.clients:
            self._save(self.state.model_copy(update={"clients": clients}))

    def next_export_id(self, used: Set[int]) -> int:
        """Noted before it is used: an id that was given once does not come back soon."""
        export_id = ganesha.next_export_id(used, self.state.next_export_id)
        following = export_id % ganesha.EXPORT_ID_MAX + 1
        self._save(self.state.model_copy(update={"next_export_id": following}))
        return export_id

    def _save(self, state: PoolState) -> None:
        write_durably(self._path, state.model_dump_json(by_alias=True, indent=2) + "\n")
        self.state = state
