"""The CSI controller as its callers meet it: csi-sanity, external-provisioner and external-snapshotter, all real."""

from __future__ import annotations

import asyncio
import json

from driver import Driver
from driver import driver as driver  # fixture
from programs import tools


async def test_csi_sanity_finds_no_fault_in_the_controller(driver: Driver) -> None:
    """Volumes, snapshots, clones, lists and capacity; on a cluster the node's cases run too (tests/e2e)."""
    (program,) = await asyncio.to_thread(tools, "csi-sanity")
    parameters, report = driver.home / "parameters.yaml", driver.home / "report.json"
    parameters.write_text("type: shared\n")
    argv = [
        program, f"--csi.endpoint={driver.socket}", f"--csi.testvolumeparameters={parameters}",
        f"--csi.mountdir={driver.home / 'mount'}", f"--csi.stagingdir={driver.home / 'staging'}",
        "--ginkgo.focus=Controller S|Identity", "--ginkgo.skip=Node Service|volume lifecycle",
        "--ginkgo.no-color", f"--ginkgo.json-report={report}",
    ]  # fmt: skip
    with (driver.home / "sanity.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log)
    async with asyncio.timeout(300):
        await process.wait()

    specs = json.loads(report.read_text())[0]["SpecReports"]
    states = {" ".join([*each["ContainerHierarchyTexts"], each["LeafNodeText"]]): each["State"] for each in specs}
    failed = {name for name, state in states.items() if state not in ("passed", "skipped", "pending")}
    assert failed == set(), (driver.home / "sanity.log").read_text()[-6000:]
    snapshots = [name for name, state in states.items() if "napshot" in name and state == "passed"]
    assert len(snapshots) >= 14 and sum(state == "passed" for state in states.values()) >= 40
