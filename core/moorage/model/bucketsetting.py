"""Settings of a bucket that are more than a word: lock, life cycle, CORS."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from moorage import names
from moorage.model.base import Model, Rule, matching

MAX_DAYS = 36500

Days = Annotated[int, Field(ge=1, le=MAX_DAYS, json_schema_extra={"format": "int32"})]


class LockMode(StrEnum):
    """Governance: whoever has the engine's root key may still remove a version; Compliance: nobody, not even they."""

    Governance = "Governance"
    Compliance = "Compliance"


class ObjectLock(Model):
    """How long each version of an object is kept from being deleted or overwritten (WORM)."""

    mode: LockMode
    """Governance: whoever has the engine's root key may still remove a version; Compliance: nobody, not even they.
    Changes from Governance to Compliance, never back."""
    days: Days
    """How many days from the writing of a version. Only grows; versions that are there keep the days that they were
    given."""


class LifecycleRule(Model):
    """What the engine removes by itself after some days."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="has(self.expireDays) || has(self.noncurrentDays) || has(self.abortMultipartDays)",
            message="a lifecycle rule needs expireDays, noncurrentDays or abortMultipartDays",
        ),
    )

    prefix: Annotated[str, Field(max_length=1024)] = ""
    """Only objects whose keys begin with this; empty: all."""
    expire_days: Days | None = None
    """After how many days an object is deleted; with versioning it becomes an old version."""
    noncurrent_days: Days | None = None
    """After how many days a version that is no longer the current one is deleted."""
    abort_multipart_days: Days | None = None
    """After how many days an unfinished multipart upload is dropped."""


class Method(StrEnum):
    """GET, PUT, POST, DELETE or HEAD."""

    GET = "GET"
    PUT = "PUT"
    POST = "POST"
    DELETE = "DELETE"
    HEAD = "HEAD"


Origin = Annotated[
    str,
    Field(max_length=256, description="An origin such as https://app.example.com, with at most one *."),
    matching(r"^[^*\s]*([*][^*\s]*)?$", "write an origin such as https://app.example.com, with at most one *"),
]
Header = Annotated[
    str,
    Field(max_length=128, description="A header's name; * stands for any part of it."),
    matching(r"^[A-Za-z0-9*_-]+$", "write the name of a header, such as content-type or x-amz-*"),
]


class CorsRule(Model):
    """What a browser's page from other origins may ask for."""

    origins: Annotated[tuple[Origin, ...], Field(min_length=1, max_length=16)]
    """Origins that may ask, such as https://app.example.com; * for all."""
    methods: Annotated[
        tuple[Method, ...], Field(min_length=1, max_length=5, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """GET, PUT, POST, DELETE, HEAD: those that may be used."""
    headers: Annotated[tuple[Header, ...], Field(max_length=32)] = ()
    """Headers that requests may carry; * for all."""
    expose: Annotated[tuple[Header, ...], Field(max_length=32)] = ()
    """Headers of answers that the page may read."""
    max_age_seconds: Annotated[int | None, Field(ge=0, le=86400, json_schema_extra={"format": "int32"})] = None
    """How many seconds a browser may remember this."""


# Letters, digits, spaces and + - = . _ : / @ are what every S3 engine takes in tags (AWS: tag restrictions).
TAG_KEY_PATTERN = r"^[\p{L}\p{N} +=._:/@-]{1,128}$"
TagValue = Annotated[
    str,
    Field(max_length=256, description="A tag's value."),
    matching(r"^[\p{L}\p{N} +=._:/@-]*$", "write a tag's value in letters, digits, spaces and + - = . _ : / @"),
]
TAG_RULES = (
    Rule(
        rule=f"!has(self.tags) || self.tags.all(key, key.matches(r'{TAG_KEY_PATTERN}'))",
        message="write tags' keys of 1 to 128 letters, digits, spaces and + - = . _ : / @",
        field_path=".tags",
    ),
    Rule(
        rule=f"!has(self.tags) || self.tags.all(key, !key.startsWith('{names.GROUP}/') && !key.startsWith('aws:'))",
        message=f"tags that begin with {names.GROUP}/ or aws: are not yours to set: choose another key",
        field_path=".tags",
    ),
)
