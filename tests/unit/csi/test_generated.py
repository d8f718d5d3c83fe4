"""The generated messages are those of the .proto files."""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

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


@pytest.mark.parametrize(
    ("role", "parts", "left_out"),
    [
        (
            "node", "moorage_csi.node, moorage_csi.registration, moorage_csi.mounter.client",
            {"pydantic", "http.client", "prometheus_client", "kubernetes", "ssl", "_hashlib", "importlib.metadata"},
        ),
        (
            "mounter", "moorage_csi.mounter.server, moorage_csi.mounter.supervisor",
            {"grpc", "google.protobuf", "pydantic", "http.client", "ssl", "_hashlib", "importlib.metadata"},
        ),
    ],
)  # fmt: skip
def test_what_runs_on_every_node_loads_nothing_big(role: str, parts: str, left_out: set[str]) -> None:
    program = (
        f"import sys; sys.argv[1:] = ['{role}']; import moorage_csi.lean as lean; lean.leave_out();"
        f"import moorage_csi.app, {parts}; print(*(name for name, module in sys.modules.items() if module))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={
        "PYTHONPATH": ":".join(sys.path)
    }).stdout.split()  # fmt: skip
    assert not left_out & set(loaded)


def test_openssl_is_there_when_it_is_needed_after_all() -> None:
    program = (
        "import moorage_csi.lean as lean; lean.leave_out(); import asyncio, hashlib;"
        "print(hashlib.sha256(b'').hexdigest());"
        "lean.take_in(); from moorage_csi import rest; import ssl; print(ssl.create_default_context().check_hostname)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={
        "PYTHONPATH": ":".join(sys.path)
    }).stdout.split()  # fmt: skip
    assert said == [hashlib.sha256(b"").hexdigest(), "True"]
