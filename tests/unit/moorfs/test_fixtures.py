"""The fixtures themselves: an engine that stores, and a mount whose callers are freed by the teardown."""

import os
from collections.abc import Callable
from typing import Any

import pytest


def test_the_engine_stores_objects(engine: Any, bucket: str) -> None:
    engine.s3.put_object(Bucket=bucket, Key="a/b", Body=b"x", Metadata={"mode": "33188"})

    assert engine.s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"x"


def test_a_mount_that_nobody_serves_hangs_its_caller_only_until_it_is_aborted(mount: Callable[..., Any]) -> None:
    made = mount(start=False)
    caller = made.begin(lambda: os.listdir("."))

    with pytest.raises(TimeoutError):
        caller.result(0.3)
    made.abort()
    with pytest.raises(OSError, match=r"not connected|abort"):
        caller.result()
