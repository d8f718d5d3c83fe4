"""Kubernetes quantities of bytes ("500Gi", "1G", "1073741824") to int and back."""

import re

from moorage.errors import InvalidInput

_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
PATTERN = r"^[1-9][0-9]{0,16}(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
_QUANTITY = re.compile(PATTERN)


def parse(text: str) -> int:
    """Bytes in a quantity; raises InvalidInput for anything that is not a whole positive number of them."""
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise InvalidInput(f"{text!r} is not a size: write a whole number and a unit, such as 500Gi")
    unit = match.group(1) or ""
    return int(text.removesuffix(unit)) * _UNITS[unit]


def format(size: int) -> str:
    """The shortest exact quantity of `size` bytes (0 or more), with a binary unit where one divides it."""
    for unit in ("Pi", "Ti", "Gi", "Mi", "Ki"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def rounded(size: int) -> str:
    """`size` bytes for people: rounded down, in the largest binary unit that still leaves two digits ("84Gi")."""
    unit = next((unit for unit in ("Pi", "Ti", "Gi", "Mi", "Ki") if size >= 10 * _UNITS[unit]), "")
    return f"{size // _UNITS[unit]}{unit}"
