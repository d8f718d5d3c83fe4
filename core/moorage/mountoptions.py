"""Attributes and options of mounts, checked against what is allowed. Pure."""

import re
from collections.abc import Iterable, Mapping

from moorage.errors import InvalidInput

_PASSWORD = re.compile("//[^/]*@")  # user and password in a URL, never told


def options(given: Iterable[str], allowed: Mapping[str, str | None], program: str) -> tuple[str, ...]:
    """`given` if each is in `allowed` with a fitting value; raises InvalidInput that names the first that is not."""
    checked = tuple(given)
    for option in checked:
        key, equals, value = option.partition("=")
        pattern = allowed.get(key)
        fits = key in allowed and (not equals if pattern is None else re.fullmatch(pattern, value) is not None)
        if not fits:
            shown = option if key in allowed else key[:64]  # the value of an unknown one may be a secret
            raise InvalidInput(f"{program} mount option {shown!r} is not among those that Moorage allows")
    return checked


def only(attributes: Mapping[str, str], *known: str) -> None:
    """Raises InvalidInput when there are others."""
    unknown = sorted(set(attributes) - set(known))
    if unknown:
        raise InvalidInput(f"volume attributes {', '.join(unknown)} are not known; allowed: {', '.join(known)}")


def matching(attributes: Mapping[str, str], key: str, pattern: re.Pattern[str], wanted: str) -> str:
    """The attribute's value; raises InvalidInput that says what is `wanted` when it does not fit."""
    value = attributes.get(key, "")
    if not pattern.fullmatch(value):
        raise InvalidInput(f"volume attribute {key} {_PASSWORD.sub('//***@', value)!r} is not {wanted}")
    return value


def split(text: str) -> tuple[str, ...]:
    return tuple(option for option in text.split(",") if option)


def flatten(flags: Iterable[str]) -> tuple[str, ...]:
    return tuple(option for flag in flags for option in split(flag))


def merged(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    """Both, without the ones of `first` whose key `second` sets again."""
    later = tuple(second)
    keys = {option.partition("=")[0] for option in later}
    return (*(option for option in first if option.partition("=")[0] not in keys), *later)
