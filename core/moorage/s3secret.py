"""The Secret of a key: the environment of AWS tools, AIStore's and TensorFlow's words, and ready-made configurations.

rclone.conf has one remote, `moorage`; s3cfg is s3cmd's. Both are complete but for the CA of a server whose certificate
no public authority signed: they would have to name a file, and only who mounts the Secret knows where ca.crt is.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage import names
from moorage.actions import Manifest, part
from moorage.model import S3Engine

REMOTE = "moorage"
SECRET_KEY_MIN = 16


@dataclass(frozen=True, slots=True)
class KeyText:
    """What a Secret tells of a key. `buckets`: their names on the engine. `ca`: PEM, where the server has one."""

    engine: S3Engine
    buckets: tuple[str, ...]
    access_key: str
    secret_key: str = field(repr=False)
    ca: str = ""

    @property
    def host(self) -> str:
        """host:port[/path], as s3cmd and TensorFlow want it."""
        return self.engine.endpoint.split("://", 1)[1].rstrip("/")

    @property
    def https(self) -> bool:
        return self.engine.endpoint.startswith("https://")


def data(text: KeyText) -> dict[str, str]:
    """The Secret's data, values in base64."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in _plain(text).items()}


def _plain(text: KeyText) -> dict[str, str]:
    plain = {
        names.SECRET_ACCESS_KEY_ID: text.access_key,
        names.SECRET_SECRET_ACCESS_KEY: text.secret_key,
        names.SECRET_ENDPOINT: text.engine.endpoint,
        names.SECRET_REGION: text.engine.region,
        names.SECRET_DEFAULT_REGION: text.engine.region,
        names.SECRET_HOST: text.host,
        names.SECRET_USE_HTTPS: "1" if text.https else "0",
        names.SECRET_RCLONE: rclone_conf(text),
        names.SECRET_S3CMD: s3cfg(text),
    }
    named = {names.SECRET_BUCKET: text.buckets[0]} if text.buckets else {}
    several = {names.SECRET_BUCKETS: ",".join(text.buckets)} if len(text.buckets) > 1 else {}
    return plain | named | several | ({names.SECRET_CA: text.ca} if text.ca else {})


def rclone_conf(text: KeyText) -> str:
    """no_check_bucket: the key makes no buckets, and rclone would try before its first upload."""
    lines = {
        **{"type": "s3", "provider": "Other", "env_auth": "false"},
        **{"access_key_id": text.access_key, "secret_access_key": text.secret_key},
        **{"endpoint": text.engine.endpoint, "region": text.engine.region},
        **{"force_path_style": str(text.engine.path_style).lower(), "no_check_bucket": "true"},
    }
    return _section(REMOTE, lines)


def s3cfg(text: KeyText) -> str:
    """The bucket stands in the path: a host_bucket without a bucket says so; behind a path s3cmd must put it there."""
    lines = {
        **{"access_key": text.access_key, "secret_key": text.secret_key},
        **{"host_base": text.host, "host_bucket": _host_bucket(text)},
        **{"bucket_location": text.engine.region, "use_https": str(text.https), "signature_v2": "False"},
    }
    return _section("default", lines)


def _host_bucket(text: KeyText) -> str:
    if not text.engine.path_style:
        port = text.host.rpartition(":")[2]
        return f"%(bucket)s.{text.engine.virtual_host_domain}" + (f":{port}" if port.isdecimal() else "")
    return f"{text.host}/%(bucket)s" if "/" in text.host else text.host


def _section(name: str, lines: Mapping[str, str]) -> str:
    return "\n".join((f"[{name}]", *(f"{key} = {value}" for key, value in lines.items()), ""))


def secret_key(secret: Manifest | None, access_key: str) -> str | None:
    """The secret half that the Secret holds for this access key, if it is one that an S3 tool could use."""
    return secret_half(secret) if _value(secret, names.SECRET_ACCESS_KEY_ID) == access_key else None


def secret_half(secret: Manifest | None) -> str | None:
    """The secret half that the Secret holds, of whatever key, if it is one that an S3 tool could use."""
    half = _value(secret, names.SECRET_SECRET_ACCESS_KEY)
    if half is None or len(half) < SECRET_KEY_MIN:
        return None
    return half if half.isprintable() and not set(half) & set(" <>&\"'") else None


def _value(secret: Manifest | None, name: str) -> str | None:
    try:
        return base64.b64decode(part(secret, "data")[name], validate=True).decode("ascii")
    except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
        return None
