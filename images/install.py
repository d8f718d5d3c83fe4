"""Turn copied packages into an installed project: commands, metadata and bytecode.

Runs inside the image build as ``install.py pyproject.toml TARGET``, where TARGET already holds the packages.
It needs nothing but the standard library, so the build fetches no build backend that no lock would pin.
"""

import compileall
import sys
import tomllib
from pathlib import Path
from py_compile import PycInvalidationMode

PYTHON = "/opt/moorage/venv/bin/python"


def command(entry_point: str) -> str:
    """Return the script of a ``module:function`` entry point."""
    module, function = entry_point.split(":")
    return f"#!{PYTHON}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"


def write_commands(scripts: dict[str, str], folder: Path) -> None:
    """Write one executable for each entry of ``[project.scripts]``."""
    folder.mkdir(exist_ok=True)
    for name, entry_point in scripts.items():
        path = folder / name
        path.write_text(command(entry_point))
        path.chmod(0o755)


def write_metadata(name: str, version: str, target: Path) -> None:
    """Write the dist-info that ``importlib.metadata.version`` reads."""
    folder = target / f"{name}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def main() -> None:
    project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
    target = Path(sys.argv[2])
    write_commands(project.get("scripts", {}), target / "bin")
    write_metadata(project["name"], project["version"], target)
    compileall.compile_dir(target, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main()
