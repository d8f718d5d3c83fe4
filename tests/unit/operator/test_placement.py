"""Where volumes go: the backend, the server with the most room, the node, the server of the source."""

from typing import Any

import pytest

from moorage import berth, engines, names, nfsoptions, origin, placement
from moorage.actions import Problem
from moorage.berth import Asked, Room
from moorage.imagesize import LOG_BYTES
from moorage.model import Placement, StorageBackend, StorageSnapshot, StorageVolume, VolumeSource
from moorage.origin import Origin
from moorage.placement import place

GI = 2**30
SHARED = ("ganesha", "nfs")
LOCAL = ("local",)
ENGINES: dict[str, dict[str, Any]] = {
    "ganesha": {"namespace": "moorage", "statefulSet": "nfs"},
    "nfs": {"server": "filer", "path": "/export", "size": "advisory"},
    "local": {"namespace": "moorage", "daemonSet": "moorage-local"},
    "s3": {
        "endpoint": "http://s3",
        "adminEndpoint": "http://s3:1",
        "credentialsSecret": {"name": "root", "namespace": "moorage"},
    },
}


def server(name: str, free: int = 10, **more: Any) -> dict[str, Any]:
    return {"name": name, "totalBytes": 100 * GI, "freeBytes": free * GI, **more}


def backend(
    *servers: dict[str, Any], engine: str = "ganesha", name: str = "", selector: Any = None, **more: Any
) -> StorageBackend:
    condition = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": "t"}
    metadata = {"name": name or engine, "creationTimestamp": more.pop("created", "2026")}
    spec = {"default": True, "engine": {engine: {**ENGINES[engine], **more}}}
    spec |= {"nodeSelector": selector} if selector else {}
    body = {"metadata": metadata, "spec": spec, "status": {"conditions": [condition], "servers": servers}}
    return StorageBackend.model_validate(body)


def server_of(found: Placement | Problem) -> str:
    return found.server if isinstance(found, Placement) else found.reason


ROOM = {
    "the server with the most room": ([server("nfs-0", 5), server("nfs-1", 9), server("nfs-2", 7)], 4, "nfs-1"),
    "by name where they are equal": ([server("nfs-1", 9), server("nfs-0", 9)], 4, "nfs-0"),
    "a size that just fits": ([server("nfs-0", 4)], 4, "nfs-0"),
    "a byte too much": ([server("nfs-0", 4)], 4 * GI + 1, "NoCapacity"),
    "none reported yet": ([], 4, "BackendNotReady"),
}


@pytest.mark.parametrize(("servers", "size", "expected"), ROOM.values(), ids=ROOM.keys())
def test_free_room_decides(servers: list[dict[str, Any]], size: int, expected: str) -> None:
    wanted = size if size > GI else size * GI

    assert server_of(place(Asked(SHARED, size=wanted), [backend(*servers)])) == expected


def test_no_room_says_how_much_there_is_and_what_to_do() -> None:
    refused = place(Asked(SHARED, size=500 * GI), [backend(server("nfs-0", 20), server("nfs-1", 84))])

    assert refused == Problem(
        "NoCapacity",
        "StorageBackend ganesha has no room for 500Gi: the most is 84Gi, on nfs-1."
        " Delete volumes, enlarge the pool, or ask for less",
    )
    assert "NoCapacity" in placement.REFUSED


def test_what_was_promised_since_a_server_spoke_is_not_free() -> None:
    servers = backend(server("nfs-0", 10), server("nfs-1", 9))
    room = Room(promised={("ganesha", "nfs-0"): berth.taken(2 * GI)})

    assert server_of(place(Asked(SHARED, size=GI), [servers], room)) == "nfs-1"
    assert server_of(place(Asked(SHARED, size=9 * GI + 1), [servers], room)) == "NoCapacity"
    assert berth.taken(2 * GI) == 2 * GI + LOG_BYTES


def test_a_burst_is_spread_and_stops_where_the_room_does() -> None:
    servers, promised, placed = backend(server("nfs-0", 10), server("nfs-1", 10)), dict[tuple[str, str], int](), []

    for _ in range(25):
        found = server_of(place(Asked(SHARED, size=GI), [servers], Room(promised)))
        placed.append(found)
        if found != "NoCapacity":
            promised["ganesha", found] = promised.get(("ganesha", found), 0) + berth.taken(GI)

    assert {each: placed.count(each) for each in set(placed)} == {"nfs-0": 9, "nfs-1": 9, "NoCapacity": 7}


