"""Names: short, valid, and the same every time."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from moorage import names
from moorage.errors import InvalidInput
from moorage.names import VolumeHandle

NAMESPACES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
VOLUMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", fullmatch=True)
UIDS = st.uuids().map(str)


@given(UIDS)
def test_a_short_id_is_eight_plain_characters(uid: str) -> None:
    assert re.fullmatch("[a-km-np-z2-9]{8}", names.short_id(uid))


def test_a_short_id_stays_the_same_from_version_to_version() -> None:
    assert names.short_id("4cdf7b91-c63c-4d86-bb79-ad92579ecf93") == "sn9tdc4w"


def test_short_ids_of_many_volumes_differ() -> None:
    assert len({names.short_id(str(uuid4())) for _ in range(10_000)}) == 10_000


@given(NAMESPACES, VOLUMES, UIDS)
def test_a_handle_reads_back_and_fits_into_a_csi_volume_id(namespace: str, name: str, uid: str) -> None:
    handle = VolumeHandle(namespace, name, names.short_id(uid))

    assert VolumeHandle.parse(str(handle)) == handle
    assert len(str(handle)) <= 128


@pytest.mark.parametrize("text", ["", "a", "a/b", "a/b/c/d", "/b/c", "a//c", "a/b/", "//"])
def test_a_handle_of_another_driver_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not of the form namespace/name/id"):
        VolumeHandle.parse(text)


@given(st.text(max_size=128))
@example("")
@example("ab")
@example("a--b")
@example("-a-")
@example("pvc-")
@example("PVC-1")
@example("abc\n")
@example("v" * 53)
@example("192.168.1.1")
def test_every_request_gets_a_name_that_a_volume_and_its_bucket_may_have(request: str) -> None:
    name = names.volume_name_for(request)

    assert re.fullmatch(names.LABEL_PATTERN, name)
    assert re.fullmatch(names.BUCKET_PATTERN, name)
    assert 3 <= len(name) <= names.NAME_MAX
    assert names.volume_name_for(request) == name


def test_the_provisioners_own_names_are_kept() -> None:
    request = "pvc-4cdf7b91-c63c-4d86-bb79-ad92579ecf93"

    assert names.volume_name_for(request) == request


@given(st.lists(st.text(max_size=128), unique=True, min_size=2, max_size=20))
def test_different_requests_get_different_names(requests: list[str]) -> None:
    assert len({names.volume_name_for(each) for each in requests}) == len(requests)


@given(VOLUMES, UIDS)
def test_names_made_from_names_are_valid_too(name: str, uid: str) -> None:
    bucket = f"{name}-{names.short_id(uid)}"

    assert len(bucket) <= 63
    assert re.fullmatch(names.LABEL_PATTERN, names.bucket_secret(name))
    assert re.fullmatch(names.LABEL_PATTERN, names.persistent_volume(names.short_id(uid)))
