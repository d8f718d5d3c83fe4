"""What to do about a StorageVolume that is being deleted: data goes only when nobody can be using it any more.

The order is the proof. First DESTROYING (Ready=False) is written: from then on the node plugin makes no new mount. Only
a world observed after that write is asked for holders. Then claim and PersistentVolume go, then `status.release` lets
the agent act, then DESTROYED is written, then the finalizer goes.
"""

from moorage import conditions, engines, names, placement, transitions
from moorage.actions import Action, Delete, Notice, Plan, Reference, reference
from moorage.conditions import Verdict, lifecycle, no, yes
from moorage.facts import VolumeFacts, backend_trouble
from moorage.manifests import is_owned
from moorage.model import Condition, Phase, Placement, ShareState, StorageVolumeStatus, VolumeOnDelete
from moorage.plan import conclude

RELEASING = frozenset({Phase.DESTROYING, Phase.DESTROYED})
RECHECK_HOLDERS = 5.0
RECHECK = 2.0
UNFOUND = frozenset({"ShareMissing", "ImageMissing", "FolderMissing", "SnapshotMissing"})  # reasons of Provisioned
NAMED_HOLDERS = 10  # in the message; the rest is counted


def release(facts: VolumeFacts) -> Plan[StorageVolumeStatus]:
    """The next step of a deletion."""
    status = facts.volume.status
    if names.FINALIZER not in facts.volume.metadata.get("finalizers", ()):
        return Plan(status)
    if status.phase == Phase.DESTROYED:  # written last: all is done and told
        return Plan(status, finish=True)
    if status.phase not in RELEASING:
        return _destroying(facts, "no new mount is made; looking who still uses it", requeue_after=0)
    if status.release is None:
        return _let_go(facts)
    if facts.owns_bucket and _own_bucket(facts):
        return _destroying(facts, "waiting for its Bucket to go", actions=_own_bucket(facts))
    return _after_engine(facts)


def _let_go(facts: VolumeFacts) -> Plan[StorageVolumeStatus]:
    if facts.holders:
        return _destroying(
            facts, f"in use by {listed(facts.holders)}", requeue_after=RECHECK_HOLDERS, holders=facts.holders
        )
    standing = _standing(facts)
    if standing:
        names_ = ", ".join(str(each) for each in standing)
        gone = tuple(Delete(each) for each in standing)
        return _destroying(facts, f"waiting for {names_} to go", actions=gone)
    freed = facts.volume.status.model_copy(update={"release": facts.volume.spec.on_delete})
    return _destroying(facts, "nobody uses it; the engine is told", status=freed, requeue_after=0)


def is_free(facts: VolumeFacts) -> bool:
    """Whether, by what was seen, its data may go next."""
    return not facts.holders and not _standing(facts)


def _standing(facts: VolumeFacts) -> tuple[Reference, ...]:
    uid = facts.volume.metadata["uid"]
    found = (facts.claim, facts.persistent_volume)
    return tuple(reference(each) for each in found if each and is_owned(each, names.LABEL_VOLUME_UID, uid))


def _own_bucket(facts: VolumeFacts) -> tuple[Delete, ...]:
    bucket = facts.bucket
    if bucket is None or not is_owned(
        {"metadata": bucket.metadata}, names.LABEL_VOLUME_UID, facts.volume.metadata["uid"]
    ):
        return ()
    return (Delete(reference({"apiVersion": names.API_VERSION, "kind": "Bucket", "metadata": bucket.metadata})),)


def _after_engine(facts: VolumeFacts) -> Plan[StorageVolumeStatus]:
    status = facts.volume.status
    if not status.placement or not status.placement.server:
        return _destroyed(facts)
    if status.share and status.share.state == ShareState.Released:
        return _destroyed(facts)
    lost = placement.lost(facts.backend, status.placement, facts.node_gone)
    if lost:
        return _destroyed(facts, lost)
    trouble = backend_trouble(facts)
    reason = trouble.message if trouble else _agent_says(facts)
    return _destroying(facts, f"waiting for {_agent(status.placement)}: {reason}", requeue_after=30)


