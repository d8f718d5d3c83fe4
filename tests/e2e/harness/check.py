"""`make check`: every static check of the repository; all of them run, the failures are named at the end."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from cluster.toolchain import Toolchain
from harness.install import CHART, ROOT

Check = tuple[str, list[str]]
SCRATCH_LIMIT = 600  # seconds a single check may take


def checks(scratch: Path) -> Iterator[Check]:
    """Name and argv of each check, in the order of their cost."""
    python = sys.executable
    tools = Toolchain()
    helm = str(tools.tool("helm"))
    yield "ruff", [python, "-m", "ruff", "check", "."]
    yield "format", [python, "-m", "ruff", "format", "--check", "."]
    yield "import contracts", [str(Path(python).with_name("lint-imports")), "--no-cache"]
    yield "CRDs are fresh", [python, "-m", "moorage.crd", "--check", "crds", str(CHART / "crds")]
    yield "gRPC stubs are fresh", [python, "csi/generate.py", "--check"]
    yield "helm lint", [helm, "lint", "--strict", str(CHART)]
    yield "helm template", [helm, "template", "moorage", str(CHART), "-n", "moorage", "--output-dir", str(scratch)]
    yield "helm unittest", [str(tools.tool("helm-unittest")), "--strict", str(CHART)]
    yield "pyright", [python, "-m", "pyright", "--pythonpath", python]
    yield "chart schemas", [python, "-m", "harness.check", "--schemas", str(scratch)]


def schemas(folder: Path) -> int:
    """Validate each rendered object of a built-in kind against Kubernetes' own schema."""
    import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs] - a slow import that only this check needs

    failed = 0
    for path in sorted(folder.rglob("*.yaml")):
        for thing in yaml.safe_load_all(path.read_text()):
            if not thing or thing["apiVersion"].startswith("moorage.dev/"):
                continue
            try:
                kubernetes_validate.validate(thing, "1.31", strict=True)
            except kubernetes_validate.ValidationError as error:
                print(f"{path.name}: {thing['kind']} {thing['metadata']['name']}: {error.message}")
                failed += 1
    return 1 if failed else 0


def main() -> int:
    if sys.argv[1:2] == ["--schemas"]:
        return schemas(Path(sys.argv[2]))
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, argv in checks(Path(scratch)):
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=SCRATCH_LIMIT)
            print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {name}", flush=True)
            if done.returncode:
                print(f"{done.stdout}{done.stderr}"[-6000:], flush=True)
                failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
