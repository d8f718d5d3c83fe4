"""`make demo`: from nothing to pods on two nodes that share a volume and a bucket, told step by step."""

import sys
import time

from cluster.provider import Provider, choose
from harness import s3
from harness.install import ROOT, install
from harness.kube import Kube, wait_for

SAMPLES = ROOT / "samples"


class Story:
    """Lines with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, line: str) -> None:
        print(f"[{time.monotonic() - self._start:6.1f} s] {line}", flush=True)

    def show(self, text: str) -> None:
        print("\n".join(f"             {line}" for line in text.rstrip().splitlines()), flush=True)


def apply(kube: Kube, sample: str) -> None:
    kube("apply", "-f", str(SAMPLES / sample))


def shared_volume(kube: Kube, story: Story) -> None:
    """Two pods on two nodes; the reader sees one folder of what the writer writes."""
    story.say(
        "A shared volume of 512Mi, a pod that writes, a pod on another node that reads (samples/shared-volume.yaml)"
    )
    apply(kube, "shared-volume.yaml")
    kube.wait_phase("StorageVolume", "training-data", "READY")
    story.say("StorageVolume training-data is READY")
    nodes = [kube.wait_pod(name, timeout=180)["spec"]["nodeName"] for name in ("writer", "reader")]
    assert nodes[0] != nodes[1], f"both pods run on {nodes[0]}"
    story.say(f"writer runs on {nodes[0]}, reader on {nodes[1]}")
    first = kube.exec("reader", "cat", "/data/clock").strip()
    wait_for("a newer clock", lambda: kube.exec("reader", "cat", "/data/clock").strip() > first, 30)
    story.say("the reader sees what the writer writes, while it writes; mount-from /imagenet shows only that folder:")
    story.show(kube.exec("reader", "ls", "-l", "/data"))
    story.say("df in the writer shows the size that was asked, and the file system enforces it:")
    story.show(kube.exec("writer", "df", "-h", "/data"))


def object_volume(kube: Kube, story: Story) -> None:
    """The mount and S3 tools see the same objects."""
    story.say("A bucket with versioning, mounted into a pod (samples/object-volume.yaml)")
    apply(kube, "object-volume.yaml")
    kube.wait_phase("Bucket", "models", "READY")
    kube.wait_pod("trainer", timeout=180)
    kube.exec("trainer", "sh", "-c", "echo 'weights from the pod' > /models/from-pod.txt")
    key = s3.secret(kube, "models-s3")
    with s3.client(kube, key) as client:
        seen = client.get_object(Bucket=key["BUCKET"], Key="from-pod.txt")["Body"].read().decode()
        story.say(f"boto3, with the key of Secret models-s3, reads what the pod wrote: {seen.strip()!r}")
        client.put_object(Bucket=key["BUCKET"], Key="from-boto3.txt", Body=b"weights from boto3\n")
    seen = kube.exec("trainer", "cat", "/models/from-boto3.txt")
    story.say(f"the pod reads what boto3 wrote: {seen.strip()!r}")


def attachment(kube: Kube, bed: Provider, story: Story) -> None:
    """A volume for another namespace, with its owner's consent, and a directory on each node of a group."""
    story.say("A volume attached to another namespace and to two nodes (samples/attachment.yaml)")
    nodes = bed.nodes()[:2]
    kube("label", "node", *nodes, "pool=gpu", "--overwrite")
    apply(kube, "attachment.yaml")
    kube.wait_phase("StorageAttachment", "imagenet-ro", "READY", "training", timeout=180)
    story.show(kube("get", "satt", "-n", "training"))
    for node in nodes:
        seen = bed.node_exec(node, ["ls", "-ld", "/mnt/imagenet"]).strip()
        story.say(f"{node} has it: {seen}")


def main() -> int:
    story = Story()
    bed = choose()
    bed.create()
    kube = Kube(bed)
    story.say("Installing the chart (helm upgrade --install moorage charts/moorage --namespace moorage)")
    install(bed)
    shared_volume(kube, story)
    object_volume(kube, story)
    attachment(kube, bed, story)
    story.say("kubectl get storage")
    story.show(kube("get", "storage", "-A"))
    print(f"""
The cluster stays up. To look around:
  export KUBECONFIG={bed.kubeconfig}
  export PATH={bed.kubectl_argv()[0].rsplit("/", 1)[0]}:$PATH
  kubectl get sv,satt,bkt -A ; kubectl describe sv training-data
  kubectl exec -it writer -- sh                    # write beside the writer
  kubectl apply -f samples/dynamic-claims.yaml     # ordinary claims of Moorage's StorageClasses
  kubectl patch sv training-data --type merge -p '{{"spec":{{"size":"1Gi"}}}}'   # grows while mounted
  make down                                        # remove it all""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
