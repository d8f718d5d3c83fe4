"""Ways to an engine: addresses, styles, certificates, paths."""

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fault
import pytest
import s3engine

from harness.ports import free_ports
from moorage.errors import InvalidInput
from moorfs.ports import StoreError
from moorfs.s3.endpoint import Endpoint, endpoint_of
from moorfs.s3.store import S3Store


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3engine.Engine]:
    """TLS, virtual-host style beneath s3.test, and IPv6 too."""
    home = tmp_path_factory.mktemp("secure")
    port = free_ports(1)[0]
    more = ("--virtual-domain=s3.test", f"--port=[::1]:{port}")
    with s3engine.running(home, True, more) as found:
        found.six = port  # type: ignore[attr-defined]
        yield found


@pytest.mark.parametrize(
    ("url", "path_style", "expected"),
    [
        ("http://s3:7070", True, Endpoint(False, "s3", 7070, "s3", "s3:7070", "/b")),
        ("http://s3", True, Endpoint(False, "s3", 80, "s3", "s3", "/b")),
        ("https://s3/", False, Endpoint(True, "b.s3", 443, "b.s3", "b.s3", "")),
        ("https://s3:443/s3/", True, Endpoint(True, "s3", 443, "s3", "s3", "/s3/b")),
        ("http://[::1]:51080/s3", True, Endpoint(False, "::1", 51080, "::1", "[::1]:51080", "/s3/b")),
    ],
)
def test_an_endpoint_says_where_and_how(url: str, path_style: bool, expected: Endpoint) -> None:
    assert endpoint_of(url, "b", path_style) == expected


@pytest.mark.parametrize("url", ["s3:7070", "", "ftp://s3", "http://", "http://s3:port", "http://[::1"])
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is no URL"):
        endpoint_of(url, "b")


def test_virtual_host_style_and_a_given_address(make_store: Callable[..., S3Store], secure: s3engine.Engine) -> None:
    bucket = secure.bucket()
    store = make_store(
        secure, bucket=bucket, endpoint=f"https://s3.test:{secure.port}", path_style=False, address="127.0.0.1"
    )

    store.put("a/b", b"x", {})

    assert secure.s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"x"
    assert [each.key for each in store.list("a/").objects] == ["a/b"]


def test_ipv6(make_store: Callable[..., S3Store], secure: Any) -> None:
    bucket = secure.bucket()
    store = make_store(secure, bucket=bucket, endpoint=f"https://[::1]:{secure.six}")

    store.put("k", b"x", {})

    assert store.get("k")[1] == b"x"


def test_a_certificate_of_another_ca_is_refused_and_the_ca_may_be_replaced(
    make_store: Callable[..., S3Store], secure: s3engine.Engine, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    s3engine.certify(other)
    store = make_store(secure, bucket=secure.bucket(), ca_file=str(other / "ca.crt"))

    with pytest.raises(StoreError, match="CA file does not fit") as refused:
        store.list("")
    shutil.copy(secure.ca, other / "ca.crt")
    store.put("k", b"x", {})

    assert refused.value.errno == errno.EIO


def test_a_certificate_for_another_name_is_refused(make_store: Callable[..., S3Store], secure: s3engine.Engine) -> None:
    store = make_store(
        secure, bucket=secure.bucket(), endpoint=f"https://elsewhere.example:{secure.port}", address="127.0.0.1"
    )

    with pytest.raises(StoreError, match=r"elsewhere\.example.*CA file does not fit"):
        store.list("")


def test_a_ca_file_without_certificates_is_refused_at_start(
    make_store: Callable[..., S3Store], secure: s3engine.Engine, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("")

    with pytest.raises(InvalidInput, match="must hold PEM certificates"):
        make_store(secure, bucket="b", ca_file=str(tmp_path / "empty"))


def test_an_engine_behind_a_path(make_store: Callable[..., S3Store], engine: s3engine.Engine) -> None:
    bucket = engine.bucket()
    with fault.before(engine.port) as proxy:
        proxy.add(fault.Rule(status=404, code="NoSuchKey"))
        store = make_store(engine, bucket=bucket, endpoint=f"{proxy.endpoint}/s3")

        with pytest.raises(StoreError):
            store.get("a b")

    assert [each.path for each in proxy.calls] == [f"/s3/{bucket}/a%20b"]
