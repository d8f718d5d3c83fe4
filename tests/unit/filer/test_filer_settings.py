"""What a filer's worker is told, and how it tells of what it cannot read."""

from pathlib import Path

import pytest

from moorage.errors import InvalidInput
from moorage_operator.filer.settings import Settings

NAMES = {"POD_NAME": "moorage-filer-nas", "MOORAGE_BACKEND": "nas"}


def test_defaults() -> None:
    found = Settings.read(NAMES)

    assert (found.pod, found.backend, found.root, found.ready) == ("moorage-filer-nas", "nas", Path("/export"), None)
    assert (found.idle, found.life, found.mount_deadline) == (30.0, 1800.0, 30.0)


def test_what_the_pod_says() -> None:
    told = {"MOORAGE_FILER_ROOT": "/mnt", "MOORAGE_FILER_READY": "/tmp/ready", "MOORAGE_FILER_IDLE": "5"}

    found = Settings.read({**NAMES, **told, "MOORAGE_FILER_MOUNT_DEADLINE": "7", "NODE_NAME": "n1"})

    assert (found.root, found.ready, found.idle, found.mount_deadline) == (Path("/mnt"), Path("/tmp/ready"), 5.0, 7.0)
    assert found.node == "n1"


@pytest.mark.parametrize("wrong", [{"POD_NAME": ""}, {"MOORAGE_BACKEND": ""}, {"MOORAGE_FILER_IDLE": "soon"}])
def test_what_is_missing_or_no_number_is_named(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Settings.read({**NAMES, **wrong})
