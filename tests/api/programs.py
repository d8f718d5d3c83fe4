"""The programs that these tests run: built from source, never downloaded."""

import os
from pathlib import Path


def tools(*wanted: str) -> list[str]:
    """Paths of commands: of $MOORAGE_TOOLS if set, else those that the bed builds into its cache."""
    if directory := os.environ.get("MOORAGE_TOOLS"):
        return [str(Path(directory) / name) for name in wanted]
    from cluster.toolchain import Toolchain

    directory = Toolchain().ensure(wanted)
    return [str(directory / name) for name in wanted]
