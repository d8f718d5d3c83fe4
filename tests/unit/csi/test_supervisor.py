# ruff: noqa: ASYNC110, ASYNC240 - the loop of a test has nothing else to do
"""The mounter keeps its mounts. A shell that mounts a tmpfs and stays stands for a FUSE process."""

import asyncio
import os
import signal
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from moorage.errors import AlreadyExists, MoorageError, NotFound, NotReady, Unauthenticated
from moorage_csi import mounts
from moorage_csi.mounter import connection, process
from moorage_csi.mounter import supervisor as supervisors
from moorage_csi.mounter.kept import Kept
from moorage_csi.mounter.process import Process
from moorage_csi.mounter.recipe import Recipe
from moorage_csi.mounter.supervisor import Supervisor
from moorage_csi.runner import Processes

from . import tinyfuse

# Unmounts itself when asked to end, and ends when its mount is taken away, as a FUSE process does.
PROGRAM = """
mount -t tmpfs fake "$0" || exit 1
trap 'umount "$0"; exit 0' TERM
while grep -q " $0 " /proc/self/mountinfo; do sleep 0.02; done
"""


def _recipe(target: str, program: str = PROGRAM, **parameters: str) -> Recipe:
    return Recipe(
        "team/models/abc", target, "fake", "tmpfs", "fake", parameters, {"AWS_SECRET_ACCESS_KEY": "hunter2"},
        argv=lambda place: ("sh", "-c", program, target, str(place.folder / "passwd")),
        files=lambda _: {"passwd": "key:hunter2\n"},
    )  # fmt: skip


@pytest.fixture
async def supervisor(tmp_path: Path, private_mounts: None) -> AsyncIterator[Supervisor]:
    keeper = Supervisor(Processes(), tmp_path / "run")
    yield keeper
    await keeper.close()


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(tmp_path / "volume")


async def _eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


def _only(supervisor: Supervisor) -> Kept:
    (kept,) = supervisor.mounts
    return kept


def _pid(supervisor: Supervisor) -> int:
    process = _only(supervisor).process
    assert process is not None
    return process.pid


async def test_a_mount_is_made_once(supervisor: Supervisor, target: str) -> None:
    await supervisor.mount(_recipe(target))
    pid = _pid(supervisor)
    await supervisor.mount(_recipe(target))
    assert _pid(supervisor) == pid
    found = mounts.at(target)
    assert found is not None and found.source == "fake"


async def test_another_mount_at_the_same_place_is_refused(supervisor: Supervisor, target: str) -> None:
    await supervisor.mount(_recipe(target, bucket="a"))
    with pytest.raises(AlreadyExists):
        await supervisor.mount(_recipe(target, bucket="b"))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("s3fs.cpp:s3fs_check_service(4433): bucket or key not found(host=http://s3) - result of checking.", NotFound),
        ("s3fs.cpp:s3fs_check_service(4428): invalid credentials(host=http://s3) - result of", Unauthenticated),
        ("s3fs.cpp:s3fs_check_service(4437): unable to connect(host=http://s3) - result of checking", NotReady),
    ],
)
async def test_what_s3fs_says_when_it_ends_at_once_becomes_its_code(
    supervisor: Supervisor, target: str, words: str, error: type[MoorageError]
) -> None:
    with pytest.raises(error, match=r"fake could not mount team/models/abc: .*host=http://s3"):
        await supervisor.mount(_recipe(target, f"echo '{words}'; exit 1"))
    assert mounts.at(target) is None


async def test_unmounting_ends_the_process_and_can_be_repeated(
    supervisor: Supervisor, target: str, tmp_path: Path
) -> None:
    await supervisor.mount(_recipe(target))
    for _ in range(2):
        await supervisor.unmount(target)
    assert mounts.at(target) is None
    assert supervisor.mounts == ()
    assert list((tmp_path / "run").iterdir()) == []


async def test_a_killed_process_is_replaced_and_the_volume_mounted_again(supervisor: Supervisor, target: str) -> None:
    await supervisor.mount(_recipe(target))
    pid = _pid(supervisor)
    Path(target, "of-the-old").touch()
    os.kill(pid, signal.SIGKILL)
    await _eventually(lambda: _pid(supervisor) != pid and mounts.at(target) is not None)
    assert os.listdir(target) == []
    assert _only(supervisor).restarts == 1


@pytest.mark.parametrize("how", ["asked to end", "unmounted"])
async def test_a_process_that_ends_well_without_our_wish_is_replaced_too(
    supervisor: Supervisor, target: str, how: str
) -> None:
    """It takes its mount away, and nobody has said that the volume is not wanted any more."""
    await supervisor.mount(_recipe(target))
    pid = _pid(supervisor)

    if how == "unmounted":
        await Processes().run(("umount", target), 5)
    else:
        os.kill(pid, signal.SIGTERM)

    await _eventually(lambda: _pid(supervisor) != pid and mounts.at(target) is not None)
    assert _only(supervisor).restarts == 1


