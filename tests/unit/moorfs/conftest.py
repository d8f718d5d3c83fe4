"""A real engine and real mounts. `engine` (versitygw), `bucket` (a new one), `mount` (mounts of a running moorfs)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fusemount
import pytest
import s3engine

from moorfs.cache import Cache

Mounting = Callable[..., fusemount.Mount]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3engine.Engine]:
    """One for all tests; who stops it or breaks it makes one of its own with `s3engine.running`."""
    with s3engine.running(tmp_path_factory.mktemp("engine")) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_goes_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The threads of caches that a test made in this process end with the test, closed or not."""
    made: list[Cache] = []
    begin = Cache.__init__

    def init(self: Cache, *given: Any, **more: Any) -> None:
        begin(self, *given, **more)
        made.append(self)

    monkeypatch.setattr(Cache, "__init__", init)
    yield
    for each in made:
        each.close()


@pytest.fixture
def bucket(engine: s3engine.Engine) -> str:
    return engine.bucket()


@pytest.fixture
def mount(engine: s3engine.Engine, bucket: str, tmp_path: Path) -> Iterator[Mounting]:
    """`mount(passthrough=False, ...)`: a running mount of `bucket`; the words are fields of moorfs.settings.Settings.

    `command` runs another server, `start=False` none, `name` tells several mounts of a test apart, and `endpoint` may
    lead through a proxy. `MOORFS_LOG` shows what the server said.
    """
    made: list[fusemount.Mount] = []

    def mounting(name: str = "a", command: tuple[str, ...] = (), start: bool = True, **more: Any) -> fusemount.Mount:
        home = tmp_path / name
        found = fusemount.Mount(home, fusemount.make(home, engine, **{"bucket": bucket, **more}))
        found.command = command or found.command
        made.append(found)
        found.mount()
        if start:
            found.start()
        return found

    try:
        yield mounting
    finally:
        for each in made:
            each.close()
            if (each.home / "moorfs.log").exists():
                print(f"--- log of mount {each.home.name}\n{each.log[-6000:]}")  # shown when the test fails
