"""How to reach one bucket, and what its engine can do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`endpoint`: URL, maybe with a path (`https://proxy:51080/s3`). Times are seconds.

    `key_file`: JSON with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, read again by `rekey()` and at each refusal.
    `address`: host to connect to where it is not the one the endpoint names (virtual-host style inside a cluster).
    `patience`: how long to wait for an engine that does not answer; None: for ever.
    `conditional`: the engine obeys If-Match and If-None-Match on writes; if not, a look before each write stands in.
    `part_copy`: the engine has UploadPartCopy.
    """

    endpoint: str
    bucket: str
    key_file: str
    region: str = "us-east-1"
    path_style: bool = True
    ca_file: str | None = None
    address: str = ""
    patience: float | None = None
    timeout: float = 30.0
    connect_timeout: float = 5.0
    conditional: bool = True
    part_copy: bool = True
    idle_connections: int = 32