async def test_what_containers_show_of_a_mount_that_has_vanished_is_replaced_at_the_next_mount(
    tmp_path: Path, private_mounts: None, target: str
) -> None:
    healed: list[tuple[str, str]] = []

    async def heal(device: str, target: str) -> None:
        healed.append((device, target))

    keeper = Supervisor(Processes(), tmp_path / "run", heal)
    await keeper.mount(_recipe(target, 'mount -t tmpfs fake "$0" && exec sleep 600'))
    vanished = _only(keeper).filesystem
    await Processes().run(("umount", target), 5)

    await keeper.mount(_recipe(target))

    assert (vanished, target) in healed
    await keeper.close()


async def test_a_program_that_fails_is_quoted_and_leaves_nothing(supervisor: Supervisor, target: str) -> None:
    with pytest.raises(NotReady, match="bucket not found"):
        await supervisor.mount(_recipe(target, "echo bucket not found >&2; exit 1"))
    assert mounts.at(target) is None and supervisor.mounts == ()


async def test_a_program_that_mounts_and_then_fails_leaves_nothing(supervisor: Supervisor, target: str) -> None:
    """As s3fs does when it may not use the bucket."""
    program = 'mount -t tmpfs fake "$0"; echo access denied >&2; exit 1'
    with pytest.raises(NotReady, match="access denied"):
        await supervisor.mount(_recipe(target, program))
    assert mounts.at(target) is None


async def test_a_dead_mount_of_an_earlier_mounter_is_replaced(supervisor: Supervisor, target: str) -> None:
    os.mkdir(target)
    await Processes().run(("mount", "-t", "tmpfs", "old", target), 5)
    await supervisor.mount(_recipe(target))
    assert [mount.source for mount in mounts.table() if mount.target == target] == ["fake"]


async def test_credentials_are_in_a_file_for_the_owner_and_nowhere_else(
    supervisor: Supervisor, target: str, tmp_path: Path
) -> None:
    await supervisor.mount(_recipe(target))
    (file,) = (tmp_path / "run").glob("*/*")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("key:hunter2\n", 0o600)
    command, environment = (Path(f"/proc/{_pid(supervisor)}/{name}").read_text() for name in ("cmdline", "environ"))
    assert "hunter2" not in command + environment + repr(_only(supervisor))


async def test_a_secret_that_a_program_prints_is_not_logged(
    supervisor: Supervisor, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"), pytest.raises(NotReady) as caught:
        await supervisor.mount(_recipe(target, "echo signing with hunter2; exit 1"))
    assert "signing with ***" in caplog.text
    assert "hunter2" not in caplog.text + str(caught.value)


async def test_a_process_has_a_session_of_its_own(supervisor: Supervisor, target: str) -> None:
    await supervisor.mount(_recipe(target))
    assert os.getsid(_pid(supervisor)) == _pid(supervisor) != os.getsid(0)


class Hung:
    """A FUSE mount whose server takes every request and answers the first one only: who asks cannot be killed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.path = str(folder)
        self.asked = threading.Event()
        self._device = connection.open_mounted(self.path, "fuse.moorfs", "hung")
        threading.Thread(target=self._serve, args=(os.dup(self._device),), daemon=True).start()

    def _serve(self, device: int) -> None:
        _, _, unique, *_ = tinyfuse.IN.unpack_from(os.read(device, 1 << 18))
        body = tinyfuse.answer(tinyfuse.INIT)
        os.write(device, tinyfuse.OUT.pack(tinyfuse.OUT.size + len(body), 0, unique) + body)
        os.read(device, 1 << 18)
        os.close(device)
        self.asked.set()

    def release(self) -> None:
        """Who has asked gets an error."""
        if self._device >= 0:
            os.close(self._device)
            self._device = -1


@pytest.fixture
def hung(tmp_path: Path, private_mounts: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hung]:
    monkeypatch.setattr(process, "STOP_SECONDS", (0.1, 0.1))
    monkeypatch.setattr(supervisors, "_END_SECONDS", 0.1)
    made = Hung(tmp_path / "hung")
    yield made
    made.release()


async def test_a_process_that_cannot_be_killed_is_told(hung: Hung) -> None:
    program = Process(("stat", hung.path), (), lambda: None)
    assert await asyncio.to_thread(hung.asked.wait, 15)

    assert await program.stop() is False
    hung.release()
    assert await program.wait(15) and await program.stop() is True


async def test_while_an_unmounted_volumes_process_does_not_end_there_is_no_second_one(
    supervisor: Supervisor, target: str, hung: Hung
) -> None:
    stuck = f'mount -t tmpfs fake "$0" && exec stat {hung.path}'
    await supervisor.mount(_recipe(target, stuck))
    assert await asyncio.to_thread(hung.asked.wait, 15)
    await supervisor.unmount(target)

    assert mounts.at(target) is None
    with pytest.raises(NotReady, match="does not end"):
        await supervisor.mount(_recipe(target))
    assert mounts.at(target) is None
    hung.release()
    async with asyncio.timeout(60):
        while mounts.at(target) is None:
            await asyncio.sleep(0.02)
            with suppress(NotReady):
                await supervisor.mount(_recipe(target))


async def test_a_process_that_does_not_end_is_never_replaced(supervisor: Supervisor, target: str, hung: Hung) -> None:
    await supervisor.mount(_recipe(target, f'mount -t tmpfs fake "$0" && exec stat {hung.path}'))
    assert await asyncio.to_thread(hung.asked.wait, 15)

    with pytest.raises(NotReady, match="not even when killed"):
        await _only(supervisor).end()
