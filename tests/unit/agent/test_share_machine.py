"""Shares under crashes anywhere: data goes only by a release, and the world settles."""

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from moorage import imagesize, share
from moorage.ganesha import Export
from moorage.model import OnDelete
from moorage.record import Record
from moorage.share import Action, Place, Seen, Wanted

MIB = 2**20
IDS = ("a", "b", "c")
CLIENTS = (("10.0.0.1",), ("10.0.0.1", "10.0.0.2"))


@dataclass
class Disk:
    """One share's folder, its mount and its export. `data` is what clients wrote."""

    image: int = 0
    data: int = 0
    record: Record | None = None
    fs: int = 0
    mounted: bool = False
    exported: Export | None = None

    def seen(self) -> Seen:
        return Seen(self.record, self.image, self.fs if self.mounted else 0, self.mounted, self.exported)


class Shares(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disks = {name: Disk() for name in IDS}
        self.wanted: dict[str, Wanted] = {}
        self.written: dict[str, int] = {}
        self.place = Place("/export", CLIENTS[0])
        self.next_id = 1
        self.used: set[int] = set()

    @rule(name=st.sampled_from(IDS), size=st.sampled_from([256, 512]))
    def create(self, name: str, size: int) -> None:
        self.wanted.setdefault(name, Wanted(name, "ns", name, f"uid-{name}", size * MIB))

    @rule(name=st.sampled_from(IDS))
    def grow(self, name: str) -> None:
        if name in self.wanted:
            self.wanted[name] = replace(self.wanted[name], size=self.wanted[name].size * 2)

    @rule(name=st.sampled_from(IDS))
    def delete(self, name: str) -> None:
        if name in self.wanted:
            self.wanted[name] = replace(self.wanted[name], deleting=True)

    @rule(name=st.sampled_from(IDS), how=st.sampled_from(OnDelete))
    def release(self, name: str, how: OnDelete) -> None:
        """The operator may be wrong about the time: a release without deletion must not count."""
        if name in self.wanted and not self.wanted[name].release:
            self.wanted[name] = replace(self.wanted[name], release=how)

    @rule(name=st.sampled_from(IDS))
    def client_writes(self, name: str) -> None:
        disk = self.disks[name]
        if disk.mounted and disk.exported:
            disk.data += 1
            self.written[name] = disk.data

    @rule(clients=st.sampled_from(CLIENTS))
    def nodes_change(self, clients: tuple[str, ...]) -> None:
        self.place = Place("/export", clients)

    @rule()
    def pod_dies(self) -> None:
        for disk in self.disks.values():
            disk.mounted, disk.exported = False, None

    @rule()
    def ganesha_dies(self) -> None:
        for disk in self.disks.values():
            disk.exported = None

    @rule(name=st.sampled_from(IDS), steps=st.integers(0, 3))
    def agent_acts_and_crashes(self, name: str, steps: int) -> None:
        for action in share.plan(self.wanted.get(name), self.disks[name].seen(), self.place).actions[:steps]:
            self.apply(self.disks[name], action)

    @rule(name=st.sampled_from(IDS))
    def agent_settles(self, name: str) -> None:
        disk, wanted = self.disks[name], self.wanted.get(name)
        for _ in range(5):
            plan = share.plan(wanted, disk.seen(), self.place)
            for action in plan.actions:
                self.apply(disk, action)
        assert share.plan(wanted, disk.seen(), self.place) == share.Plan()
        if wanted and not wanted.deleting:
            assert disk.exported == self.place.export(disk.record) if disk.record else None
            assert disk.fs >= wanted.size
        if wanted and wanted.released:
            assert not disk.mounted
            assert not disk.exported
            del self.wanted[name]

    def apply(self, disk: Disk, action: Action) -> None:
        match action:
            case share.EnsureImage(wanted):
                disk.image = disk.image or imagesize.image_bytes(wanted.size)
                disk.fs = disk.image - imagesize.LOG_BYTES
                disk.record = disk.record or self.new_record(wanted)
            case share.EnsureMounted():
                assert disk.image, "mounted nothing"
                disk.mounted = True
            case share.EnsureGrown(_, size):
                assert disk.mounted
                disk.image, disk.fs = imagesize.image_bytes(size), size
            case share.EnsureExported(export):
                assert disk.mounted, "exported a bare folder"
                disk.exported = export
            case share.EnsureUnexported():
                disk.exported = None
            case share.EnsureUnmounted():
                assert not disk.exported, "unmounted under Ganesha"
                disk.mounted = False
            case share.EnsureRetained(_, retained):
                assert disk.record
                disk.record = disk.record.model_copy(update={"retained": retained})
            case share.EnsureAbsent(name):
                assert self.wanted[name].deleting
                assert self.wanted[name].release is OnDelete.Delete
                disk.image = disk.data = disk.fs = 0
                disk.record = None
                self.written.pop(name, None)

    def new_record(self, wanted: Wanted) -> Record:
        export_id, self.next_id = self.next_id, self.next_id + 1
        return Record(
            id=wanted.id, namespace="ns", name=wanted.name, uid=wanted.uid, export_id=export_id, size=wanted.size
        )

    @invariant()
    def nothing_written_is_lost(self) -> None:
        assert {name: self.disks[name].data for name in self.written} == self.written

    @invariant()
    def export_ids_are_unique(self) -> None:
        ids = [disk.record.export_id for disk in self.disks.values() if disk.record]
        assert len(ids) == len(set(ids))


TestShares = Shares.TestCase
TestShares.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
