"""Shares under crashes anywhere: data goes only by a release, and the world settles."""

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from moorage import adoption, imagesize, share
from moorage.adoption import Adoption, Source
from moorage.ganesha import Export
from moorage.model import Squash, VolumeOnDelete
from moorage.record import Record
from moorage.share import Action, Place, Seen, Wanted

MIB = 2**20
IDS = ("a", "b", "c", "d")
CLIENTS = (("10.0.0.1",), ("10.0.0.1", "10.0.0.2"), ())


@dataclass
class Disk:
    """One share's folder, its mount and its export. `data` is what clients wrote."""

    image: int = 0
    data: int = 0
    record: Record | None = None
    fs: int = 0
    mounted: bool = False
    exported: Export | None = None
    down: bool = False

    def seen(self) -> Seen:
        shown = self.fs if self.mounted and not self.down else 0
        return Seen(self.record, self.image, shown, self.mounted, self.exported, self.down)


class Shares(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disks = {name: Disk() for name in IDS}
        self.wanted: dict[str, Wanted] = {}
        self.written: dict[str, int] = {}
        self.place = Place("/export", CLIENTS[0])
        self.next_id = 1
        self.used: set[int] = set()

    @initialize(kept=st.sets(st.sampled_from(IDS), max_size=2))
    def something_was_kept(self, kept: set[str]) -> None:
        for name in sorted(kept):
            self.a_life_in_short(name)

    @rule(name=st.sampled_from(IDS), size=st.sampled_from([256, 512]))
    def create(self, name: str, size: int) -> None:
        self.wanted.setdefault(name, Wanted(name, "ns", name, f"uid-{name}", size * MIB))

    @rule(pick=st.integers(0, 5), others=st.booleans(), eager=st.booleans())
    def create_to_adopt(self, pick: int, others: bool, eager: bool) -> None:
        kept = [name for name in IDS if self.disks[name].record and (name not in self.wanted or pick > 3)]
        free = [name for name in IDS if not self.disks[name].record and name not in self.wanted]
        if free:
            name, source = free[pick % len(free)], kept[pick % len(kept)] if kept else "nothing"
            asked, namespace = Adoption(source), "others" if others else "ns"
            self.wanted[name] = Wanted(name, namespace, name, f"uid-{name}", 512 * MIB, adoption=asked)
            if eager:
                self.agent_settles(name)

    @rule(name=st.sampled_from(IDS))
    def grow(self, name: str) -> None:
        if name in self.wanted:
            self.wanted[name] = replace(self.wanted[name], size=self.wanted[name].size * 2)

    @rule(name=st.sampled_from(IDS), squash=st.sampled_from(Squash))
    def squash(self, name: str, squash: Squash) -> None:
        if name in self.wanted:
            self.wanted[name] = replace(self.wanted[name], squash=squash)

    @rule(name=st.sampled_from(IDS))
    def delete(self, name: str) -> None:
        if name in self.wanted:
            self.wanted[name] = replace(self.wanted[name], deleting=True)

    @rule(name=st.sampled_from(IDS), how=st.sampled_from(VolumeOnDelete))
    def release(self, name: str, how: VolumeOnDelete) -> None:
        """The operator may be wrong about the time: a release without deletion must not count."""
        if name in self.wanted and not self.wanted[name].release:
            self.wanted[name] = replace(self.wanted[name], release=how)

    @rule(name=st.sampled_from(IDS))
    def a_life_in_short(self, name: str) -> None:
        """Made, written to, deleted and kept: without it, few stories would come to an adoption."""
        if name in self.wanted or self.disks[name].record:
            return
        self.create(name, 256)
        self.agent_settles(name)
        self.client_writes(name)
        self.wanted[name] = replace(self.wanted[name], deleting=True, release=VolumeOnDelete.Retain)
        self.agent_settles(name)

    @rule(name=st.sampled_from(IDS))
    def client_writes(self, name: str) -> None:
        disk = self.disks[name]
        if disk.mounted and disk.exported and not disk.down:
            disk.data += 1
            self.written[name] = disk.data

    @rule(clients=st.sampled_from(CLIENTS))
    def nodes_change(self, clients: tuple[str, ...]) -> None:
        self.place = Place("/export", clients)

    @rule()
    def pod_dies(self) -> None:
        for disk in self.disks.values():
            disk.mounted, disk.exported, disk.down = False, None, False

    @rule(name=st.sampled_from(IDS))
    def file_system_shuts_down(self, name: str) -> None:
        self.disks[name].down = self.disks[name].mounted

    @rule()
    def ganesha_dies(self) -> None:
        for disk in self.disks.values():
            disk.exported = None

    @rule(name=st.sampled_from(IDS), steps=st.integers(0, 3))
    def agent_acts_and_crashes(self, name: str, steps: int) -> None:
        for action in self.plan(name).actions[:steps]:
            self.apply(self.disks[name], action)

    def plan(self, name: str) -> share.Plan:
        wanted, disk = self.wanted.get(name), self.disks[name]
        source = self.source(wanted.adoption.id) if wanted and wanted.adoption and not disk.record else None
        if source and not source.owner and self.disks[source.record.id].mounted:
            return share.Plan(reason="Retry")  # as the agent does
        return share.plan(wanted, disk.seen(), self.place, source)

    def source(self, id: str) -> Source | None:
        record = adoption.find([each.record for each in self.disks.values() if each.record], id)
        if record is None:
            return None
        owner = f"StorageVolume ns/{record.id}" if record.id in self.wanted else ""
        return Source(record, self.disks[record.id].image, owner)

    @rule(name=st.sampled_from(IDS))
    def agent_settles(self, name: str) -> None:
        wanted = self.wanted.get(name)
        for _ in range(6):
            for action in self.plan(name).actions:
                self.apply(self.disks[name], action)
        disk, last = self.disks[name], self.plan(name)
        if last.reason in ("AdoptNotFound", "AdoptForbidden", "AdoptInUse", "AdoptTooSmall", "Retry"):
            assert wanted and wanted.adoption
            assert (disk.image, disk.record) == (0, None)
            return
        assert last == share.Plan()
        if wanted and not wanted.deleting:
            assert disk.exported == self.place.export(disk.record) if disk.record else None
            assert disk.fs >= wanted.size
            assert not disk.down
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
            case share.EnsureAdopted(wanted, source):
                self.adopt(disk, wanted, source)
            case share.EnsureMounted():
                assert disk.image, "mounted nothing"
                assert not disk.down, "mounted over a dead mount"
                disk.mounted = True
            case share.EnsureGrown(_, size):
                assert disk.mounted and not disk.down
                disk.image, disk.fs = imagesize.image_bytes(size), size
            case share.EnsureSquash(_, squash):
                assert disk.record
                disk.record = disk.record.model_copy(update={"squash": squash})
            case share.EnsureExported(export):
                assert disk.mounted, "exported a bare folder"
                assert not disk.down, "exported a dead file system"
                assert disk.record
                assert export.squash is disk.record.squash, "a restart would export it otherwise"
                disk.exported = export
            case share.EnsureUnexported():
                disk.exported = None
            case share.EnsureUnmounted():
                assert not disk.exported, "unmounted under Ganesha"
                disk.mounted = disk.down = False
            case share.EnsureRetained(_, retained):
                assert disk.record
                disk.record = disk.record.model_copy(update={"retained": retained})
            case share.EnsureAbsent(name):
                assert self.wanted[name].deleting
                assert self.wanted[name].release is VolumeOnDelete.Delete
                disk.image = disk.data = disk.fs = 0
                disk.record = None
                self.written.pop(name, None)

    def adopt(self, disk: Disk, wanted: Wanted, source: Record) -> None:
        """One rename, then the record; the process may die between the two."""
        disk.exported = None
        if source.id != wanted.id:
            assert source.id not in self.wanted, "taken from a living volume"
            assert source.namespace == wanted.namespace, "taken from another namespace"
            moved = self.disks[source.id]
            assert not moved.mounted, "moved under a mount"
            assert (disk.image, disk.record) == (0, None), "adopted over data"
            self.disks[wanted.id], self.disks[source.id] = moved, Disk()
            moved.exported = None
            if source.id in self.written:
                self.written[wanted.id] = self.written.pop(source.id)
            assert moved.record
            moved.record = moved.record.model_copy(update={"id": wanted.id})
            if self.next_id % 3 == 0:  # dies here now and then
                self.next_id += 1
                return
            disk = moved
        disk.record = self.new_record(wanted).model_copy(update={"former": (source.id,)})

    def new_record(self, wanted: Wanted) -> Record:
        export_id, self.next_id = self.next_id, self.next_id + 1
        return Record(
            id=wanted.id,
            namespace=wanted.namespace,
            name=wanted.name,
            uid=wanted.uid,
            export_id=export_id,
            size=wanted.size,
        )

    @invariant()
    def nothing_written_is_lost(self) -> None:
        assert {name: self.disks[name].data for name in self.written} == self.written

    @invariant()
    def export_ids_are_unique(self) -> None:
        ids = [disk.record.export_id for disk in self.disks.values() if disk.record]
        assert len(ids) == len(set(ids))


TestShares = Shares.TestCase
TestShares.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