def test_overcommitted_backends_take_the_emptiest_even_without_room() -> None:
    found = place(Asked(SHARED, size=500 * GI), [backend(server("nfs-0", 1), server("nfs-1", 2), overcommit=True)])

    assert server_of(found) == "nfs-1"


def test_a_server_that_does_not_answer_gets_nothing_new() -> None:
    servers = backend(server("nfs-0", 90), server("nfs-1", 10))

    assert (
        server_of(place(Asked(SHARED, size=GI), [servers], Room(silent={"ganesha": {"nfs-0": "refused"}}))) == "nfs-1"
    )
    both = Room(silent={"ganesha": {"nfs-0": "refused", "nfs-1": "refused"}})
    assert server_of(place(Asked(SHARED, size=GI), [servers], both)) == "BackendNotReady"


# Engines.


def test_the_default_for_shared_is_the_oldest_default_of_either_engine() -> None:
    ganesha, filer = backend(server("nfs-0"), created="2026"), backend(engine="nfs", name="filer", created="2025")

    assert place(Asked(SHARED, size=GI), [ganesha, filer]) == Placement(
        backend="filer", engine="nfs", server="moorage-filer-filer"
    )
    assert place(Asked(SHARED, "ganesha", GI), [ganesha, filer]) == Placement(
        backend="ganesha", engine="ganesha", server="nfs-0"
    )


def test_a_backend_of_another_engine_is_refused_by_name() -> None:
    found = place(Asked(SHARED, "s3", GI), [backend(engine="s3")])

    assert found == Problem(
        "BackendMismatch", "StorageBackend s3 has engine s3, ganesha or nfs is needed: name another one"
    )


def test_without_a_default_both_engines_are_named() -> None:
    found = place(Asked(SHARED, size=GI), [])

    assert isinstance(found, Problem)
    assert found.message.startswith("no StorageBackend with engine ganesha or nfs is the default")


# Adopting.


def test_a_folder_is_adopted_on_a_filer_only() -> None:
    filer = place(Asked(SHARED, "nfs", GI, adopt="/home/team"), [backend(engine="nfs")])
    ganesha = place(Asked(SHARED, None, GI, adopt="/home/team"), [backend(server("nfs-0"))])
    kept = place(Asked(SHARED, "nfs", GI, adopt="aaaaaaaa"), [backend(engine="nfs")])

    assert (server_of(filer), server_of(ganesha), server_of(kept)) == (
        "moorage-filer-nfs",
        "AdoptNotOffered",
        "moorage-filer-nfs",
    )
    assert "AdoptNotOffered" in placement.REFUSED


# Local.


def test_a_local_volume_goes_to_its_node_or_to_the_one_with_most_room() -> None:
    disks = backend(server("node-1", 5), server("node-2", 50), engine="local")

    assert server_of(place(Asked(LOCAL, size=GI), [disks])) == "node-2"
    assert server_of(place(Asked(LOCAL, size=GI, node="node-1"), [disks])) == "node-1"
    assert server_of(place(Asked(LOCAL, size=9 * GI, node="node-1"), [disks])) == "NoCapacity"


def test_a_node_without_an_agent_is_waited_for() -> None:
    found = place(Asked(LOCAL, size=GI, node="node-9"), [backend(server("node-1"), engine="local")])

    assert found == Problem(
        "NodeNotServed",
        "node node-9 does not serve StorageBackend local: it needs a running pod of DaemonSet moorage/moorage-local;"
        " status.servers of the backend lists the nodes that do",
    )
    assert "NodeNotServed" not in placement.REFUSED


# Sources.


def clone(of: str = "nfs-0", on: str = "ganesha", engine: str = "ganesha", size: int = 2) -> Origin:
    return Origin("StorageSnapshot monday", Placement(backend=on, engine=engine, server=of), size * GI)


REFUSALS = {
    "beside its source": (Asked(SHARED, size=2 * GI, origin=clone("nfs-1")), "nfs-1"),
    "on the default's neighbour": (Asked(SHARED, size=2 * GI, origin=clone("nfs-7", on="other")), "nfs-7"),
    "named elsewhere": (Asked(SHARED, "other", 2 * GI, origin=clone()), "SourceElsewhere"),
    "on a filer": (Asked(SHARED, size=2 * GI, origin=clone(on="nfs", engine="nfs")), "ClonesNotOffered"),
    "smaller": (Asked(SHARED, size=GI, origin=clone()), "SourceTooSmall"),
    "no reflink there": (Asked(SHARED, size=2 * GI, origin=clone("nfs-2")), "ClonesNotOffered"),
    "no room there": (Asked(SHARED, size=90 * GI, origin=clone()), "NoCapacity"),
    "its server is away": (Asked(SHARED, size=2 * GI, origin=clone("nfs-3")), "BackendNotReady"),
    "its backend is gone": (Asked(SHARED, size=2 * GI, origin=clone(on="gone")), "BackendNotFound"),
}


