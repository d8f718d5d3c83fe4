"""Where a bucket is: the URL of the engine, in path style or virtual-host style."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from moorage.errors import InvalidInput

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`connect`: name or address to connect to; `name`: what the certificate must say; `authority`: the Host header;
    `base`: path before the key, without a slash at its end."""

    secure: bool
    connect: str
    port: int
    name: str
    authority: str
    base: str

    def path(self, key: str | None) -> str:
        """The path of an object, or of the bucket itself for None; not yet encoded."""
        return f"{self.base}/{key}" if key is not None else self.base or "/"


def endpoint_of(url: str, bucket: str, path_style: bool = True, address: str = "") -> Endpoint:
    """`url` like `http://host:port/path` or `https://[::1]:7070`; InvalidInput when it is none."""
    parts = _split(url)
    scheme, host, port = parts
    base = urlsplit(url).path.rstrip("/")
    name = host if path_style else f"{bucket}.{host}"
    shown = f"[{name}]" if ":" in name else name
    authority = shown if port == PORTS[scheme] else f"{shown}:{port}"
    where = f"{base}/{bucket}" if path_style else base
    return Endpoint(scheme == "https", address or name, port, name, authority, where)


def _split(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in PORTS or not host:
        raise InvalidInput(f"endpoint {url!r} is no URL: write it like http://host:port or https://host/path")
    return scheme, host, port or PORTS[scheme]
