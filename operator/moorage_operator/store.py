"""The objects of one kind as the watches have shown them, made small."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from moorage.actions import Manifest

Name = tuple[str, str]  # namespace ("" if cluster-scoped), name
REMEMBERED = 1024  # deletions


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One object that wants reconciling."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Store:
    """The objects of one kind, newest version of each."""

    def __init__(self) -> None:
        self._items: dict[Name, Manifest] = {}
        self._gone: dict[str, int] = {}  # uid -> version of its deletion

    def __len__(self) -> int:
        return len(self._items)

    def get(self, namespace: str, name: str) -> Manifest | None:
        return self._items.get((namespace, name))

    def values(self) -> list[Manifest]:
        return list(self._items.values())

    def put(self, body: Manifest) -> bool:
        """False for something older than what is known.

        Our own write may be answered after the watch has shown more, were it the deletion.
        """
        key, known = name_of(body), self._items.get(name_of(body))
        if self._gone.get(body["metadata"]["uid"], -1) >= version(body):
            return False
        if known and known["metadata"]["uid"] == body["metadata"]["uid"] and version(known) > version(body):
            return False
        self._items[key] = slim(body)
        return True

    def bodies(self) -> dict[str, Manifest]:
        """By uid."""
        return {each["metadata"]["uid"]: each for each in self._items.values()}

    def drop(self, body: Manifest) -> None:
        """The object with this uid is gone, as a watch said (in a newer version than is known) or a list did not."""
        uid, known = body["metadata"]["uid"], self._items.get(name_of(body))
        if known is None or version(body) > version(known):
            self._gone[uid] = version(body)
            if len(self._gone) > REMEMBERED:
                del self._gone[next(iter(self._gone))]
        if known and known["metadata"]["uid"] == uid:
            del self._items[name_of(body)]


def name_of(body: Manifest) -> Name:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def version(body: Manifest) -> int:
    """Resource versions of one kind on one server grow (a promise of the API since Kubernetes 1.35, true before)."""
    return int(body["metadata"]["resourceVersion"])


def slim(body: Manifest) -> Manifest:
    """Without what nobody reads (half of an object is managedFields), and with one copy of what all objects have."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return _shared({**body, "metadata": metadata})


def _shared(value: Any) -> Any:
    """Each object comes with strings of its own for the same names, reasons and messages."""
    match value:
        case dict():
            return {_one(key): _shared(each) for key, each in cast(Manifest, value).items()}
        case list():
            return [_shared(each) for each in cast(list[Any], value)]
        case str():
            return _one(value)
        case _:
            return value


@lru_cache(8192)
def _one(text: str) -> str:
    """The copy that was met first. Not sys.intern: what that is given stays for good in Python 3.12."""
    return text


def key_of(body: Manifest) -> Key:
    return Key(body["kind"], *name_of(body))
