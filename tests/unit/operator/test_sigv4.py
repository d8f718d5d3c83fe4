"""Signatures against the examples that AWS publishes (SigV4 test suite; S3 API reference, header-based auth)."""

from datetime import UTC, datetime

import pytest

from moorage.sigv4 import Key, Request, Scope, encode_path, encode_query, signed_headers

SUITE_KEY = Key("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
S3_KEY = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
SUITE_HOST = {"Host": "example.amazonaws.com"}
S3_HOST = {"Host": "examplebucket.s3.amazonaws.com"}
PUT_HEADERS = {**S3_HOST, "Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}


def signature(headers: dict[str, str]) -> str:
    return headers["authorization"].rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request("GET", "/", SUITE_HOST), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (Request("POST", "/", SUITE_HOST), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (Request("GET", "/ሴ", SUITE_HOST), "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        (
            Request("GET", "/", SUITE_HOST, (("Param2", "value2"), ("Param1", "value1"))),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ],
)
def test_the_sigv4_suite(request_: Request, expected: str) -> None:
    moment = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)

    headers = signed_headers(request_, SUITE_KEY, Scope("us-east-1", "service"), moment)

    assert signature(headers) == expected


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            Request("GET", "/test.txt", {**S3_HOST, "Range": "bytes=0-9"}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            Request("PUT", "/test$file.text", PUT_HEADERS, body=b"Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            Request("GET", "/", S3_HOST, (("lifecycle", ""),)),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            Request("GET", "/", S3_HOST, (("max-keys", "2"), ("prefix", "J"))),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_examples_of_the_s3_reference(request_: Request, expected: str) -> None:
    headers = signed_headers(request_, S3_KEY, Scope("us-east-1"), datetime(2013, 5, 24, tzinfo=UTC))

    assert signature(headers) == expected


def test_a_key_hides_its_secret() -> None:
    assert "EXAMPLEKEY" not in repr(S3_KEY)


def test_paths_and_queries_are_encoded_once() -> None:
    assert encode_path("/b/a b+c%ü") == "/b/a%20b%2Bc%25%C3%BC"
    assert encode_query((("b", "1/2"), ("a", ""))) == "a=&b=1%2F2"
