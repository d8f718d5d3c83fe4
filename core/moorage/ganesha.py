"""NFS-Ganesha's configuration and answers, as pure values.

The main file is fixed but for paths; each share is one EXPORT block. Option names are those of Ganesha 9.14.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moorage.errors import InvalidInput
from moorage.model import Squash

EXPORT_ID_MAX = 65535  # Ganesha keeps it in 16 bits; 0 is its own pseudo root
PSEUDO_ROOT = "/vol"
NOBODY = 65534  # user and group of whom is squashed
_SQUASH = {Squash.none: "None", Squash.Root: "Root_Squash", Squash.All: "All_Squash"}


@dataclass(frozen=True, slots=True)
class Export:
    """One share as clients see it: `path` on the server is shown as `pseudo` to `clients` only, who may be nobody."""

    export_id: int
    path: str
    pseudo: str
    clients: tuple[str, ...]
    squash: Squash = Squash.none


@dataclass(frozen=True, slots=True)
class Server:
    """What differs between one server and another. `recovery_root` must be on the volume that holds the data:
    without it clients cannot reclaim their locks after a restart."""

    recovery_root: str
    exports_file: str
    port: int = 2049


def pseudo_path(volume_id: str) -> str:
    """The NFS path of a share."""
    return f"{PSEUDO_ROOT}/{volume_id}"


def quoted(text: str) -> str:
    """A string literal of the configuration language; raises InvalidInput for what it cannot hold.

    Ganesha's lexer knows double-quoted strings with backslash escapes; a newline cannot stand in one.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise InvalidInput(f"{text!r} holds a control character: it cannot be written to Ganesha's configuration")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def client_list(addresses: Iterable[str], extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Who may mount: node addresses and extra addresses or CIDRs, canonical, sorted, each once.

    Raises InvalidInput for anything that is not an IP address or network: Ganesha would take it for a host name
    or a netgroup and ask a name server.
    """
    networks: set[ipaddress.IPv4Network | ipaddress.IPv6Network] = set()
    for text in (*addresses, *extra):
        try:
            networks.add(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError as error:
            raise InvalidInput(f"{text!r} is neither an IP address nor a CIDR") from error
    ordered = sorted(networks, key=lambda network: (network.version, network))
    return tuple(str(n.network_address) if n.num_addresses == 1 else str(n) for n in ordered)


def is_stranger(record: str, clients: Iterable[str]) -> bool:
    """Whether the client of a recovery record, as Ganesha names it (`::ffff:10.0.0.1-(15:Linux NFSv4.1 x)`), is none
    of `clients`. False for a name that cannot be read."""
    try:
        address = ipaddress.ip_address(record.partition("-(")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return not any(address in ipaddress.ip_network(client) for client in clients)


def render_main(server: Server) -> str:
    """The main file: NFS 4.1 and 4.2 only, no rpcbind, nothing exported by default."""
    return f"""\
NFS_CORE_PARAM {{
    Protocols = 4; NFS_Port = {server.port}; MNT_Port = 0; NLM_Port = 0; Rquota_Port = 0;
    Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
    fsid_device = false;
    # A container rarely has CAP_SYS_RESOURCE; without this line Ganesha exits.
    Allow_Set_Io_Flusher_Fail = true;
}}
NFSV4 {{
    # Half a lease is how often it looks whether grace can end; two thirds are how soon an idle client sees a restart.
    # Who is away for longer keeps its locks as long as nobody else wants them, up to Max_Alive_Time (the threshold is
    # of their number); a node that is gone for good must not hold up a restart much later.
    Minor_Versions = 1, 2;
    # A client whose server's node lost its power notices after the lease and up to 10 s more; with a grace period that
    # ended before, it loses its locks. Grace ends early when all clients that were known have come back.
    Lease_Lifetime = 6; Grace_Period = 30;
    Expired_Client_Threshold = 256; Max_Alive_Time_For_Expired_Client = 300;
    # Else a client that waits for a lock (F_SETLKW) which another has gets EIO at once; now it asks again by itself.
    Blocking_Locks = false;
    RecoveryBackend = fs; RecoveryRoot = {quoted(server.recovery_root)};
    Only_Numeric_Owners = true; Delegations = false;
}}
NFS_KRB5 {{ Active_krb5 = false; }}
EXPORT_DEFAULTS {{ Protocols = 4; Transports = TCP; Access_Type = None; SecType = sys; Squash = None; }}
%include {quoted(server.exports_file)}
"""


def render_export(export: Export) -> str:
    """One EXPORT block; without clients it admits nobody. Raises InvalidInput when its id is out of range."""
    if not 1 <= export.export_id <= EXPORT_ID_MAX:
        raise InvalidInput(f"export id {export.export_id} is not within 1..{EXPORT_ID_MAX}")
    number, squash = export.export_id, _SQUASH[export.squash]
    identity = f"Squash = {squash}; Anonymous_Uid = {NOBODY}; Anonymous_Gid = {NOBODY};"
    clients = (
        f"CLIENT {{ Clients = {', '.join(export.clients)}; Access_Type = RW; {identity} }}" if export.clients else ""
    )
    return f"""\
EXPORT {{
    Export_Id = {number}; Filesystem_Id = {number}.{number};
    Path = {quoted(export.path)}; Pseudo = {quoted(export.pseudo)};
    Access_Type = None; {identity} SecType = sys; Protocols = 4; Transports = TCP;
    FSAL {{ Name = VFS; }}
    {clients}
}}
"""


def render_exports(exports: Mapping[int, Export]) -> str:
    """The file read at start, in the order of export ids."""
    return "# Written by moorage-agent; changes go over D-Bus.\n" + "".join(
        render_export(exports[number]) for number in sorted(exports)
    )


def read_exports(body: Sequence[Any]) -> dict[int, str]:
    """Export id -> path, from the body of a ShowExports reply.

    The reply is (time, array of structs); the structs grow from version to version (`a(qs(8(sb))(tt))` in 6.5, one
    more `t` in 9.14), so only the first two fields are read, which never changed.
    """
    return {int(entry[0]): str(entry[1]) for entry in body[1]}


def next_export_id(used: Iterable[int], start: int) -> int:
    """The lowest free id from `start` on, going round at the end, so that an id is not used again soon.

    A client that still holds handles of a removed export must not meet another volume under its id.
    """
    taken = set(used)
    for offset in range(EXPORT_ID_MAX):
        candidate = (start - 1 + offset) % EXPORT_ID_MAX + 1
        if candidate not in taken:
            return candidate
    raise InvalidInput(f"all {EXPORT_ID_MAX} export ids of this server are taken: add another server")
