"""Cache keys, locks, and the parts of the local cluster that are kept under them."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster import golden, host, toolchain, umlnode
from cluster.cache import Busy, cache_dir, digest, locked
from cluster.debian import pick_mirror
from cluster.host import missing_packages
from cluster.layout import NODES, node_named
from cluster.state import State, seen
from cluster.umlkernel import Kernel


@dataclass
class Image:
    ref: str
    key: str
    archive: Path = Path("x")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "moorage"


def test_a_digest_knows_where_one_part_ends():
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["ab", "c"]) == digest([b"ab", "c"])
    assert len(digest([])) == 12


def test_the_cache_follows_xdg(cache: Path):
    assert cache_dir() == cache


def test_a_lock_held_by_another_process_is_waited_for_and_then_reported(tmp_path: Path):
    file = tmp_path / "lock"
    script = (
        f"import fcntl,sys,time; f=open({str(file)!r},'a'); fcntl.flock(f,2); print('held',flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"

    with pytest.raises(Busy, match="held by another run"), locked(file, wait=0.1):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()

    with locked(file, wait=0.1):
        assert file.exists()


def test_the_image_store_is_another_when_an_image_is_another(tmp_path: Path):
    images = [Image("a:1", "k1"), Image("b:1", "k2")]
    before = golden.key(images, tmp_path)

    assert golden.key(images[::-1], tmp_path) == before
    assert golden.key([Image("a:1", "k1"), Image("b:1", "changed")], tmp_path) != before
    assert golden.key([Image("a:2", "k1"), Image("b:1", "k2")], tmp_path) != before


def test_stale_stores_go_but_the_one_under_a_cluster_stays(cache: Path):
    used, stale, keep = (cache / f"golden-{name}" for name in ("used", "stale", "keep"))
    for path in (used, stale, keep):
        path.mkdir(parents=True)
    State("default").note("golden", str(used))

    golden.remove_stale(keep)

    assert (used.exists(), stale.exists(), keep.exists()) == (True, False, True)


def test_linked_trees_share_layers_but_not_databases(tmp_path: Path):
    store = tmp_path / "golden/tree" / golden.STORE / "io.containerd.metadata.v1.bolt"
    (store / "deep").mkdir(parents=True)
    (store / "meta.db").write_text("database")
    (store / "deep/layer").write_text("layer")

    golden.link_tree(tmp_path / "golden", tmp_path / "disk")

    copy = tmp_path / "disk" / golden.STORE / "io.containerd.metadata.v1.bolt"
    assert (copy / "deep/layer").samefile(store / "deep/layer")
    assert (copy / "meta.db").read_text() == "database"
    assert not (copy / "meta.db").samefile(store / "meta.db")


def test_facts_of_a_cluster_are_kept_and_those_of_none_are_empty():
    state = State("x")
    assert state.facts() == {}

    state.note("a", "1")
    state.note("b", "2")

    assert State("x").facts() == {"a": "1", "b": "2"}


def test_nodes_see_the_cache_at_one_place_wherever_it_is(cache: Path):
    assert seen(cache / "clusters/x/pki/ca.crt") == Path("/run/bed/clusters/x/pki/ca.crt")
    with pytest.raises(ValueError, match="not in the subpath"):
        seen(Path("/etc/passwd"))


def test_clusters_of_two_caches_do_not_share_a_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    one = State("default").cgroup.name
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))

    assert State("default").cgroup.name != one


def test_tools_of_one_module_and_tag_set_are_built_by_one_call(cache: Path):
    tools = toolchain.Toolchain()
    assert tools.bin.parent.parent == cache

    groups = tools._groups(["kubelet", "kubectl", "ctr", "helm-unittest", "e2e.test"])

    assert sorted(groups) == [["ctr"], ["e2e.test"], ["helm-unittest"], ["kubelet", "kubectl"]]


def test_go_names_a_program_by_its_last_part_but_for_a_version():
    assert toolchain.produced(toolchain.Source("k8s.io/kubernetes/cmd/kubelet")) == "kubelet"
    assert toolchain.produced(toolchain.Source("go.etcd.io/etcd/server/v3")) == "server"
    assert toolchain.produced(toolchain.Source("./coredns")) == "coredns"
    assert toolchain.produced(toolchain.Source("sigs.k8s.io/kind")) == "kind"
    assert toolchain.produced(toolchain.Source("k8s.io/kubernetes/test/e2e", test=True)) == "e2e.test"


def test_an_unknown_tool_is_refused_before_anything_is_built():
    with pytest.raises(ValueError, match="no such tool: kubeadm"):
        toolchain.Toolchain().ensure(["kubeadm"])


def test_the_mirror_is_debians_own_and_no_side_archive():
    lines = "Other|nodistro|https://deb.example/x/\nDebian|oldstable-security|http://m/sec/\nDebian|oldstable|http://m/debian/\n"

    assert pick_mirror(lines) == "http://m/debian"
    assert pick_mirror("Ubuntu|noble|http://m/ubuntu/") is None


def test_only_missing_packages_are_named_and_each_once():
    assert missing_packages({"sh": "dash", "no-such-a": "pkg", "no-such-b": "pkg"}) == ["pkg"]


def test_settings_are_noted_once_and_put_back_even_after_a_second_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host, "PROC_SYS", tmp_path)
    (tmp_path / "fs/inotify").mkdir(parents=True)
    (tmp_path / "kernel").mkdir()
    instances, panic = tmp_path / "fs/inotify/max_user_instances", tmp_path / "kernel/panic"
    instances.write_text("128\n")
    panic.write_text("1\n")

    host.save_and_tune(tmp_path / "saved")
    panic.write_text("10")  # as the kubelet does
    host.save_and_tune(tmp_path / "saved")
    assert instances.read_text() == "1024"
    host.restore(tmp_path / "saved")

    assert (instances.read_text(), panic.read_text()) == ("128", "1")


def test_a_setting_that_is_large_enough_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(host, "PROC_SYS", tmp_path)
    (tmp_path / "fs/inotify").mkdir(parents=True)
    (tmp_path / "fs/inotify/max_user_instances").write_text("8192\n")

    host.save_and_tune(tmp_path / "saved")

    assert (tmp_path / "fs/inotify/max_user_instances").read_text() == "8192\n"


def test_memory_is_smaller_where_the_cluster_would_not_fit():
    assert umlnode.memory_mib(free=16000) == 768
    assert umlnode.memory_mib(free=2500) == 512


def test_the_kernels_command_line_names_disk_card_and_mode(cache: Path, monkeypatch: pytest.MonkeyPatch):
    state, node = State("default"), node_named("node2")
    monkeypatch.setenv("MOORAGE_UML_ARGS", "nfsv4.directory_delegations=0")

    fast = umlnode.kernel_arguments(
        state, node, Kernel(Path("/k"), Path("/m"), True), Path("/root"), Path("/d.ext4"), 768
    )
    slow = umlnode.kernel_arguments(
        state, node, Kernel(Path("/k"), Path("/m"), False), Path("/root"), Path("/d.ext4"), 512
    )

    assert {"mem=768M", "rootflags=/root", "ro", "seccomp=on", "nfsv4.directory_delegations=0"} <= set(fast)
    assert f"ubd0={state.node(node)}/disk.cow,/d.ext4" in fast
    assert "seccomp=on" not in slow and "mem=512M" in slow
    assert f"bed={cache}" in fast


def test_a_node_started_later_runs_the_kernel_that_was_chosen(monkeypatch: pytest.MonkeyPatch):
    state = State("x")
    first = Kernel(Path("/k/linux"), Path("/k/modules"), False)
    monkeypatch.setattr(umlnode, "ensure_kernel", lambda: first)
    umlnode.choose_kernel(state)
    monkeypatch.setattr(umlnode, "ensure_kernel", lambda: Kernel(Path("/other"), Path("/other"), True))

    assert umlnode.kernel_of(state, NODES[1]) == first


def test_one_node_may_run_a_kernel_of_its_own(monkeypatch: pytest.MonkeyPatch):
    state = State("x")
    usual, own = Kernel(Path("/k"), Path("/m"), True), Kernel(Path("/old"), Path("/om"), False)
    monkeypatch.setattr(umlnode, "ensure_kernel", lambda: usual)
    umlnode.choose_kernel(state)

    umlnode.choose_kernel(state, own, NODES[2])

    assert umlnode.kernel_of(state, NODES[1]) == usual
    assert umlnode.kernel_of(state, NODES[2]) == own
