"""The operator may be killed at any call, and a fresh one ends in the same place.

Each story is told once without disturbance. Then it is told again until an operator was killed at every call that was
made in it: before the server has heard of it, and after the server has carried it out. After each stage everything must
be as it was without the death: objects, finalizers, owners, status, Events in their order.

Of the reads of one kind in a stage only the first is died at; MOORAGE_EVERY_KILL=1 in the environment takes them all.
"""

import asyncio
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import pytest
from killing import proof
from killing.proof import Address, Report
from killing.stories import STORIES

from moorage import names

SHOWN = 5  # failures that are printed
PROCESSES = 2  # other tests run beside this one
pytestmark = pytest.mark.timeout(1800)  # the first waits for a story, the next for what is left

SEEDS = (1, 2)

Reports = dict[str, Future[Report]]


@pytest.fixture(scope="module")
def address(api: Any, s3_server: Any) -> Iterator[Address]:
    address = Address(api.url, api.token, str(api.certificate))
    engine = {"endpoint": s3_server.endpoint, "adminEndpoint": s3_server.admin_endpoint}
    key = {names.SECRET_ACCESS_KEY_ID: s3_server.access, names.SECRET_SECRET_ACCESS_KEY: s3_server.secret}
    asyncio.run(proof.make_backends(address, engine, key))
    yield address
    asyncio.run(proof.sweep(address))


@pytest.fixture(scope="module")
def pool(address: Address) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        yield pool
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def reports(address: Address, pool: ProcessPoolExecutor, request: pytest.FixtureRequest) -> Reports:
    """All stories that were asked for at once, each in a process of its own."""
    asked = {each.callspec.params.get("title") for each in request.session.items if hasattr(each, "callspec")}
    return {title: pool.submit(proof.prove, address, title) for title in STORIES if title in asked}


@pytest.mark.parametrize("title", STORIES)
def test_killed_at_any_call_it_ends_in_the_same_place(title: str, reports: Reports) -> None:
    report = reports[title].result(timeout=1500)

    print(f"\n{title}: {report.calls} calls, {report.deaths} deaths, {report.seconds:.1f} s")
    assert not report.failures, f"{len(report.failures)} ended otherwise\n" + "\n\n".join(report.failures[:SHOWN])
    assert not report.missed


@pytest.mark.parametrize("seed", SEEDS)
def test_many_volumes_at_once_are_made_and_destroyed_by_operators_that_are_killed(
    seed: int, address: Address, pool: ProcessPoolExecutor
) -> None:
    troubles = pool.submit(proof.crowd, address, seed).result(timeout=1500)

    assert not troubles
