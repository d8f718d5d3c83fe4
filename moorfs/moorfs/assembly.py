"""The file system of a bucket, put together from its parts."""

from pathlib import Path

from moorage.errors import InvalidInput
from moorage.unsaved import told
from moorfs.agreement import NoTakeoverError
from moorfs.cache import Cache
from moorfs.filelog import JournalFileLog
from moorfs.glance import Glances
from moorfs.knowledge import Belief
from moorfs.mounting import Look, Tending, bucket_file_system, recover, state_log
from moorfs.process import Around, Built
from moorfs.s3.settings import StoreSettings
from moorfs.s3.store import S3Store
from moorfs.settings import Settings
from moorfs.volume import Limits


def build(around: Around) -> Built:
    """Ready to serve: at a takeover with all that the process before had. Raises NoTakeoverError when that is lost."""
    settings, waits = around.settings, around.waits
    cache = Path(settings.cache)
    cache.mkdir(parents=True, exist_ok=True)
    try:
        journal, state = state_log(cache / "journal", around.takeover, waits)
    except InvalidInput as error:
        raise NoTakeoverError(str(error)) from None
    store = S3Store(_store(settings), waits, around.replies)
    glances = Glances(store, settings.ttl)
    files = Cache(settings, glances, JournalFileLog(journal), waits, around.backing, around.takeover)
    system = bucket_file_system(glances, files, journal, waits, _look(settings))
    recover(system, state, around.takeover)
    Tending(system).start()
    return Built(
        system,
        store.rekey,
        store.counters,
        lambda: store.down_since,
        unsaved=lambda: [told(record) for record in files.unsaved()],
        retry=files.retry,
        discard=files.discard,
    )


def _store(settings: Settings) -> StoreSettings:
    return StoreSettings(
        endpoint=settings.endpoint,
        bucket=settings.bucket,
        key_file=settings.key_file,
        region=settings.region,
        path_style=settings.path_style,
        ca_file=settings.ca_file or None,
        address=settings.address,
        patience=settings.down_seconds,
        timeout=settings.call_seconds,
        conditional=settings.conditional,
        part_copy=settings.part_copy,
    )


def _look(settings: Settings) -> Look:
    return Look(
        prefix=settings.prefix,
        belief=Belief(settings.ttl, settings.metadata_ttl, settings.attributes == "head"),
        limits=Limits(settings.rename_limit, settings.read_only),
    )
