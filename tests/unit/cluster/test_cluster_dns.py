"""Objects and certificates that the cluster starts with."""

import json
from pathlib import Path

from cluster import controlplane, dns, pki
from cluster.command import run
from cluster.layout import SERVICE_DNS
from cluster.state import State


def test_the_name_service_stands_on_the_control_plane_node_at_its_known_address():
    by_kind = {item["kind"]: item for item in json.loads(dns.manifest())["items"]}

    assert by_kind["Service"]["spec"]["clusterIP"] == SERVICE_DNS
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"node-role.kubernetes.io/control-plane": ""}
    assert pod["containers"][0]["image"] == dns.IMAGE
    assert "namespace" not in by_kind["ClusterRole"]["metadata"]


def test_no_two_certificates_share_a_serial():
    serials = [pki.serial(one.name) for one in pki.CERTIFICATES]

    assert len(set(serials)) == len(serials)


def test_flags_are_spelled_as_go_programs_want_them():
    assert controlplane.flags(data_dir="/x", v=1) == ["--data-dir=/x", "--v=1"]


def test_every_certificate_is_signed_by_its_authority_and_keys_are_private(tmp_path: Path):
    pki.ensure(tmp_path / "pki")
    home = tmp_path / "pki"

    for one in pki.CERTIFICATES:
        run(["openssl", "verify", "-CAfile", home / f"{one.authority}.crt", home / f"{one.name}.crt"])
        assert (home / f"{one.name}.key").stat().st_mode & 0o077 == 0
    made = (home / "ca.crt").read_bytes()
    pki.ensure(home)
    assert (home / "ca.crt").read_bytes() == made


def test_a_kubeconfig_holds_all_it_needs_and_only_its_owner_reads_it(tmp_path: Path):
    pki.ensure(tmp_path / "pki")

    pki.write_kubeconfig(tmp_path / "pki", "admin", tmp_path / "kubeconfig")

    config = json.loads((tmp_path / "kubeconfig").read_text())
    assert set(config["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o077 == 0


def test_the_api_server_knows_nodes_by_certificate_and_rights_by_role():
    flags = controlplane.apiserver_flags(State("x"))

    assert "--authorization-mode=Node,RBAC" in flags
    assert "--enable-admission-plugins=NodeRestriction" in flags
