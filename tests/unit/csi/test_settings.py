"""Flags, their environment variables and their defaults."""

from pathlib import Path

import pytest

from moorage_csi import settings


@pytest.mark.parametrize(
    ("role", "endpoint", "host"),
    [
        ("controller", "unix:///csi/csi.sock", ""),
        ("node", "unix:///var/lib/kubelet/plugins/csi.moorage.dev/csi.sock", "127.0.0.1"),
        ("mounter", "unix:///var/lib/kubelet/plugins/csi.moorage.dev/mounter.sock", "127.0.0.1"),
        ("all", "unix:///csi/csi.sock", "127.0.0.1"),
    ],
)
def test_defaults_by_role(role: str, endpoint: str, host: str) -> None:
    chosen = settings.parse([role])
    assert (chosen.endpoint, chosen.health_host, chosen.health_port) == (endpoint, host, 0)


def test_everything_follows_the_kubelets_directory() -> None:
    chosen = settings.parse(["node", "--kubelet-dir", "/data/kubelet"])
    assert chosen.registration_socket == Path("/data/kubelet/plugins_registry/csi.moorage.dev-reg.sock")
    assert chosen.mounter == "unix:///data/kubelet/plugins/csi.moorage.dev/mounter.sock"


def test_the_environment_is_read_and_a_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORAGE_HEALTH_PORT", "29808")
    monkeypatch.setenv("MOORAGE_KUBELET_DIR", "/data/kubelet")
    monkeypatch.setenv("NODE_NAME", "node-7")
    chosen = settings.parse(["node", "--health-port", "1"])
    assert (chosen.health_port, chosen.kubelet_dir, chosen.node_name) == (1, Path("/data/kubelet"), "node-7")


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(SystemExit):
        settings.parse(["webhook"])


def test_limits_and_places_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings.parse(["node"])
    assert (chosen.max_volumes, chosen.mount_root, chosen.volume_health) == (256, "/mnt", False)
    monkeypatch.setenv("MOORAGE_MAX_VOLUMES", "0")
    monkeypatch.setenv("MOORAGE_VOLUME_HEALTH", "true")
    chosen = settings.parse(["node", "--mount-root", "/data"])
    assert (chosen.max_volumes, chosen.mount_root, chosen.volume_health) == (0, "/data", True)


@pytest.mark.parametrize(("name", "value"), [("MOORAGE_MAX_VOLUMES", "-1"), ("MOORAGE_VOLUME_HEALTH", "yes")])
def test_a_value_that_means_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        settings.parse(["node"])


def test_an_empty_host_is_every_address_of_the_node() -> None:
    assert settings.parse(["node", "--health-host="]).health_host == ""
