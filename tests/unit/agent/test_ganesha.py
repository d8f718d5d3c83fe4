"""Ganesha's configuration, and what its answers mean."""

from dataclasses import replace

import pytest

from moorage import ganesha
from moorage.errors import InvalidInput
from moorage.ganesha import Export, Server
from moorage.model import Squash

EXPORT = Export(7, "/export/abc", "/vol/abc", ("10.0.0.1", "10.1.0.0/16"))


def test_main_config_speaks_only_nfs_4_1_and_4_2_without_rpcbind() -> None:
    text = ganesha.render_main(Server("/pool/recovery", "/run/exports.conf", 12049))

    for line in (
        "Protocols = 4; NFS_Port = 12049; MNT_Port = 0; NLM_Port = 0; Rquota_Port = 0;",
        "Minor_Versions = 1, 2;",
        "Lease_Lifetime = 6; Grace_Period = 30;",
        "Expired_Client_Threshold = 256; Max_Alive_Time_For_Expired_Client = 300;",
        'RecoveryBackend = fs; RecoveryRoot = "/pool/recovery";',
        "Blocking_Locks = false;",
        "Only_Numeric_Owners = true; Delegations = false;",
        "Allow_Set_Io_Flusher_Fail = true;",
        "fsid_device = false;",
        '%include "/run/exports.conf"',
    ):
        assert line in text


def test_export_block_admits_its_clients_and_nobody_else() -> None:
    text = ganesha.render_export(EXPORT)

    assert "Export_Id = 7; Filesystem_Id = 7.7;" in text
    assert 'Path = "/export/abc"; Pseudo = "/vol/abc";' in text
    nobody = "Anonymous_Uid = 65534; Anonymous_Gid = 65534;"
    assert f"    Access_Type = None; Squash = None; {nobody}" in text
    assert f"CLIENT {{ Clients = 10.0.0.1, 10.1.0.0/16; Access_Type = RW; Squash = None; {nobody} }}" in text


@pytest.mark.parametrize(
    ("squash", "option"), [(Squash.none, "None"), (Squash.Root, "Root_Squash"), (Squash.All, "All_Squash")]
)
def test_squash_is_said_in_ganeshas_words_for_the_export_and_its_clients(squash: Squash, option: str) -> None:
    text = ganesha.render_export(replace(EXPORT, squash=squash))

    said = f"Squash = {option}; Anonymous_Uid = 65534; Anonymous_Gid = 65534;"
    assert text.count(said) == 2
    assert text.count("Squash = ") == 2


def test_without_clients_an_export_admits_nobody() -> None:
    text = ganesha.render_export(replace(EXPORT, clients=()))

    assert "CLIENT" not in text
    assert text.count("Access_Type = None;") == 1


def test_exports_file_is_ordered_by_id() -> None:
    second = Export(9, "/export/x", "/vol/x", ("10.0.0.1",))

    text = ganesha.render_exports({9: second, 7: EXPORT})

    assert text.index("Export_Id = 7") < text.index("Export_Id = 9")


@pytest.mark.parametrize("export_id", [-1, 0, 65536])
def test_export_id_out_of_range_is_refused(export_id: int) -> None:
    with pytest.raises(InvalidInput, match=r"not within 1\.\.65535"):
        ganesha.render_export(Export(export_id, "/a", "/b", ("10.0.0.1",)))


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("plain", '"plain"'),
        ('a"b', '"a\\"b"'),
        ("a\\b", '"a\\\\b"'),
        ("a; } EXPORT {", '"a; } EXPORT {"'),
        ("ü", '"ü"'),
    ],
)
def test_strings_are_quoted(text: str, literal: str) -> None:
    assert ganesha.quoted(text) == literal


@pytest.mark.parametrize("text", ["a\nb", "a\x00", "\x7f"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="control character"):
        ganesha.quoted(text)


def test_clients_are_canonical_sorted_and_unique() -> None:
    found = ganesha.client_list(["10.0.0.10", "10.0.0.9", "fd00::0:1", "10.0.0.9"], [" 192.168.1.7/16 "])

    assert found == ("10.0.0.9", "10.0.0.10", "192.168.0.0/16", "fd00::1")


@pytest.mark.parametrize("text", ["node-1", "*", "@netgroup", "10.0.0.1; } EXPORT {", "", "10.0.0.0/33"])
def test_what_is_no_address_is_refused_as_client(text: str) -> None:
    with pytest.raises(InvalidInput, match="neither an IP address nor a CIDR"):
        ganesha.client_list([text])


FLAGS = [False, 0]
SIGNATURES = {
    "6.5: 8 x (sb), (tt)": [*[FLAGS] * 8, [1, 2]],
    "9.14: 8 x (sb), t, (tt)": [*[FLAGS] * 8, 3, [1, 2]],
    "15.2: 7 x (sb), t, (tt)": [*[FLAGS] * 7, 3, [1, 2]],
}


@pytest.mark.parametrize("rest", SIGNATURES.values(), ids=SIGNATURES.keys())
def test_exports_are_read_whatever_the_version_adds(rest: list[object]) -> None:
    body = [[1, 2], [[0, "/", *rest], [7, "/export/abc", *rest]]]

    assert ganesha.read_exports(body) == {0: "/", 7: "/export/abc"}


@pytest.mark.parametrize(
    ("used", "start", "expected"),
    [
        ([], 1, 1),
        ([1, 2, 4], 1, 3),
        ([1], 5, 5),  # 2 is free but was used not long ago
        ([65535], 65535, 1),
        ([1, 65535], 65535, 2),
    ],
)
def test_next_export_id_goes_round_past_the_used_ones(used: list[int], start: int, expected: int) -> None:
    assert ganesha.next_export_id(used, start) == expected


def test_a_full_server_says_so() -> None:
    with pytest.raises(InvalidInput, match="add another server"):
        ganesha.next_export_id(range(1, 65536), 1)


@pytest.mark.parametrize(
    ("record", "stranger"),
    [
        ("::ffff:10.0.0.1-(15:Linux NFSv4.1 x)", False),
        ("::ffff:10.0.0.2-(15:Linux NFSv4.1 x)", True),
        ("10.1.2.3-(15:Linux NFSv4.1 x)", False),
        ("fd00::1-(15:Linux NFSv4.1 x)", False),
        ("fd00::2-(15:Linux NFSv4.1 x)", True),
        ("something else", False),
        ("", False),
    ],
)
def test_a_client_that_no_export_admits_is_a_stranger(record: str, stranger: bool) -> None:
    assert ganesha.is_stranger(record, ("10.0.0.1", "10.1.0.0/16", "fd00::1")) is stranger
