# pyright: basic
"""Generate the protobuf messages of moorage_csi/proto: `python csi/generate.py [--check]`.

With --check nothing is written: the files are generated elsewhere and compared, and the exit status says whether the
committed ones are fresh. No gRPC stubs are generated: `moorage_csi.rpc` reads the services from the descriptors.
"""

import filecmp
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROTO = Path("moorage_csi/proto")
SOURCES = ("csi", "registration")
GENERATED = tuple(PROTO / f"{name}_pb2{suffix}" for name in SOURCES for suffix in (".py", ".pyi"))


def generate(out: Path) -> None:
    """Write every message module beneath `out`."""
    from grpc_tools import protoc  # the development environment only

    (out / PROTO).mkdir(parents=True, exist_ok=True)
    includes = [f"-I{HERE}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    sources = [str(PROTO / f"{name}.proto") for name in SOURCES]
    if protoc.main(["protoc", *includes, f"--python_out={out}", f"--pyi_out={out}", *sources]):
        raise SystemExit("protoc failed: its message is above")
    for file in GENERATED:  # generated code does not keep the house's strict typing
        (out / file).write_text(f"# pyright: basic, reportInvalidTypeForm=false\n{(out / file).read_text()}")


def stale() -> list[Path]:
    """The generated files that differ from what the .proto files give."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        return [f for f in GENERATED if not (HERE / f).exists() or not filecmp.cmp(HERE / f, Path(scratch) / f, False)]


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        old = stale()
        for file in old:
            print(f"csi/{file} is not what its .proto file gives: run python csi/generate.py", file=sys.stderr)
        return 1 if old else 0
    generate(HERE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
