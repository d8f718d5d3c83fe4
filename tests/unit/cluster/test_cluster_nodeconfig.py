"""Configuration files of nodes, read back as their programs would."""

import json
import tomllib

import pytest

from cluster import nodeconfig
from cluster.layout import CONTROL_PLANE, PAUSE, SERVICE_DNS, node_named
from cluster.network import hairpin, sysctls

NAMESPACE, UML = node_named("node1"), node_named("node2")


def kubelet(node, root=None):
    return json.loads(nodeconfig.kubelet(node, "/run/bed/n", "/run/bed/ca.crt", cgroup_root=root))


def test_only_the_namespace_node_keeps_ordinary_pods_away():
    assert kubelet(NAMESPACE)["registerWithTaints"] == [{"key": CONTROL_PLANE, "effect": "NoSchedule"}]
    assert "registerWithTaints" not in kubelet(UML)


def test_the_namespace_node_lives_in_its_own_control_group_and_tolerates_version_1():
    config = kubelet(NAMESPACE, "/moorage-x/node1")

    assert (config["cgroupRoot"], config["failCgroupV1"]) == ("/moorage-x/node1", False)
    assert "cgroupRoot" not in kubelet(UML)


def test_the_kubelet_asks_who_calls_and_never_evicts_for_disk():
    config = kubelet(UML)

    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["authorization"] == {"mode": "Webhook"}
    assert config["evictionHard"]["nodefs.available"] == "0%"
    assert config["clusterDNS"] == [SERVICE_DNS]


def test_a_routers_kube_proxy_takes_the_nodes_own_traffic_for_local_so_that_it_keeps_its_address():
    config = json.loads(nodeconfig.kube_proxy(UML, "/k"))

    assert config["detectLocalMode"] == "InterfaceNamePrefix"
    assert UML.tap.startswith(config["detectLocal"]["interfaceNamePrefix"])
    assert config["mode"] == "nftables"
    assert json.loads(nodeconfig.kube_proxy(NAMESPACE, "/k"))["detectLocalMode"] == "ClusterCIDR"


def test_containerd_keeps_the_pause_image_and_lowers_no_oom_score_where_it_may_not():
    config = tomllib.loads(nodeconfig.containerd(NAMESPACE))

    assert config["plugins"]["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"] == PAUSE
    assert config["plugins"]["io.containerd.cri.v1.runtime"]["restrict_oom_score_adj"] is True
    uml = tomllib.loads(nodeconfig.containerd(UML))
    assert uml["plugins"]["io.containerd.cri.v1.runtime"]["restrict_oom_score_adj"] is False


def test_a_uml_node_offers_no_host_ports_since_its_kernel_has_no_nat():
    kinds = {
        node: [plugin["type"] for plugin in json.loads(nodeconfig.cni(node))["plugins"]] for node in (NAMESPACE, UML)
    }

    assert kinds == {NAMESPACE: ["ptp", "portmap"], UML: ["ptp"]}


def test_pods_of_a_node_get_addresses_of_that_node():
    ranges = json.loads(nodeconfig.cni(UML))["plugins"][0]["ipam"]["ranges"]

    assert ranges == [[{"subnet": "10.188.2.0/24"}]]


def test_the_environment_of_a_node_refuses_what_a_shell_would_read_otherwise():
    assert (
        nodeconfig.environment({"NAME": "node1", "HOME_DIR": "/run/bed/a-b_c.d"})
        == "NAME=node1\nHOME_DIR=/run/bed/a-b_c.d\n"
    )
    for bad in ("a b", "$(x)", "a;b", "`x`", "a'b", ""):
        with pytest.raises(ValueError, match="XDG_CACHE_HOME"):
            nodeconfig.environment({"HOME_DIR": bad})


def test_only_a_router_answers_for_another_machine():
    assert "net.ipv4.conf.eth0.proxy_arp=1" in sysctls(UML)
    assert not any("proxy_arp" in setting for setting in sysctls(NAMESPACE))


def test_the_hairpin_rule_touches_only_what_was_sent_to_a_service():
    rules = hairpin(UML)

    assert "ct status dnat" in rules
    assert f'oifname "{UML.tap}"' in rules
    assert f"{UML.address}, {UML.pods}" in rules
