"""How a filer is mounted, and what mount.nfs4's words mean."""

import pytest

from moorage import filermount
from moorage.model import NfsEngine

ENGINE = NfsEngine(server="filer.example", path="/export/data", size="advisory")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            "mount.nfs4: mounting filer:/x failed, reason given by server: No such file or directory",
            "ExportNotFound",
        ),
        ("mount.nfs4: access denied by server while mounting filer:/x", "FilerRefused"),
        ("mount.nfs4: Operation not permitted for filer:/x on /mnt", "FilerRefused"),
        ("mount.nfs4: an incorrect mount option was specified", "FilerRefused"),
        ("mount.nfs4: Protocol not supported for filer:/x on /mnt", "FilerRefused"),
        ("mount.nfs4: Connection refused for filer:/x on /mnt", "FilerUnreachable"),
        ("mount.nfs4: Connection timed out for filer:/x on /mnt", "FilerUnreachable"),
        ("mount.nfs4: No route to host for filer:/x on /mnt", "FilerUnreachable"),
        ("mount.nfs4: Network is unreachable for filer:/x on /mnt", "FilerUnreachable"),
        ("mount.nfs4: Resource temporarily unavailable for filer:/x on /mnt", "FilerUnreachable"),
        ("mount.nfs4: Failed to resolve server filer: Name or service not known", "FilerUnreachable"),
    ],
)
def test_each_refusal_keeps_its_words_and_has_a_reason(words: str, reason: str) -> None:
    found = filermount.problem(ENGINE, words)

    assert found.reason == reason
    assert found.message.startswith("filer.example:/export/data")
    assert words.removeprefix("mount.nfs4: ") in found.message


def test_a_filer_that_is_silent_cannot_be_written_or_was_lost() -> None:
    found = [
        filermount.silent(ENGINE, 30),
        filermount.unwritable(ENGINE, "Permission denied"),
        filermount.lost(ENGINE, "Stale file handle"),
    ]

    assert [each.reason for each in found] == ["FilerUnreachable", "FilerRefused", "FilerUnreachable"]
    assert "no answer within 30 s" in found[0].message
    assert "no_root_squash" in found[1].message


def test_the_worker_gives_up_where_volumes_wait_and_reaches_the_filer_as_they_do() -> None:
    told = filermount.options(["vers=4.2", "port=2050", "hard", "nconnect=4", "ro", "timeo=600"])

    assert told.startswith("vers=4.2,port=2050,soft,timeo=30,")
    assert not {"hard", "nconnect=4", "ro", "timeo=600", "vers=4.1"} & set(told.split(","))
    assert filermount.options([]).startswith("vers=4.1,soft,")


def test_an_address_of_version_6_stands_in_brackets() -> None:
    assert filermount.source(NfsEngine(server="fd00::1", path="/", size="advisory")) == "[fd00::1]:/"
    assert filermount.source(ENGINE) == "filer.example:/export/data"
