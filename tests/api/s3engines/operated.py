"""The operator with a StorageBackend on one of these servers, as users meet it."""

import base64
from typing import Any

from bed import Bed, condition, until

from moorage.actions import Manifest, part
from moorage.features import told
from moorage.sigv4 import Key
from s3engines.server import Server


async def backend_on(bed: Bed, server: Server, **more: object) -> str:
    """A Ready StorageBackend of this server; its name."""
    name = f"{server.flavor}-{bed.namespace}"
    key = {"AWS_ACCESS_KEY_ID": server.root.access, "AWS_SECRET_ACCESS_KEY": server.root.secret}
    await bed.make("Secret", f"root-{server.flavor}", "v1", stringData=key)
    ref = {"name": f"root-{server.flavor}", "namespace": bed.namespace}
    s3 = {**server.spec(**more).dump(), "credentialsSecret": ref}
    await bed.make("StorageBackend", name, spec={"engine": {"s3": s3}})
    made = await bed.condition(name, "Ready", "True", "StorageBackend")
    assert part(await bed.get("StorageBackend", name), "status")["features"] == list(told(server.spec(**more)))
    assert made
    return name


async def key_in(bed: Bed, secret: str) -> tuple[Key, str]:
    """The key of a Secret, and its bucket."""
    data = part(await bed.get("Secret", secret, "v1"), "data")
    plain = {name: base64.b64decode(value).decode() for name, value in data.items()}
    return Key(plain["AWS_ACCESS_KEY_ID"], plain["AWS_SECRET_ACCESS_KEY"]), plain["BUCKET"]


async def said(bed: Bed, kind: str, name: str, type: str) -> Manifest:
    """A condition, once it is there."""

    async def there() -> Any:
        return condition(await bed.get(kind, name), type) or None

    return await until(there, lambda: bed._story(kind, name, type))
