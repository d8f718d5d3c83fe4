"""The catalogue of images, and the cache that holds their archives."""

import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

from cluster import images
from cluster.baseimages import SLIM, SOURCES
from cluster.imagebuild import Buildah, Source, index_arguments
from cluster.images import KEPT, ROOT, VERSION, Recipe, ensure

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "moorage" / "images"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_text("first")
    return path


def copying(source: Path) -> Recipe:
    """A recipe whose archive tells what it was built from."""
    return Recipe("registry.example/team/thing:1.2", (source,), lambda archive: archive.write_text(source.read_text()))


def test_a_second_call_gives_the_archive_of_the_first_and_a_change_gives_a_new_one(source: Path):
    first = ensure(copying(source))
    first.archive.write_text("not built again")

    again = ensure(copying(source))
    source.write_text("second")
    changed = ensure(copying(source))

    assert (again, again.archive.read_text()) == (first, "not built again")
    assert changed.key != first.key
    assert changed.archive.read_text() == "second"
    assert changed.archive.name == f"thing-{changed.key}.tar"


def test_only_the_newest_archives_of_an_image_are_kept(source: Path, cache: Path):
    for number in range(KEPT + 2):
        source.write_text(f"version {number}")
        newest = ensure(copying(source))

    assert len(list(cache.glob("thing-*.tar"))) == KEPT
    assert newest.archive.is_file()


def test_a_failed_build_leaves_nothing_that_passes_for_an_image(source: Path, cache: Path):
    def fail(archive: Path) -> None:
        archive.write_text("half")
        raise RuntimeError("no space left")

    with pytest.raises(RuntimeError, match="no space left"):
        ensure(Recipe("registry.example/team/thing:1.2", (source,), fail))

    assert list(cache.glob("thing-*.tar")) == []
    assert ensure(copying(source)).archive.read_text() == "first"


def test_an_image_without_a_recipe_is_refused_by_name(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no recipe for docker\.io/library/redis:8"):
        images.ensure_images(tmp_path, only=["docker.io/library/redis:8"])


def test_references_are_those_of_the_contract_with_the_chart_and_carry_the_version_of_the_project(tmp_path: Path):
    project = [recipe.ref for recipe in images.project_recipes()]
    others = [recipe.ref for recipe in [*images.tool_recipes(tmp_path), *images.sample_recipes()]]

    assert PROJECT["version"] == VERSION
    assert project == [
        "docker.io/moorage/moorage:0.1.0",
        "docker.io/moorage/nfs-ganesha:0.1.0",
        "docker.io/moorage/versitygw:0.1.0",
    ]
    assert others == [
        "registry.k8s.io/sig-storage/csi-provisioner:v6.3.0",
        "registry.k8s.io/sig-storage/csi-resizer:v2.2.0",
        "registry.k8s.io/sig-storage/csi-snapshotter:v8.7.0",
        "registry.k8s.io/sig-storage/snapshot-controller:v8.7.0",
        "registry.k8s.io/coredns/coredns:v1.15.0",
        "registry.k8s.io/pause:3.10.1",
        "docker.io/library/busybox:1.37",
    ]


def test_every_file_that_a_recipe_is_made_from_exists_and_every_copied_path_is_an_input():
    recipes = {recipe.name: recipe for recipe in [*images.project_recipes(), *images.sample_recipes()]}
    inputs = {str(path.relative_to(ROOT)) for recipe in recipes.values() for path in recipe.inputs}
    copied = [
        word.rstrip("/")
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from=" not in line
        for word in line.split()[1:-1]
    ]

    assert [path for path in sorted(inputs) if not (ROOT / path).exists()] == []
    assert sorted(set(copied) - inputs) == []


def test_tags_of_sidecars_are_the_versions_that_the_tools_module_pins(tmp_path: Path):
    pinned = dict(
        line.split()[:2]
        for line in (ROOT / "tests/e2e/cluster/tools/go.mod").read_text().replace("require ", "").splitlines()
        if line.strip().startswith("github.com/") and len(line.split()) >= 2
    )
    tags = {recipe.name: recipe.ref.rpartition(":")[2] for recipe in images.tool_recipes(tmp_path)}

    assert tags["csi-provisioner"] == pinned["github.com/kubernetes-csi/external-provisioner/v6"]
    assert tags["csi-resizer"] == pinned["github.com/kubernetes-csi/external-resizer/v2"]
    assert tags["coredns"] == pinned["github.com/coredns/coredns"]


def test_the_builds_name_no_host_so_that_every_site_uses_its_own_mirrors():
    for path in ("Dockerfile", "tests/e2e/cluster/tools/busybox/Dockerfile", "images/install.py"):
        assert "://" not in (ROOT / path).read_text(), path


def test_a_site_with_an_own_python_index_passes_it_on_and_others_pass_nothing():
    assert index_arguments({"PIP_INDEX_URL": "https://index.example/simple"}) == [
        "--build-arg",
        "PIP_INDEX_URL=https://index.example/simple",
    ]
    assert index_arguments({}) == []


def test_buildah_works_on_a_store_of_its_own_and_leaves_no_mounts(tmp_path: Path):
    argv = Buildah(tmp_path).argv("images")

    assert argv[:4] == ["unshare", "--mount", "--propagation", "private"]
    assert argv[argv.index("--root") + 1] == str(tmp_path / "root")
    assert argv[argv.index("--runroot") + 1] == str(tmp_path / "runroot")
    assert argv[-1] == "images"


def test_the_target_is_named_only_where_a_dockerfile_has_several():
    one, several = Source(Path("/c"), Path("/c/D")), Source(Path("/c"), Path("/c/D"), "ganesha")

    assert one.flags() == ["--file", "/c/D"]
    assert several.flags() == ["--file", "/c/D", "--target", "ganesha"]


def test_the_stand_in_has_sources_of_the_official_form_from_which_backports_can_be_derived():
    rendered = SOURCES.format(mirror="http://mirror.example/debian", suite="trixie")
    first, second = rendered.strip().split("\n\n")

    assert "Suites: trixie trixie-updates" in first.splitlines()
    assert "URIs: http://mirror.example/debian-security" in second.splitlines()
    assert "path-include /usr/share/doc/*/copyright" in SLIM.splitlines()


def test_installing_writes_the_commands_of_the_project_and_its_version(tmp_path: Path):
    target = tmp_path / "app"
    (target / "moorage").mkdir(parents=True)
    (target / "moorage" / "__init__.py").write_text("answer = 42\n")

    subprocess.run([sys.executable, ROOT / "images/install.py", ROOT / "pyproject.toml", target], check=True)

    assert {path.name for path in (target / "bin").iterdir()} == set(PROJECT["scripts"])
    assert "from moorage_csi.__main__ import main" in (target / "bin" / "moorage-csi").read_text().splitlines()
    assert (target / "bin" / "moorage-csi").stat().st_mode & 0o777 == 0o755
    assert [(d.name, d.version) for d in distributions(path=[str(target)])] == [("moorage", VERSION)]
    assert len(list((target / "moorage" / "__pycache__").glob("*.pyc"))) == 1
