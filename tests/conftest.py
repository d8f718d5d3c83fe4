"""How the tests are dealt out to processes (pytest-xdist, ADR 26): whole files, and all of tests/e2e as one."""

from typing import Any

import pytest

CLUSTER = "tests/e2e/"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            """Tests with the same answer run in one process, in their order. There is one cluster: so all of e2e."""
            return CLUSTER if nodeid.startswith(CLUSTER) else nodeid.split("::")[0]

    return Files(config, log)
