"""Sizes: text to bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage import model, quantity
from moorage.errors import InvalidInput

SIZES = st.integers(min_value=1, max_value=model.MAX_SIZE)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1073741824", 2**30),
        ("1k", 1000),
        ("1Ki", 1024),
        ("256Mi", 256 * 2**20),
        ("1G", 10**9),
        ("500Gi", 500 * 2**30),
        ("2T", 2 * 10**12),
        ("64Pi", 2**56),
    ],
)
def test_parses(text: str, size: int) -> None:
    assert quantity.parse(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "01", "1.5Gi", "1GB", "1 Gi", " 1Gi", "1Gi\n", "Gi", "1gi", "1e3", "1Ei", "one", "1" * 18]
)
def test_refuses_with_what_to_write(text: str) -> None:
    with pytest.raises(InvalidInput, match="write a whole number and a unit, such as 500Gi"):
        quantity.parse(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (1, "1"), (1023, "1023"), (1024, "1Ki"), (1536, "1536"), (3 * 2**29, "1536Mi"), (2**40, "1Ti")],
)
def test_formats_exactly(size: int, text: str) -> None:
    assert quantity.format(size) == text


@given(SIZES)
def test_every_size_survives_formatting(size: int) -> None:
    assert quantity.parse(quantity.format(size)) == size


@given(SIZES)
def test_every_formatted_size_is_one_that_the_schema_accepts(size: int) -> None:
    text = quantity.format(size)

    assert model.StorageVolumeSpec(type=model.VolumeType.shared, size=text).size == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (9, "9"),
        (10239, "10239"),
        (10240, "10Ki"),
        (84 * 2**30 + 123, "84Gi"),
        (2**40, "1024Gi"),
        (20 * 2**40 - 1, "19Ti"),
    ],
)
def test_rounds_down_for_people(size: int, text: str) -> None:
    assert quantity.rounded(size) == text


@given(st.integers(min_value=0, max_value=2**62))
def test_rounding_promises_no_room_that_is_not_there_and_hides_at_most_a_tenth(size: int) -> None:
    shown = quantity.rounded(size)

    promised = 0 if shown == "0" else quantity.parse(shown)
    assert size * 10 // 11 <= promised <= size