@pytest.mark.parametrize(("asked", "expected"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_clone_goes_where_its_source_is(asked: Asked, expected: str) -> None:
    default = backend(server("nfs-0", 5, clones=True), server("nfs-1", 4, clones=True), server("nfs-2", 99))
    other = backend(server("nfs-7", 5, clones=True), name="other", created="2027")

    assert server_of(place(asked, [default, other, backend(engine="nfs")])) == expected


PLACED = {"backend": "ganesha", "engine": "ganesha", "server": "nfs-0"}


def snapshot(**status: Any) -> StorageSnapshot:
    return StorageSnapshot.model_validate({"metadata": {}, "spec": {"volume": "data"}, "status": status})


def volume(type: str = "shared", **status: Any) -> StorageVolume:
    return StorageVolume.model_validate({"metadata": {}, "spec": {"type": type, "size": "2Gi"}, "status": status})


def share(state: str, size: int = 2 * GI) -> dict[str, Any]:
    return {"state": state, "server": "nfs-0", "sizeBytes": size}


READY_IMAGE = {"state": "Ready", "server": "nfs-0", "sizeBytes": 2 * GI}
ORIGINS = {
    "no snapshot": ("snapshot", None, "SourceNotFound"),
    "a snapshot that is being taken": ("snapshot", snapshot(placement=PLACED), "SourceNotReady"),
    "a ready snapshot": ("snapshot", snapshot(placement=PLACED, image=READY_IMAGE), "nfs-0"),
    "a snapshot let go": ("snapshot", snapshot(placement=PLACED, image=READY_IMAGE, release=True), "SourceNotReady"),
    "no volume": ("volume", None, "SourceNotFound"),
    "a volume in the making": ("volume", volume(placement=PLACED, share=share("Creating", 0)), "SourceNotReady"),
    "a served volume": ("volume", volume(placement=PLACED, share=share("Served")), "nfs-0"),
    "one that could not grow": ("volume", volume(placement=PLACED, share=share("Failed")), "nfs-0"),
    "a released one": ("volume", volume(placement=PLACED, share=share("Released")), "SourceNotReady"),
    "a local one": ("volume", volume("local", placement=PLACED, share=share("Served")), "ClonesNotOffered"),
}


@pytest.mark.parametrize(("field", "found", "expected"), ORIGINS.values(), ids=ORIGINS.keys())
def test_a_source_is_waited_for_and_named(field: str, found: Any, expected: str) -> None:
    begins = origin.find(VolumeSource.model_validate({field: "monday"}), "team", found)

    if isinstance(begins, Problem):
        assert begins.reason == expected
        assert "monday" in begins.message
    else:
        assert (begins.placement.server, begins.size) == (expected, 2 * GI)


# Which nodes.


def test_topology_is_the_backends_group_or_the_node_itself() -> None:
    group = backend(server("nfs-0"), selector={"pool": "gpu"})
    at = Placement(backend="x", engine="local", server="node-1")
    long = Placement(backend="x", engine="local", server="n" * 64)

    assert engines.topology(group, Placement(backend="x", engine="ganesha", server="nfs-0")) == {"pool": "gpu"}
    assert engines.topology(backend(), Placement(backend="x", engine="ganesha", server="nfs-0")) is None
    assert engines.topology(backend(engine="local"), at) == {names.TOPOLOGY_NODE: "node-1"}
    assert engines.topology(backend(engine="local"), long) == {names.TOPOLOGY_NODE: names.topology_value("n" * 64)}


# Mount options.

MERGES = {
    "a later value wins": (("vers=4.1", "hard"), ("vers=4.2",), ("hard", "vers=4.2")),
    "soft replaces hard": (("hard", "timeo=600"), ("soft",), ("timeo=600", "soft")),
    "nfsvers is vers": (("vers=4.1",), ("nfsvers=4.2",), ("nfsvers=4.2",)),
    "no and yes are one thing": (("noresvport",), ("resvport",), ("resvport",)),
    "others stay": (("hard",), ("nconnect=4",), ("hard", "nconnect=4")),
}


@pytest.mark.parametrize(("first", "second", "expected"), MERGES.values(), ids=MERGES.keys())
def test_mount_options_of_later_layers_win(first: Any, second: Any, expected: Any) -> None:
    assert nfsoptions.merged(first, second) == expected
