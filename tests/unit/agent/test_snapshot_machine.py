"""Snapshots and clones under crashes anywhere: what was taken stays as it was, until it is deleted and released."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from moorage import clone, share, snapshotshare
from moorage.clone import Asked, Here, Origin
from moorage.model import VolumeOnDelete
from moorage.record import Record, SnapshotRecord
from moorage.share import Place, Seen, Wanted
from moorage.snapshotshare import SeenSnapshot, WantedSnapshot

SIZE = 512 * 2**20
VOLUMES = ("v1", "v2", "v3")
SNAPSHOTS = ("s1", "s2", "s3")
PLACE = Place("/export", ("10.0.0.1",))


@dataclass
class Volume:
    """A folder in `volumes`; `data` is what its files hold, None without an image."""

    data: int | None = None
    record: Record | None = None
    unfinished: bool = False
    mounted: bool = False


@dataclass
class Snapshot:
    """A folder in `snapshots`."""

    data: int | None = None
    record: SnapshotRecord | None = None
    unfinished: bool = False


@dataclass
class Truth:
    """What users may rely on: the data of each snapshot that was ever seen recorded, by uid."""

    taken: dict[str, int] = field(default_factory=dict[str, int])


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.volumes = {name: Volume() for name in VOLUMES}
        self.snapshots = {name: Snapshot() for name in SNAPSHOTS}
        self.wanted: dict[str, Wanted] = {}
        self.asked: dict[str, WantedSnapshot] = {}
        self.truth = Truth()
        self.began: dict[str, int] = {}
        self.clock = 0
        self.exports = 0

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    @initialize(name=st.sampled_from(SNAPSHOTS), volume=st.sampled_from(VOLUMES))
    def one_was_taken(self, name: str, volume: str) -> None:
        """Without it, few stories would come to a deletion."""
        self.create_volume(volume)
        self.agent_settles_a_volume(volume)
        self.create_snapshot(name, volume)
        self.agent_settles_a_snapshot(name)

    # What users and the operator do.

    @rule(name=st.sampled_from(VOLUMES))
    def create_volume(self, name: str) -> None:
        if not self.volumes[name].record:
            self.wanted.setdefault(name, Wanted(name, "ns", name, f"uid-{name}-{self.tick()}", SIZE))

    @rule(name=st.sampled_from(VOLUMES), kind=st.sampled_from(["snapshot", "volume"]), pick=st.integers(0, 2))
    def create_clone(self, name: str, kind: str, pick: int) -> None:
        if not self.volumes[name].record:
            source = Asked(kind, (SNAPSHOTS if kind == "snapshot" else VOLUMES)[pick])
            self.wanted.setdefault(name, Wanted(name, "ns", name, f"uid-{name}-{self.tick()}", SIZE, source=source))

    @rule(name=st.sampled_from(VOLUMES))
    def write(self, name: str) -> None:
        if self.volumes[name].mounted:
            self.volumes[name].data = self.tick()

    @rule(name=st.sampled_from(VOLUMES))
    def delete_volume(self, name: str) -> None:
        if name in self.wanted:
            self.wanted[name] = replace(self.wanted[name], deleting=True, release=VolumeOnDelete.Delete)

    @rule(name=st.sampled_from(SNAPSHOTS), volume=st.sampled_from(VOLUMES))
    def create_snapshot(self, name: str, volume: str) -> None:
        if not self.snapshots[name].record:
            wanted = WantedSnapshot(name, "ns", name, f"uid-{name}-{self.tick()}", volume, volume)
            self.asked.setdefault(name, wanted)

    @rule(name=st.sampled_from(SNAPSHOTS))
    def delete_snapshot(self, name: str) -> None:
        if name in self.asked:
            self.asked[name] = replace(self.asked[name], deleting=True)

    @rule(name=st.sampled_from(SNAPSHOTS))
    def release_snapshot(self, name: str) -> None:
        """The operator may be wrong about the time: a release without deletion must not count."""
        if name in self.asked:
            self.asked[name] = replace(self.asked[name], release=True)

    @precondition(lambda self: self.asked)
    @rule(name=st.sampled_from(SNAPSHOTS))
    def snapshot_object_vanishes(self, name: str) -> None:
        self.asked.pop(name, None)

    # What the agent does, and what becomes of it.

    @rule()
    def pod_dies(self) -> None:
        for volume in self.volumes.values():
            volume.mounted = False

    @rule(name=st.sampled_from(SNAPSHOTS), steps=st.integers(0, 6))
    def agent_works_on_a_snapshot_and_crashes(self, name: str, steps: int) -> None:
        for _, _ in zip(range(steps), self.snapshot_steps(name), strict=False):
            pass

    @rule(name=st.sampled_from(VOLUMES), steps=st.integers(0, 6))
    def agent_works_on_a_volume_and_crashes(self, name: str, steps: int) -> None:
        for _, _ in zip(range(steps), self.volume_steps(name), strict=False):
            pass

    @rule(name=st.sampled_from(SNAPSHOTS))
    def agent_settles_a_snapshot(self, name: str) -> None:
        for _ in range(3):
            list(self.snapshot_steps(name))
        wanted, found, plan = self.asked.get(name), self.snapshots[name], self.plan_snapshot(name)
        assert plan.actions == ()
        if wanted and wanted.released:
            assert (found.data, found.record, found.unfinished) == (None, None, False) or plan.reason == ""
            if not (found.record and found.record.uid != wanted.uid):
                assert found == Snapshot()
                self.truth.taken.pop(wanted.uid, None)
            del self.asked[name]
        elif wanted and not wanted.deleting and not plan.reason:
            assert found.record is not None
            assert found.record.uid == wanted.uid

    @rule(name=st.sampled_from(VOLUMES))
    def agent_settles_a_volume(self, name: str) -> None:
        for _ in range(5):
            list(self.volume_steps(name))
        wanted, found, plan = self.wanted.get(name), self.volumes[name], self.plan_volume(name)
        assert [each for each in plan.actions if not isinstance(each, share.EnsureExported)] == []
        if wanted and wanted.released:
            assert found == Volume()
            del self.wanted[name]
            self.began.pop(name, None)
        elif wanted and not plan.reason:
            assert found.mounted
            assert found.record is not None

    def plan_snapshot(self, name: str) -> snapshotshare.SnapshotPlan:
        wanted, found = self.asked.get(name), self.snapshots[name]
        volume = self.volumes[wanted.volume_id] if wanted else Volume()
        seen = SeenSnapshot(
            record=found.record,
            image_bytes=SIZE if found.data is not None else 0,
            unfinished=found.unfinished or (found.data is not None and not found.record),
            volume=volume.record,
            volume_image_bytes=SIZE if volume.data is not None else 0,
            shown_bytes=SIZE if volume.mounted else 0,
        )
        return snapshotshare.plan(name, wanted, seen)

    def snapshot_steps(self, name: str) -> Iterator[None]:
        """Each yield is a place to die."""
        found = self.snapshots[name]
        for action in self.plan_snapshot(name).actions:
            yield
            match action:
                case snapshotshare.EnsureTaken(wanted, size):
                    assert not found.record, "taken twice"
                    found.data, found.unfinished = None, True
                    yield
                    data = self.volumes[wanted.volume_id].data
                    assert data is not None, "a snapshot of nothing"
                    yield
                    found.data, found.unfinished = data, False
                    yield
                    found.record = SnapshotRecord(
                        id=name, namespace="ns", name=name, uid=wanted.uid, volume_id=wanted.volume_id,
                        volume_name=wanted.volume_name, size=size, taken=str(self.clock),
                    )  # fmt: skip
                    self.truth.taken[wanted.uid] = data
                case snapshotshare.EnsureSnapshotAbsent():
                    if found.record:
                        assert self.asked[name].deleting
                        assert self.asked[name].release
                        self.truth.taken.pop(found.record.uid, None)
                    found.data = None
                    yield
                    found.record, found.unfinished = None, False

    def plan_volume(self, name: str) -> share.Plan:
        wanted, found = self.wanted.get(name), self.volumes[name]
        held = SIZE if found.data is not None else 0
        seen = Seen(found.record, held, SIZE if found.mounted else 0, found.mounted, None, found.unfinished)
        beginning = None
        if wanted and wanted.source and not found.record and not wanted.deleting:
            origin = self.origin(wanted.source)
            beginning = clone.refusal(wanted.source, wanted.size, origin, Here("nfs-0", clones=True)) or origin
        return share.plan(wanted, seen, PLACE, beginning)

    def origin(self, asked: Asked) -> Origin | None:
        if asked.is_snapshot:
            wanted, snapshot = self.asked.get(asked.name), self.snapshots[asked.name]
            if not wanted or wanted.released:
                return None
            mine = snapshot.record and snapshot.record.uid == wanted.uid and snapshot.data is not None
            return Origin(asked.name, "nfs-0", SIZE if mine else 0)
        volume = self.volumes[asked.name]
        if asked.name not in self.wanted or self.wanted[asked.name].released:
            return None
        return Origin(asked.name, "nfs-0", SIZE if volume.mounted and volume.data is not None else 0)

    def volume_steps(self, name: str) -> Iterator[None]:
        found = self.volumes[name]
        for action in self.plan_volume(name).actions:
            yield
            match action:
                case share.EnsureImage(wanted):
                    assert not wanted.source or found.data is not None, "an empty volume in place of a clone"
                    found.data = self.tick() if found.data is None else found.data
                    yield
                    found.record = self.new_record(wanted)
                case share.EnsureCloned(wanted, origin):
                    yield from self.clone_steps(found, wanted, origin)
                case share.EnsureMounted():
                    assert found.data is not None, "mounted nothing"
                    found.mounted = True
                case share.EnsureUnmounted():
                    found.mounted = False
                case share.EnsureAbsent():
                    assert self.wanted[name].released
                    found.data, found.unfinished = None, False
                    yield
                    found.record = None
                case _:
                    pass

    def clone_steps(self, found: Volume, wanted: Wanted, origin: Origin) -> Iterator[None]:
        assert wanted.source
        found.unfinished = True
        yield
        source = self.snapshots[origin.id] if wanted.source.is_snapshot else self.volumes[origin.id]
        data = source.data
        assert data is not None, "cloned nothing"
        if isinstance(source, Snapshot):
            assert source.record
            assert data == self.truth.taken[source.record.uid]
        yield
        found.data, found.unfinished = data, False
        self.began[wanted.id] = data
        yield
        found.record = self.new_record(wanted)

    def new_record(self, wanted: Wanted) -> Record:
        self.exports += 1
        return Record(
            id=wanted.id, namespace="ns", name=wanted.name, uid=wanted.uid, export_id=self.exports, size=wanted.size
        )

    @invariant()
    def what_was_taken_is_as_it_was(self) -> None:
        for snapshot in self.snapshots.values():
            if snapshot.record and snapshot.record.uid in self.truth.taken:
                assert snapshot.data == self.truth.taken[snapshot.record.uid]
        recorded = {each.record.uid for each in self.snapshots.values() if each.record}
        assert self.truth.taken.keys() <= recorded

    @invariant()
    def a_clone_has_what_it_began_with_or_newer(self) -> None:
        for name, data in self.began.items():
            found = self.volumes[name].data
            assert found is None or found >= data


TestSnapshots = Machine.TestCase
TestSnapshots.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
