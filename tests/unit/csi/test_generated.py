"""The generated messages are those of the .proto files."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import moorage_csi


def _generator() -> ModuleType:
    path = Path(moorage_csi.__file__).parents[1] / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_files_are_fresh() -> None:
    assert _generator().main(["--check"]) == 0


def test_csi_is_a_plain_folder() -> None:
    assert not (Path(moorage_csi.__file__).parents[1] / "__init__.py").exists()


def test_the_node_starts_without_what_would_make_it_big() -> None:
    import subprocess

    program = "import sys, moorage_csi.__main__, moorage_csi.node, moorage_csi.registration; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={
        "PYTHONPATH": ":".join(sys.path)
    }).stdout.split()  # fmt: skip
    assert not {"pydantic", "http.client", "prometheus_client", "kubernetes"} & set(loaded)
