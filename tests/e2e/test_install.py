"""The chart as its own test sees it, and what every user looks at first."""

from cluster.provider import Provider
from harness.install import NAMESPACE, RELEASE, helm
from harness.kube import Kube, condition, wait_for


def test_helm_test_passes(bed: Provider) -> None:
    said = helm(bed, "test", RELEASE, "-n", NAMESPACE, "--timeout", "120s")

    assert "Phase:          Succeeded" in said


def test_both_backends_are_ready_and_say_how_much_room_there_is(kube: Kube) -> None:
    backends = {each["metadata"]["name"]: each for each in kube.items("storagebackends.moorage.dev")}

    assert {condition(each, "Ready").get("status") for each in backends.values()} == {"True"}
    assert backends["shared"]["status"]["servers"][0]["freeBytes"] > 2**30


def test_metrics_are_served_by_every_process(kube: Kube) -> None:
    for target, port in (
        ("deployment/moorage-operator", 8080),
        ("statefulset/moorage-nfs", 8081),
        ("deployment/moorage-csi-controller", 8082),
    ):
        with kube.port_forward(target, port, NAMESPACE) as address:
            text = wait_for(f"metrics of {target}", lambda address=address: scrape(address), 30)
        assert "# TYPE moorage_" in text


def scrape(address: str) -> str:
    import urllib.request

    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        return answer.read().decode()
