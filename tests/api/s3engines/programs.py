"""The big servers, built from pinned Go modules into the user's cache; a toolchain of its own, so that a change here
builds nothing anew elsewhere."""

from pathlib import Path

from cluster.toolchain import Source, Toolchain

HOME = Path(__file__).parent / "tools"
SOURCES = {
    "minio": Source("github.com/minio/minio", module="minio"),
    # tag aws: with the backend that passes presigned requests on
    "aisnode": Source("github.com/NVIDIA/aistore/cmd/aisnode", module="aistore", tags="aws"),
}


def program(name: str) -> Path:
    return Toolchain(HOME, SOURCES).tool(name)
