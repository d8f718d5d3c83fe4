"""Engines: the drivers behind a StorageBackend, and their settings."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from moorage import names
from moorage.model.base import Label, Model, Rule, SecretRef, constant, matching

# No path, and no user:password@ either: a credential in a spec would be readable by all who may read the backend.
URL_PATTERN = r"^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?$"

HOST_PATTERN = "^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45})$"
# Clean: no empty part, no '.', no '..'. RE2 has no look-ahead, hence the two ways to begin a name.
_PART = "([A-Za-z0-9_@+-][A-Za-z0-9_@+.-]*|[.][A-Za-z0-9_@+-][A-Za-z0-9_@+.-]*)"
_VARIABLE = "[$][{](namespace|name|id)[}]"
_TEMPLATE = f"({_PART}|([A-Za-z0-9_@+-]*{_VARIABLE}[A-Za-z0-9_@+.-]*)+)"
PATH_PATTERN = f"^(/|(/{_PART})+)$"
FOLDER_PATTERN = f"^{_TEMPLATE}(/{_TEMPLATE})*$"
ADOPT_FOLDER_PATTERN = f"^(/|(/({_PART}|[$][{{]namespace[}}]))+)$"

Url = Annotated[
    str,
    Field(max_length=512),
    matching(URL_PATTERN, "write http:// or https://, a host and at most a port, such as http://s3.example.com:7070"),
]
S3Url = Annotated[
    str,
    Field(max_length=512),
    matching(
        URL_PATTERN[:-1] + "(/s3)?$",
        "write http:// or https://, a host and at most a port, such as http://s3.example.com:7070",
    ),
]
HostName = Annotated[
    str,
    Field(max_length=253),
    matching("^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "write a domain in lowercase letters, such as s3.example.com"),
]
Word = Annotated[
    str,
    Field(max_length=32, description="A word of docs/engines.md, such as cors."),
    matching("^[a-zA-Z]+$", "write a word of docs/engines.md, such as cors"),
]


class GaneshaEngine(Model):
    """NFS servers with a share agent (a StatefulSet); several share the volumes among them, each has a pool."""

    namespace: Label
    """Namespace of the StatefulSet."""
    stateful_set: Annotated[Label, Field(max_length=52)]
    """Name of the StatefulSet; its pods are the servers."""
    overcommit: bool = False
    """Promise more than the pools hold: volumes take room as they are filled. A full pool then means failed writes in
    all of its volumes; the condition CapacityLow warns before. False: the whole size is reserved when a volume is made.
    """


class NfsEngine(Model):
    """A server or filer that exists already: each volume is a folder beneath one of its exports."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="self.server == oldSelf.server && self.path == oldSelf.path",
            message="server and path cannot be changed after creation, volumes live there: make another StorageBackend",
        ),
        Rule(
            rule="self.folder.contains('${id}')"
            " || (self.folder.contains('${namespace}') && self.folder.contains('${name}'))",
            message="folder must tell volumes apart: use ${id}, or ${namespace} and ${name}",
            field_path=".folder",
        ),
    )

    server: Annotated[str, Field(max_length=253), matching(HOST_PATTERN, "write a host name or an IP address")]
    """Host name or address of the NFS server; it must serve NFS 4.1 or later. Cannot be changed."""
    path: Annotated[str, Field(max_length=512), matching(PATH_PATTERN, "write an absolute path, such as /export/data")]
    """The export, or a folder in it, beneath which volumes have their folders. Cannot be changed."""
    folder: Annotated[
        str,
        Field(max_length=256),
        matching(FOLDER_PATTERN, "write a relative path of names and ${namespace}, ${name} or ${id}"),
    ] = "${namespace}/${name}-${id}"
    """Folder of a new volume, relative to path; ${namespace}, ${name} and ${id} stand for the volume's."""
    size: Annotated[
        str,
        Field(max_length=16),
        matching("^advisory$", "write size: advisory, since this filer enforces no size"),
    ]
    """advisory: accept that nothing keeps a volume within its size here (condition SizeEnforced=False)."""
    adopt: Annotated[
        str | None,
        Field(max_length=256),
        matching(
            ADOPT_FOLDER_PATTERN, "write / or an absolute path of names and ${namespace}, such as /home/${namespace}"
        ),
    ] = None
    """Where folders lie that volumes may adopt (relative to path; / means all of it); if absent, none may be. Write
    ${namespace} in it, or the volumes of every namespace can reach all folders there."""


