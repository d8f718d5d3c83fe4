"""A BucketKey's life, step by step; and dying at every step of it."""

import base64
from typing import Any

import pytest
from keyworld import World, backend, bucket, key

from moorage import conditions, keyslots, names
from moorage.actions import Create, MakeKey, RemoveKey
from moorage.model import Phase

MODELS = ("ns", "models")


def held(world: World) -> tuple[str, str]:
    """The key in the Secret."""
    data = (world.secret or {})["data"]
    parts = (data[names.SECRET_ACCESS_KEY_ID], data[names.SECRET_SECRET_ACCESS_KEY])
    access, half = (base64.b64decode(each).decode() for each in parts)
    return access, half


def reason(world: World, kind: str = conditions.PROVISIONED) -> str:
    found = conditions.find(world.told.conditions, kind)
    return found.reason if found else ""


@pytest.fixture
def world() -> World:
    made = World(key(overlap="1h"))
    made.settle()
    return made


# Making.


def test_what_will_be_made_is_written_first() -> None:
    world = World(key())

    step = world.step()

    assert step.actions == ()
    assert step.status.access_key_id == keyslots.access_key(world.key.metadata["uid"])
    assert step.status.phase == Phase.PROVISIONING
    assert step.status.placement and step.status.placement.backend == "object"


def test_the_engine_has_the_key_before_the_secret_does() -> None:
    world = World(key())
    world.step()

    step = world.plan()

    assert [type(each) for each in step.actions] == [MakeKey, Create]
    assert step.status.phase == Phase.READY


def test_a_converged_key_plans_nothing(world: World) -> None:
    step = world.plan()

    assert (step.actions, step.notices, step.status) == ((), (), world.told)
    assert world.users == dict([held(world)])


@pytest.mark.parametrize("acts", [0, 1, 2])
def test_a_death_while_it_is_made_leaves_one_key_that_the_secret_has(acts: int) -> None:
    world = World(key())
    world.step()

    world.step(acts)
    world.settle()

    assert world.users == dict([held(world)])
    assert held(world)[0] == world.told.access_key_id


def test_the_access_key_never_comes_from_the_secret(world: World) -> None:
    assert world.secret
    world.secret["data"][names.SECRET_ACCESS_KEY_ID] = base64.b64encode(b"SOMEBODYELSESACCESSK").decode()

    world.settle()

    assert "SOMEBODYELSESACCESSK" not in world.users
    assert held(world)[0] == world.told.access_key_id


def test_no_half_is_in_a_repr_or_a_status(world: World) -> None:
    world.change(rotate="1")
    steps = [world.step() for _ in range(3)]

    assert "half-" not in repr(steps) + repr(world.facts()) + str(world.told.dump())


# Rotating.


def test_the_old_key_lives_for_the_overlap_after_the_secret_has_the_new_one(world: World) -> None:
    old = held(world)
    world.change(rotate="leaked")
    world.settle()
    new = held(world)

    assert world.users == dict([old, new])
    world.later(minutes=59)
    world.settle()
    assert world.users == dict([old, new])
    world.later(minutes=2)
    world.settle()

    assert world.users == dict([new])
    assert [each for each in world.events if each.startswith("Key")] == ["KeyRotated", "KeyRevoked"]


def test_the_overlap_counts_from_when_the_secret_has_the_new_key(world: World) -> None:
    old = held(world)
    world.change(rotate="leaked")
    world.step()  # decided
    world.later(hours=5)  # and the operator was down
    world.settle()

    assert old[0] in world.users
    world.later(minutes=61)
    world.settle()
    assert old[0] not in world.users


@pytest.mark.parametrize("acts", [0, 1, 2])
def test_a_death_in_a_rotation_never_loses_the_old_key_or_makes_a_third(world: World, acts: int) -> None:
    old = held(world)
    world.change(rotate="leaked")
    world.step()

    world.step(acts)
    assert world.users.items() >= {old}
    world.settle()

    assert world.users == dict([old, held(world)])


