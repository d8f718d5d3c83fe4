"""The big servers, built from pinned Go modules into the user's cache; a toolchain of its own, so that a change here
builds nothing anew elsewhere."""

from pathlib import Path

from cluster.toolchain import Source, Toolchain

HOME = Path(__file__).parent / "tools"
SOURCES = {
    "minio": Source("github.com/minio/minio", module="minio"),
    "aisnode": Source("github.com/NVIDIA/aistore/cmd/aisnode", module="aistore"),
}


def program(name: str) -> Path:
    return Toolchain(HOME, SOURCES).tool(name)
