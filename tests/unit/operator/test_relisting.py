"""What a listing of everything takes out of the index: only what was known before it and was not seen since."""

from collections.abc import AsyncIterator, Callable

import pytest

from moorage import names
from moorage.actions import Manifest
from moorage_operator.runtime import Operator
from moorage_operator.settings import Settings


class Server:
    """Lists nothing of what is in the index; `meanwhile` is what a watch shows while the pages of a kind come in."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[str], None] = lambda kind: None

    async def pages(self, api_version: str, kind: str, **_: str) -> AsyncIterator[list[Manifest]]:
        self.meanwhile(kind)
        yield []


def body(kind: str, uid: str) -> Manifest:
    metadata: Manifest = {"name": "one", "uid": uid, "resourceVersion": uid, "labels": {"a": "b"}}
    if kind != "Pod":
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata}
    inline = {"name": "d", "csi": {"driver": names.DRIVER, "volumeAttributes": {"volume": "data"}}}
    spec = {"nodeName": "node-1", "volumes": [inline]}
    return {"apiVersion": "v1", "kind": kind, "metadata": {**metadata, "namespace": "ns"}, "spec": spec}


def known(operator: Operator, kind: str) -> list[str]:
    return list(operator.index.known(kind))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def operator(server: Server) -> Operator:
    return Operator(server, Settings("moorage", "tester"))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["Pod", "Node", "Namespace"])
@pytest.mark.parametrize("deletion_seen", [True, False])
async def test_what_was_made_anew_under_its_name_during_a_listing_stays_known(
    server: Server, operator: Operator, kind: str, deletion_seen: bool
) -> None:
    operator.see(body(kind, "1"))

    def anew(listed: str) -> None:
        if listed == kind:
            if deletion_seen:
                operator.see(body(kind, "1"), deleted=True)
            operator.see(body(kind, "2"))

    server.meanwhile = anew
    await operator._list()
    after = known(operator, kind)
    server.meanwhile = lambda kind: None
    await operator._list()

    assert after == ["ns/one" if kind == "Pod" else "/one"]
    assert known(operator, kind) == []  # no watch has shown it since
