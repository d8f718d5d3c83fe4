"""The models read what the API server says and write what it wants."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from moorage import model
from moorage.model import Bucket, OnDelete, Phase, StorageBackend, StorageVolume, VolumeOnDelete, VolumeType

VOLUME: dict[str, Any] = {
    "apiVersion": "moorage.dev/v1alpha1",
    "kind": "StorageVolume",
    "metadata": {"name": "data", "namespace": "default"},
    "spec": {"type": "object", "bucket": {"name": "models", "prefix": "a/"}, "onDelete": "Retain", "claim": "None"},
    "status": {
        "phase": "READY",
        "secretRef": {"name": "models-s3", "namespace": "default"},
        "share": {"state": "Served", "server": "moorage-nfs-0", "sizeBytes": 2**30},
    },
}


def test_reads_an_object_in_the_words_of_the_api() -> None:
    volume = StorageVolume.model_validate(VOLUME)

    assert (volume.spec.type, volume.spec.on_delete, volume.status.phase) == (
        VolumeType.object,
        VolumeOnDelete.Retain,
        Phase.READY,
    )
    assert volume.spec.bucket is not None and volume.spec.bucket.prefix == "a/"
    assert volume.status.share is not None and volume.status.share.size_bytes == 2**30


def test_writes_what_it_read() -> None:
    volume = StorageVolume.model_validate(VOLUME)

    assert volume.spec.dump() == {**VOLUME["spec"], "squash": "None", "mountOptions": []}
    assert StorageVolume.model_validate(volume.dump()) == volume


def test_absent_is_not_written_as_null() -> None:
    spec = model.StorageVolumeSpec(type=VolumeType.shared, size="1Gi")

    told = {"type": "shared", "size": "1Gi", "onDelete": "Delete", "claim": "Auto"}
    assert spec.dump() == {**told, "squash": "None", "mountOptions": []}


def test_drops_fields_of_a_newer_version() -> None:
    volume = StorageVolume.model_validate({**VOLUME, "spec": {**VOLUME["spec"], "tier": "s"}})

    assert "tier" not in volume.spec.dump()


def test_an_object_without_status_or_spec_is_read() -> None:
    assert StorageVolume.model_validate({**VOLUME, "status": {}}).status.conditions == ()
    assert Bucket.model_validate({"metadata": {"name": "b"}}).spec.on_delete == OnDelete.Delete


@pytest.mark.parametrize(
    "spec", [{}, {"type": "block"}, {"type": "shared", "size": "1.5Gi"}, {"type": "object", "bucket": {"name": "a--b"}}]
)
def test_refuses_what_the_schema_refuses(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StorageVolume.model_validate({**VOLUME, "spec": spec})


def test_values_cannot_be_changed_in_place() -> None:
    volume = StorageVolume.model_validate(VOLUME)

    with pytest.raises(ValidationError, match="frozen"):
        volume.spec.claim = "Auto"


def test_a_backend_holds_one_engine() -> None:
    engine = {"ganesha": {"namespace": "moorage", "statefulSet": "moorage-nfs", "overcommit": False}}

    backend = StorageBackend.model_validate({"metadata": {"name": "shared"}, "spec": {"engine": engine}})

    assert backend.spec.engine.dump() == engine
