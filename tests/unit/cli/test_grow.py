"""`moor grow`: what is asked, what is waited for, what is refused, and with which words and exit codes."""

from typing import Any

import pytest

from moorage.errors import DeadlineExceeded, InvalidInput, MoorageError, NoCapacity, NotFound, OutOfRange, Retry
from moorage_cli import grow as growing
from moorage_cli.__main__ import parser
from moorage_cli.grow import grow

GI = 2**30


class Volumes:
    """A StorageVolume that has what `shown` says, one look after the other; the last one stays."""

    def __init__(self, *shown: Any, size: str | None = "5Gi", type: str = "shared") -> None:
        self.shown, self.size, self.type = list(shown), size, type
        self.asked: list[str] = []

    def _body(self) -> dict[str, Any]:
        has, reason = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        resized = {"type": "Resized", "status": "x", "reason": reason, "message": f"{reason} it is"}
        resized |= {"status": "True" if reason == "Resized" else "False", "lastTransitionTime": "t"}
        status = {"share": {"state": "Served", "server": "nfs-0", "sizeBytes": has * GI}, "conditions": [resized]}
        spec = {"type": self.type} | ({"size": self.size} if self.size else {})
        return {"metadata": {"name": "data", "namespace": "ns", "uid": "1"}, "spec": spec, "status": status}

    async def get(self, namespace: str, name: str) -> dict[str, Any]:
        if (namespace, name) != ("ns", "data"):
            raise NotFound("404")
        body = self._body()
        if body["status"]["share"]["sizeBytes"] < 0:
            raise Retry("no answer")
        return body

    async def grow(self, namespace: str, name: str, size: str) -> dict[str, Any]:
        self.asked.append(size)
        self.size = size
        return self._body()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(growing, "PATIENCE_WITH_TROUBLE", 0.0)


async def told(volumes: Volumes, size: str = "9Gi", name: str = "data", patience: float = 5.0) -> list[str]:
    said: list[str] = []
    await grow(volumes, "ns", name, size, patience, said.append)
    return said


async def test_it_asks_once_and_waits_until_df_shows_it() -> None:
    volumes = Volumes((5, "Resized"), (5, "Resized"), (5, "Resizing"), (-1, "Resizing"), (9, "Resized"))

    assert await told(volumes) == ["data has 9Gi now, and had 5Gi"]
    assert volumes.asked == ["9Gi"]


async def test_what_it_has_already_is_not_asked_for() -> None:
    volumes = Volumes((5, "Resized"))

    assert await told(volumes, "5Gi") == ["data has 5Gi already"]
    assert volumes.asked == []


REFUSED = {
    "a shrink": (
        "4Gi",
        {},
        OutOfRange,
        "size only grows: for less, make a smaller StorageVolume and copy the data",
    ),
    "no unit": ("500", {}, OutOfRange, "size must be at least 256Mi: ask for more"),
    "a word": ("big", {}, InvalidInput, "'big' is not a size: write a whole number and a unit, such as 500Gi"),
    "zero": ("0", {}, InvalidInput, "'0' is not a size"),
    "negative": ("-1Gi", {}, InvalidInput, "'-1Gi' is not a size"),
    "too little": ("1Ki", {}, OutOfRange, "size must be at least 256Mi"),
    "too much": ("100Pi", {}, OutOfRange, "size must be at most 64Pi: ask for less"),
    "a unit that is none": ("10Ei", {}, InvalidInput, "'10Ei' is not a size"),
    "a bucket": (
        "9Gi",
        {"type": "object", "size": None},
        InvalidInput,
        "remove size: an object volume has none, it is as large as its bucket",
    ),
}


@pytest.mark.parametrize(("size", "fields", "error", "sentence"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_cannot_be_is_refused_before_it_is_asked(
    size: str, fields: dict[str, Any], error: type[MoorageError], sentence: str
) -> None:
    volumes = Volumes((5, "Resized"), **fields)

    with pytest.raises(error, match=sentence.replace("(", "[(]")):
        await told(volumes, size)

    assert volumes.asked == []


async def test_a_volume_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match="there is no StorageVolume other in namespace ns: try -n NAMESPACE"):
        await told(Volumes((5, "Resized")), name="other")


async def test_a_full_backend_is_told_and_the_size_stays_asked() -> None:
    volumes = Volumes((5, "Resized"), (5, "Resized"), (5, "NoCapacity"))

    with pytest.raises(NoCapacity, match=r"NoCapacity it is[.] The size asked stays asked"):
        await told(volumes)

    assert volumes.size == "9Gi"


async def test_after_its_time_it_says_how_to_look_on() -> None:
    with pytest.raises(DeadlineExceeded, match="data has 5Gi after 0 s; it goes on growing by itself: kubectl -n ns"):
        await told(Volumes((5, "Resizing")), patience=0.0)


def test_the_command_line() -> None:
    options = parser().parse_args(["grow", "data", "1Ti", "-n", "research"])

    assert (options.command, options.volume, options.size, options.namespace) == ("grow", "data", "1Ti", "research")
    assert (options.timeout, options.context) == (60.0, None)
    with pytest.raises(SystemExit) as wrong:
        parser().parse_args(["grow", "data"])
    assert wrong.value.code == 2
