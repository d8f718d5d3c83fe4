"""What the environment says, and what is said in status.share."""

from dataclasses import replace
from pathlib import Path

import pytest

from moorage.errors import InvalidInput
from moorage.ganesha import Export
from moorage.model import Share, ShareState, VolumeOnDelete
from moorage.record import Record
from moorage.share import Seen, Wanted
from moorage_operator.agent.report import share_status
from moorage_operator.agent.settings import Settings

POD = {"POD_NAME": "moorage-nfs-0", "POD_NAMESPACE": "storage"}
WANTED = Wanted("abc", "default", "data", "uid", 2**30)
RECORD = Record(id="abc", namespace="default", name="data", uid="uid", export_id=7, size=2**30)
SERVED = Seen(RECORD, 2**30, 2**30, True, Export(7, "/export/abc", "/vol/abc", ("10.0.0.1",)))
SETTINGS = Settings.read(POD)


def test_defaults() -> None:
    assert SETTINGS.address == "moorage-nfs-0.storage.svc.cluster.local"
    assert (SETTINGS.stateful_set, SETTINGS.pool, SETTINGS.http_port) == ("moorage-nfs", Path("/pool"), 8081)


def test_extra_clients_are_read_as_networks() -> None:
    assert Settings.read({**POD, "MOORAGE_NFS_EXTRA_CLIENTS": "10.1.0.0/16, 10.0.0.1"}).extra_clients == (
        "10.0.0.1",
        "10.1.0.0/16",
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"POD_NAME": "x"}, "POD_NAMESPACE is not set"),
        ({**POD, "MOORAGE_NFS_EXTRA_CLIENTS": "everyone"}, "neither an IP address nor a CIDR"),
        ({**POD, "MOORAGE_HTTP_PORT": "http"}, "MOORAGE_HTTP_PORT='http' is not a port"),
    ],
)
def test_bad_environment_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Settings.read(environ)


def test_served() -> None:
    assert share_status(SETTINGS, WANTED, SERVED, "", "") == Share(
        state=ShareState.Served,
        server="moorage-nfs-0",
        address="moorage-nfs-0.storage.svc.cluster.local",
        path="/vol/abc",
        export_id=7,
        size_bytes=2**30,
    )


def test_a_share_whose_group_has_no_node_is_served_and_says_so() -> None:
    assert SERVED.exported
    alone = replace(SERVED, exported=replace(SERVED.exported, clients=()))

    found = share_status(SETTINGS, WANTED, alone, "", "")

    assert (found.state, found.reason, found.size_bytes) == (ShareState.Served, "NoNodes", 2**30)
    assert "no node matches the nodeSelector" in found.message


def test_a_share_that_cannot_grow_is_served_and_says_why() -> None:
    found = share_status(SETTINGS, WANTED, SERVED, "NoCapacity", "the pool is full")

    assert (found.state, found.reason, found.size_bytes) == (ShareState.Served, "NoCapacity", 2**30)


def test_a_share_that_cannot_be_made_has_failed() -> None:
    found = share_status(SETTINGS, WANTED, Seen(), "NoCapacity", "the pool is full")

    assert (found.state, found.reason, found.size_bytes) == (ShareState.Failed, "NoCapacity", 0)


def test_a_share_that_was_lost_keeps_the_export_id_that_proves_it_existed() -> None:
    served_before = replace(WANTED, export_id=7)

    found = share_status(SETTINGS, served_before, Seen(), "ShareMissing", "is this the right pool?")

    assert (found.state, found.export_id, found.size_bytes) == (ShareState.Failed, 7, 0)


def test_released_is_said_only_when_it_is_done() -> None:
    released = Wanted("abc", "default", "data", "uid", 2**30, deleting=True, release=VolumeOnDelete.Delete)

    assert share_status(SETTINGS, released, Seen(), "", "").state is ShareState.Released
    assert share_status(SETTINGS, released, SERVED, "OSError", "busy").state is ShareState.Failed