class LocalEngine(Model):
    """The nodes' own disks, served by an agent on each (a DaemonSet)."""

    namespace: Label
    """Namespace of the DaemonSet."""
    daemon_set: Annotated[Label, Field(max_length=52)]
    """Name of the DaemonSet; its pods serve their nodes' disks."""
    overcommit: bool = False
    """Promise more than the disks hold; as with engine ganesha. Not for a volume group."""
    volume_group: Annotated[
        str | None,
        Field(max_length=127),
        matching("^[A-Za-z0-9_+.][A-Za-z0-9_+.-]*$", "write the name of an LVM volume group"),
    ] = None
    """LVM volume group on the nodes: each volume is a logical volume. If absent, an image file in the pool's folder."""


class S3Flavor(StrEnum):
    """Whose admin API makes keys and tells usage; docs/engines.md has what each can do."""

    versitygw = "versitygw"
    s3 = "s3"
    minio = "minio"
    rgw = "rgw"
    aistore = "aistore"


class S3Engine(Model):
    """An S3 server whose buckets, and keys where it can, the operator makes."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="self.flavor != 'versitygw' || has(self.adminEndpoint)",
            message="write adminEndpoint: flavor versitygw makes keys there, such as http://moorage-s3.moorage.svc:7071",
            field_path=".adminEndpoint",
        ),
        Rule(
            rule="self.flavor == 'aistore' || !self.endpoint.endsWith('/s3')",
            message="remove the path /s3 from endpoint: only flavor aistore has it",
            field_path=".endpoint",
        ),
        Rule(
            rule="self.flavor == 's3' || (!self.shareCredential && size(self.lacks) == 0)",
            message="remove shareCredential and lacks: they are for flavor s3, the others make keys and are known",
        ),
        Rule(
            rule="self.pathStyle || has(self.virtualHostDomain)",
            message="write virtualHostDomain, the domain that buckets' names are put before, or pathStyle: true",
            field_path=".virtualHostDomain",
        ),
        constant("flavor", "make another StorageBackend", because="keys live there"),
    )

    flavor: S3Flavor = S3Flavor.versitygw
    """Whose admin API makes keys: versitygw, minio, rgw (Ceph); aistore checks no keys; s3 is any other server."""
    endpoint: S3Url
    """URL that pods and nodes reach the S3 server at; flavor aistore: with the path /s3."""
    admin_endpoint: Url | None = None
    """URL of the server's admin API, if it is not at endpoint; only the operator uses it."""
    region: Annotated[
        str,
        Field(max_length=64),
        matching(names.LABEL_PATTERN, "write a region in lowercase letters, digits and hyphens, such as us-east-1"),
    ] = "us-east-1"
    """Region to sign requests for; a Bucket that names a region is put on a backend of that region."""
    credentials_secret: SecretRef
    """Secret with the server's root key: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY."""
    ca_secret: SecretRef | None = None
    """Secret with ca.crt, the certificate that signed the server's, if no public authority did."""
    path_style: bool = True
    """Buckets are named in the path; false: before virtualHostDomain, in the host name."""
    virtual_host_domain: HostName | None = None
    """Domain before which buckets' names are put, for tools that want it so; the server must know it too."""
    share_credential: bool = False
    """Flavor s3: Secrets of Buckets get the root key itself, since nothing makes others. All of them then open every
    bucket that it opens."""
    lacks: Annotated[tuple[Word, ...], Field(max_length=16)] = ()
    """Flavor s3: what this server cannot do, in words of docs/engines.md; Buckets that ask for it are refused."""

    @property
    def admin_url(self) -> str:
        """Where the admin API is."""
        return self.admin_endpoint or self.endpoint.removesuffix("/s3")


class Engine(Model):
    """The driver behind the backend and its settings: exactly one block."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule="[has(self.ganesha), has(self.nfs), has(self.local), has(self.s3)].filter(x, x).size() == 1",
            message="write exactly one engine block: ganesha or nfs (shared volumes), local (local volumes) or s3"
            " (buckets and object volumes)",
        ),
        Rule(
            rule="has(self.ganesha) == has(oldSelf.ganesha) && has(self.nfs) == has(oldSelf.nfs)"
            " && has(self.local) == has(oldSelf.local) && has(self.s3) == has(oldSelf.s3)",
            message="the kind of engine cannot be changed after creation: make another StorageBackend",
        ),
    )

    ganesha: GaneshaEngine | None = None
    """NFS servers of the chart, for shared volumes."""
    nfs: NfsEngine | None = None
    """An NFS server or filer that exists already, for shared volumes."""
    local: LocalEngine | None = None
    """The nodes' own disks, for local volumes."""
    s3: S3Engine | None = None
    """An S3 server, for buckets and object volumes."""
