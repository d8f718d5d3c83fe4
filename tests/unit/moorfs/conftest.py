"""A real engine and real mounts.

`engine` (versitygw), `bucket` (a new one), `proxy` (before the engine), `make_store`, `mount` (of a running moorfs).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fault
import fusemount
import pytest
import s3engine

from moorfs.cache import Cache
from moorfs.s3.settings import StoreSettings
from moorfs.s3.store import S3Store

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
def proxy(engine: s3engine.Engine) -> Iterator[fault.Proxy]:
    with fault.before(engine.port) as made:
        yield made


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[..., S3Store]]:
    """`make_store(engine, bucket=..., ...)`: with the engine's root key; the words are fields of StoreSettings."""
    made: list[S3Store] = []

    def making(engine: s3engine.Engine, on_wait: Callable[[], None] = lambda: None, **more: Any) -> S3Store:
        key = s3engine.write_key(tmp_path / "key", engine.access, engine.secret)
        ca = str(engine.ca) if engine.secure else None
        fields = {"endpoint": engine.endpoint, "key_file": str(key), "ca_file": ca, **more}
        made.append(S3Store(StoreSettings(**fields), on_wait))
        return made[-1]

    yield making
    for each in made:
        each.close()


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
