"""What a claim asks for becomes a StorageVolume, or is refused."""

from typing import Any

import pytest

from moorage import model
from moorage.errors import AlreadyExists, InvalidInput, OutOfRange
from moorage_csi.request import GIB, MAX_BYTES, MIB, SMALLEST, Range, Wanted, capacity_of

SHARED = {"type": "shared"}


def test_the_bounds_are_those_of_the_api() -> None:
    assert (SMALLEST, MAX_BYTES) == (model.MIN_SIZE, model.MAX_SIZE)


@pytest.mark.parametrize(
    ("required", "limit", "size"),
    [
        (0, 0, GIB),
        (GIB, 0, GIB),
        (1, 0, 256 * MIB),
        (GIB + 1, 0, GIB + MIB),
        (300 * MIB - 5, 300 * MIB, 300 * MIB),
        (0, 500 * MIB + 7, 500 * MIB),
        (0, 2 * GIB, GIB),
        (0, 256 * MIB, 256 * MIB),
    ],
)
def test_sizes_are_whole_mebibytes_within_the_range(required: int, limit: int, size: int) -> None:
    assert Range(required, limit).size() == size


@pytest.mark.parametrize(("required", "limit"), [(1, 255 * MIB), (0, MIB), (300 * MIB - 5, 300 * MIB - 1), (0, 1)])
def test_a_limit_that_no_volume_fits_in_is_out_of_range(required: int, limit: int) -> None:
    with pytest.raises(OutOfRange, match="limit_bytes"):
        Range(required, limit).size()


@pytest.mark.parametrize(("required", "limit"), [(2 * GIB, GIB), (-1, 0), (0, -1), (2**62 + 1, 0)])
def test_an_impossible_range_is_out_of_range(required: int, limit: int) -> None:
    with pytest.raises(OutOfRange):
        Range(required, limit)


def _wanted(request: str = "pvc-1", required: int = GIB, limit: int = 0, **parameters: str) -> Wanted:
    return Wanted.parse(request, SHARED | parameters, Range(required, limit), "moorage")


def _stored(wanted: Wanted) -> dict[str, Any]:
    return wanted.manifest()


def test_a_shared_claim_becomes_a_volume_in_the_namespace_of_its_claim() -> None:
    parameters = {"backend": "fast", "csi.storage.k8s.io/pvc/namespace": "team", "csi.storage.k8s.io/pvc/name": "c"}
    manifest = _wanted("pvc-0b1c", 5 * GIB, **parameters).manifest()
    assert (manifest["metadata"]["namespace"], manifest["metadata"]["name"]) == ("team", "pvc-0b1c")
    assert manifest["spec"] == {"type": "shared", "size": "5Gi", "backend": "fast", "claim": "None"}


def test_an_object_claim_has_no_size_but_remembers_what_was_asked() -> None:
    manifest = _wanted(type="object", required=3 * GIB).manifest()
    assert manifest["spec"] == {"type": "object", "claim": "None"}
    assert capacity_of(manifest) == 3 * GIB


def test_without_a_claims_namespace_the_drivers_own_is_taken() -> None:
    assert _wanted().namespace == "moorage"


def test_a_name_of_any_kind_becomes_a_valid_one() -> None:
    assert _wanted("A Name / with ünicode").name.startswith("v-")
    assert len(_wanted("x" * 128).name) <= 46


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [({"type": "fast"}, "one of shared, object, local"), ({"type": ""}, "one of"), ({"server": "1.2.3.4"}, "server")],
)
def test_bad_class_parameters_are_refused(parameters: dict[str, str], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        _wanted(**parameters)


@pytest.mark.parametrize(("required", "limit"), [(GIB, 0), (GIB, GIB), (1, 0), (0, 0), (512 * MIB, 2 * GIB)])
def test_the_same_claim_again_fits_what_it_made(required: int, limit: int) -> None:
    _wanted(required=required, limit=limit).check_same(_stored(_wanted(required=GIB)))


@pytest.mark.parametrize(
    "other",
    [
        _wanted(required=2 * GIB),
        _wanted(required=1, limit=512 * MIB),
        _wanted(type="object"),
        _wanted(backend="other"),
    ],
)
def test_another_claim_of_the_same_name_does_not_fit(other: Wanted) -> None:
    with pytest.raises(AlreadyExists):
        other.check_same(_stored(_wanted(required=GIB)))


def test_a_volume_that_a_user_made_is_not_taken_over() -> None:
    volume = _stored(_wanted())
    del volume["metadata"]["annotations"]
    with pytest.raises(AlreadyExists, match="not made by this claim"):
        _wanted().check_same(volume)
