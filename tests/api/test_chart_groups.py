"""Node groups and filers of the chart's values, on a real API server: every object is accepted, the examples too."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart import NAMESPACE, Api, create, rendered

ROOT = Path(__file__).resolve().parents[2]
GROUP: dict[str, Any] = {
    "name": "gpu",
    "nodeSelector": {"pool": "gpu"},
    "minNodes": 1,
    "replicas": 2,
    "overcommit": True,
    "mountOptions": ["nconnect=4"],
    "pool": {"size": "1Ti", "storageClass": "fast"},
    "server": {"nodeSelector": {"role": "storage"}, "tolerations": [{"operator": "Exists"}]},
}
FILER: dict[str, Any] = {
    "name": "netapp",
    "server": "filer.example.com",
    "path": "/export/k8s",
    "size": "advisory",
    "folder": "${namespace}/${name}-${id}",
    "adopt": "/home/${namespace}",
    "mountOptions": ["nconnect=8", "vers=4.2"],
    "nodeSelector": {"site": "berlin"},
}


def examples() -> list[str]:
    """The values.yaml's own commented examples of `nfs.groups` and `filers`, as the user would write them."""
    text = (ROOT / "charts/moorage/values.yaml").read_text()
    blocks = re.findall(r"^( *)(groups|filers): \[\]\n((?: *# .*\n)+)", text, re.MULTILINE)
    assert [name for _, name, _ in blocks] == ["groups", "filers"]
    lists = {name: yaml.safe_load(re.sub(r"^ *#", "", lines, flags=re.MULTILINE)) for _, name, lines in blocks}
    return [f"nfs.groups={json.dumps(lists['groups'])}", f"filers={json.dumps(lists['filers'])}"]


@pytest.mark.parametrize("case", ["all fields", "the examples in values.yaml"])
def test_groups_and_filers_are_accepted(api: Api, case: str) -> None:
    given = [f"nfs.groups={json.dumps([GROUP])}", f"filers={json.dumps([FILER])}"]
    values = given if case == "all fields" else examples()
    things = rendered(*(word for value in values for word in ("--set-json", value)))
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    assert create(api, space).status_code in (201, 409)

    answers = {f"{each['kind']} {each['metadata']['name']}": create(api, each, dryRun="All") for each in things}

    assert {name: answer.text for name, answer in answers.items() if answer.status_code != 201} == {}
    for name in ("moorage-nfs-gpu", "moorage-nfs"):
        assert f"StatefulSet {name}" in answers
    assert {"StorageBackend gpu", "StorageBackend netapp", "StorageClass moorage-gpu"} <= set(answers)
