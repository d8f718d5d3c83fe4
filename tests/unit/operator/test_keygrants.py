"""Who may use a bucket, from the objects alone."""

from datetime import timedelta

from keyworld import CREATED, bucket, key

from moorage import duration, keyslots
from moorage.bucketpolicy import MAX_KEYS
from moorage.keygrants import Openers
from moorage.model import Access, BucketKey, BucketKeyStatus, KeyState, Placement

NOW = duration.stamp(CREATED)


def live(made: BucketKey, **status: object) -> BucketKey:
    """The key with its first slot in use."""
    access = keyslots.access_key(made.metadata["uid"])
    found = BucketKeyStatus(
        serial=1, access_key_id=access, issued_at=NOW, placement=Placement(backend="object", engine="s3")
    )
    return made.model_copy(update={"status": found.model_copy(update=status)})


def test_the_own_key_and_every_live_key_have_what_they_say() -> None:
    models = bucket("models")
    reader, admin = live(key({"name": "models"}, name="reader")), live(key({"name": "models", "access": "Admin"}))

    found = Openers.of(models, (reader, admin), {}).access(NOW)

    assert sorted(each.value for each in found.values()) == ["Admin", "ReadOnly", "ReadWrite"]
    assert found[keyslots.access_key(models.metadata["uid"])] == Access.ReadWrite


def test_revoked_expired_deleted_and_foreign_keys_have_nothing() -> None:
    deleted = live(key(name="deleted"))
    deleted.metadata["deletionTimestamp"] = NOW
    others = (
        live(key(name="revoked", revoked=True)),
        live(key(name="expired", expireAfter="1h")),
        deleted,
        live(key({"name": "models", "namespace": "ns"}, name="foreign", namespace="elsewhere")),
        live(key({"name": "another"}, name="another")),
    )
    later = duration.stamp(CREATED + timedelta(hours=2))

    found = Openers.of(bucket("models"), others, {}).access(later)

    assert list(found) == [keyslots.access_key("uid-ns-models")]


def test_both_slots_count_during_the_overlap_and_one_after_it() -> None:
    first = live(key())
    second = keyslots.issued(keyslots.begun(first.status, "u", first.spec), first.spec, NOW)
    both = first.model_copy(update={"status": second})

    during = Openers.of(bucket("models"), (both,), {}).access(NOW)
    after = Openers.of(bucket("models"), (both,), {}).access(duration.stamp(CREATED + timedelta(hours=1)))

    assert (len(during), len(after)) == (3, 2)


def test_the_own_key_of_a_bucket_has_two_slots_as_well() -> None:
    state = KeyState(serial=2, access_key_id="SECOND", previous={"accessKeyId": "FIRST"})  # type: ignore[arg-type]
    models = bucket("models")
    models = models.model_copy(update={"status": models.status.model_copy(update={"key": state})})

    assert sorted(Openers.of(models, (), {}).access(NOW)) == ["FIRST", "SECOND"]


def test_what_a_policy_has_no_room_for_is_the_youngest() -> None:
    many = [live(key(name=f"k{number:03}")) for number in range(MAX_KEYS + 1)]
    openers = Openers.of(bucket("models"), many, {})

    assert [each.metadata["name"] for each in many if openers.crowds_out(each)] == [f"k{MAX_KEYS:03}"]
    assert len(openers.access(NOW)) == MAX_KEYS + 1