@pytest.mark.parametrize("acts", [0, 1])
def test_a_death_in_a_revocation_revokes_in_the_end(world: World, acts: int) -> None:
    world.change(rotate="leaked")
    world.settle()
    world.later(hours=2)

    world.step(acts)
    world.settle()

    assert world.users == dict([held(world)])


def test_by_age_it_rotates_when_the_time_has_come_and_asks_for_that_look() -> None:
    world = World(key(rotateAfter="720h", overlap="1h"))
    world.settle()
    first = held(world)

    assert world.plan().requeue_after == 3600.0  # at most an hour ahead
    world.later(hours=719)
    world.settle()
    assert held(world) == first
    world.later(hours=1)
    world.settle()

    assert held(world)[0] == keyslots.access_key(world.key.metadata["uid"], 2)
    assert world.told.rotates_at == "2026-03-02T00:00:00.000000Z"


def test_a_second_rotation_waits_for_the_overlap_of_the_first(world: World) -> None:
    world.change(rotate="1")
    world.settle()
    world.change(rotate="2")
    world.settle()

    assert world.told.serial == 2
    world.later(hours=2)
    world.settle()
    assert world.told.serial == 3
    assert world.told.rotated == "2"


def test_a_shorter_overlap_ends_the_one_that_runs(world: World) -> None:
    world.change(rotate="1")
    world.settle()

    world.change(overlap="0s")
    world.settle()

    assert world.users == dict([held(world)])


def test_a_secret_that_was_removed_brings_a_new_key_and_the_old_one_overlaps(world: World) -> None:
    old = held(world)
    world.secret = None

    world.settle()

    assert world.users == dict([old, held(world)])
    assert held(world)[0] != old[0]


def test_a_half_that_somebody_chose_is_taken_over(world: World) -> None:
    assert world.secret
    chosen = "chosen-by-the-user-0001"
    world.secret["data"][names.SECRET_SECRET_ACCESS_KEY] = base64.b64encode(chosen.encode()).decode()

    world.step(works=False)

    assert world.users == {world.told.access_key_id: chosen}


# Buckets.


def test_what_it_opens_is_changed_in_place_and_both_buckets_policies_are_written(world: World) -> None:
    world.buckets["ns", "data"] = bucket("data")
    before = held(world)
    world.change(buckets=[{"name": "data", "access": "Admin"}])

    step = world.step()

    (make,) = (each for each in step.actions if isinstance(each, MakeKey))
    assert make.touched == (("ns", "data"), MODELS)
    assert [(each.bucket, each.access.value) for each in make.grants] == [("data-id", "Admin")]
    assert held(world) == before


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ({}, "BucketNotFound"),
        ({("other", "models"): bucket("models", "other")}, "NotShared"),
        ({("other", "models"): bucket("models", "other", share={"from": "Names", "names": ["third"]})}, "NotShared"),
    ],
)
def test_a_bucket_that_cannot_be_opened_is_waited_for(there: Any, why: str) -> None:
    world = World(key({"name": "models", "namespace": "other"}), buckets=there)

    step = world.step()

    assert (reason(world), step.status.phase, world.users) == (why, Phase.PENDING, {})


def test_a_bucket_of_another_namespace_is_opened_when_that_agrees() -> None:
    shared = bucket("models", "other", share={"from": "Names", "names": ["ns"]})
    world = World(key({"name": "models", "namespace": "other"}), buckets={("other", "models"): shared})

    world.settle()

    assert world.told.phase == Phase.READY


def test_with_one_bucket_of_two_gone_it_stays_ready_and_says_so(world: World) -> None:
    world.buckets["ns", "data"] = bucket("data")
    world.change(buckets=[{"name": "models"}, {"name": "data"}])
    world.settle()

    del world.buckets["ns", "data"]
    world.settle()

    assert world.told.phase == Phase.READY
    assert reason(world, conditions.HEALTHY) == "BucketNotFound"
    assert [each.name for each in world.told.buckets] == ["models"]