def _agent(placed: Placement) -> str:
    match placed.engine:
        case engines.NFS:
            return f"the filer's worker, pod {placed.server}"
        case engines.LOCAL:
            return f"the agent of node {placed.server}"
        case _:
            return f"the share agent on {placed.server}"


def _agent_says(facts: VolumeFacts) -> str:
    share = facts.volume.status.share
    return share.message if share and share.message else "it takes the share down"


def _destroying(
    facts: VolumeFacts,
    message: str,
    *,
    status: StorageVolumeStatus | None = None,
    actions: tuple[Action, ...] = (),
    requeue_after: float = RECHECK,
    holders: tuple[str, ...] = (),
) -> Plan[StorageVolumeStatus]:
    verdicts = (lifecycle(Phase.DESTROYING, message), blocked(holders), *_kept(facts))
    settled = conclude(facts, status or facts.volume.status, verdicts)
    told = transitions.notices(facts.volume.status.conditions, settled.conditions)
    return Plan(settled, actions, told, requeue_after)


def _destroyed(facts: VolumeFacts, lost: str = "") -> Plan[StorageVolumeStatus]:
    """`lost`: why the engine could not be told."""
    message, notices = _farewell(facts, lost), ()
    if lost:
        notices = (Notice("DataRemains", f"{lost}: the data of the volume stays where it is", warning=True),)
    status = conclude(facts, facts.volume.status, (lifecycle(Phase.DESTROYED, message), blocked(())))
    return Plan(status, (), (*notices, Notice("Destroyed", message)), finish=True)


def _farewell(facts: VolumeFacts, lost: str) -> str:
    placed, share = facts.volume.status.placement, facts.volume.status.share
    if lost:
        return "the volume is gone; its data stays where it is"
    adopt = facts.volume.spec.adopt
    if adopt and not facts.volume.status.attributes and not (share and (share.export_id or share.path)):
        what = f"folder {adopt}" if adopt.startswith("/") else f"kept share {adopt}"
        return f"the volume is gone; {what} was not adopted, and stays as it was"
    if share and share.state == ShareState.Released and share.message:  # a filer's folder that was there before
        return f"the volume is gone; {share.message}"
    if missing := unfound(facts.volume.status.conditions):
        return f"the volume is gone; {missing}"
    if facts.volume.spec.on_delete == VolumeOnDelete.Delete:
        return "the volume and its data are gone"
    kept = f"the volume is gone; its data is kept{_archived(facts)}, as onDelete asks"
    return f"{kept}; adopt: {facts.id} takes it over" if placed and placed.server else kept


def unfound(found: tuple[Condition, ...]) -> str:
    """What is true of data that its server did not have when the deletion began, or "": a wrong pool keeps it."""
    before = conditions.find(found, conditions.PROVISIONED)
    reason = before.reason if before else ""
    return f"its data was not found ({reason}), and stays where it may be" if reason in UNFOUND else ""


def _archived(facts: VolumeFacts) -> str:
    placed, share = facts.volume.status.placement, facts.volume.status.share
    on_filer = placed is not None and placed.engine == engines.NFS
    if not on_filer or not share or facts.volume.spec.on_delete != VolumeOnDelete.Archive:
        return ""
    return f" in folder archived-{share.path.rpartition('/')[2]}" if share.path else " in an archived folder"


def blocked(holders: tuple[str, ...]) -> Verdict:
    if holders:
        return yes(conditions.DELETION_BLOCKED, "InUse", f"in use by {listed(holders)}; it goes when they have gone")
    return no(conditions.DELETION_BLOCKED, "NotInUse")


def listed(holders: tuple[str, ...]) -> str:
    named = ", ".join(sorted(holders)[:NAMED_HOLDERS])
    return f"{named} and {len(holders) - NAMED_HOLDERS} more" if len(holders) > NAMED_HOLDERS else named


def _kept(facts: VolumeFacts) -> tuple[Verdict, ...]:
    """Provisioned stays as it was while the volume goes: it tells whether there was anything to destroy."""
    before = conditions.find(facts.volume.status.conditions, conditions.PROVISIONED)
    return (Verdict(before.type, before.status, before.reason, before.message),) if before else ()
