"""The size of a volume: how small and how large it may be, and that it only grows."""

from moorage import quantity
from moorage.model.base import Rule

MIN_SIZE = 256 * 2**20  # bytes; XFS wants 300 MiB, and the image adds 64 MiB for its log
MAX_SIZE = 2**56  # bytes; keeps every size exact in an int64 and in `Size`

_LOW, _HIGH = quantity.format(MIN_SIZE), quantity.format(MAX_SIZE)
TOO_SMALL = f"size must be at least {_LOW}: ask for more"
TOO_LARGE = f"size must be at most {_HIGH}: ask for less"
ONLY_GROWS = "size only grows: for less, make a smaller StorageVolume and copy the data"
NO_SIZE = "remove size: an object volume has none, it is as large as its bucket"


def _size(comparison: str, message: str) -> Rule:
    guard = f"!has(self.size) || !self.size.matches(r'{quantity.PATTERN}')"  # that has a sentence of its own
    return Rule(rule=f"{guard} || {comparison}", message=message, field_path=".size")


SIZE_RULES: tuple[Rule, ...] = (
    Rule(rule="self.type == 'object' || has(self.size)", message="a shared or local volume needs size, such as 500Gi"),
    Rule(rule="self.type != 'object' || !has(self.size)", message=NO_SIZE, field_path=".size"),
    _size(f"quantity(self.size).compareTo(quantity('{_LOW}')) >= 0", TOO_SMALL),
    _size(f"quantity(self.size).compareTo(quantity('{_HIGH}')) <= 0", TOO_LARGE),
    _size(
        "!has(oldSelf.size) || !isQuantity(oldSelf.size) || quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
        ONLY_GROWS,
    ),
)