def test_with_its_only_bucket_gone_it_is_not_ready_and_comes_back_with_it(world: World) -> None:
    before = held(world)
    gone = world.buckets.pop(MODELS)
    world.settle()
    phase = world.told.phase
    world.buckets[MODELS] = gone
    world.settle()

    assert phase == Phase.PENDING
    assert (world.told.phase, held(world)) == (Phase.READY, before)


def test_buckets_on_two_backends_are_refused() -> None:
    there = {MODELS: bucket("models"), ("ns", "data"): bucket("data", place="second")}
    world = World(
        key({"name": "models"}, {"name": "data"}), buckets=there, backends=(backend(), backend(name="second"))
    )

    world.step()

    assert (world.told.phase, reason(world)) == (Phase.FAILED, "SeveralBackends")


def test_an_engine_that_does_not_answer_stops_nothing_that_works(world: World) -> None:
    world.backends = (backend("False"),)
    world.change(rotate="1")

    world.settle()

    assert world.told.phase == Phase.READY
    assert reason(world, conditions.HEALTHY) == "BackendNotReady"
    assert world.told.serial == 1


def test_an_engine_without_keys_is_refused_with_a_sentence() -> None:
    s3 = {"flavor": "s3", "endpoint": "http://s3:7070", "credentialsSecret": {"name": "r", "namespace": "m"}}
    plain = backend()
    engine = type(plain.spec.engine).model_validate({"s3": s3})
    plain = plain.model_copy(update={"spec": plain.spec.model_copy(update={"engine": engine})})
    world = World(key(), backends=(plain,))

    world.step()

    assert (world.told.phase, reason(world)) == (Phase.FAILED, "NotOffered")


# The end.


def test_a_revocation_is_said_first_and_then_done(world: World) -> None:
    world.change(revoked=True)

    said = world.step()
    done = world.step()

    assert (said.status.phase, said.actions) == (Phase.DESTROYING, ())
    assert isinstance(done.actions[0], RemoveKey)
    assert (world.users, world.secret, world.told.phase) == ({}, None, Phase.DESTROYED)
    assert world.told.access_key_id is None


def test_a_revocation_takes_both_slots_and_a_later_key_is_another(world: World) -> None:
    first = held(world)[0]
    world.change(rotate="1")
    world.settle()
    second = held(world)[0]
    world.change(revoked=True)
    world.settle()
    revoked = dict(world.users)
    world.change(revoked=False)
    world.settle()

    assert revoked == {}
    assert held(world)[0] not in (first, second)


def test_it_expires_whatever_was_rotated_and_lives_again_when_that_is_put_off() -> None:
    world = World(key(expireAfter="48h", rotateAfter="24h", overlap="1h"))
    world.settle()
    world.later(hours=25)
    world.settle()
    shown = world.told.expires_at
    world.later(hours=23)
    world.settle()
    ended = (dict(world.users), world.told.phase, reason(world))
    world.change(expireAfter="480h")
    world.settle()

    assert shown == "2026-01-03T00:00:00.000000Z"
    assert ended == ({}, Phase.DESTROYED, "Expired")
    assert world.told.phase == Phase.READY


def test_a_deleted_key_is_revoked_and_let_go(world: World) -> None:
    world.delete()

    world.step()
    last = world.step()

    assert last.finish
    assert (world.users, world.secret, world.told.phase) == ({}, None, Phase.DESTROYED)


def test_without_its_backend_a_deletion_ends_and_says_which_keys_remain(world: World) -> None:
    world.backends = ()
    access = held(world)[0]
    world.delete()
    world.step()

    last = world.step()

    assert last.finish
    assert [each.reason for each in last.notices] == ["KeyRemains", "Destroyed"]
    assert access in last.notices[0].message


def test_a_secret_of_another_is_neither_written_nor_removed() -> None:
    theirs = {"metadata": {"name": "mine-key", "namespace": "ns"}, "data": {}}
    world = World(key(), secret=theirs)
    world.settle()
    failed = (world.told.phase, reason(world))
    world.delete()
    world.step()
    world.step()

    assert failed == (Phase.FAILED, "SecretConflict")
    assert world.secret is theirs
