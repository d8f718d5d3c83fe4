"""Nodes and addresses of the local cluster."""

import ipaddress

import pytest

from cluster.layout import GATEWAY, NODES, PODS, SERVICE_API, SERVICE_DNS, SERVICES, node_named


def test_every_address_is_its_own():
    addresses = [GATEWAY, *(node.address for node in NODES), *(node.router for node in NODES)]

    assert len(set(addresses)) == len(addresses)
    assert all(ipaddress.ip_address(address) in ipaddress.ip_network("10.88.0.0/24") for address in addresses)


def test_pod_networks_are_apart_and_within_the_range_of_pods():
    networks = [ipaddress.ip_network(node.pods) for node in NODES]

    assert all(network.subnet_of(ipaddress.ip_network(PODS)) for network in networks)
    assert not any(a.overlaps(b) for a in networks for b in networks if a is not b)


def test_service_addresses_lie_in_the_range_of_services():
    assert all(ipaddress.ip_address(one) in ipaddress.ip_network(SERVICES) for one in (SERVICE_API, SERVICE_DNS))


def test_names_of_links_fit_the_kernels_fifteen_bytes():
    assert all(len(name) <= 15 for node in NODES for name in (node.veth, node.tap))


def test_a_node_is_found_by_name_and_a_wrong_name_is_answered_with_the_right_ones():
    assert node_named("node2").address == "10.88.0.12"
    with pytest.raises(ValueError, match="there are node1, node2, node3"):
        node_named("node9")
