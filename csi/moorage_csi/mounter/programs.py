"""The programs that show buckets, as recipes: s3fs, and moorfs, which is ours."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moorage import names, objectmount
from moorage.objectmount import FSTYPES, MOORFS, S3FS
from moorage_csi.mounter.recipe import Key, Place, Recipe, digest

Texts = Mapping[str, str]
CONTROL = "control"  # name of a moorfs' socket among its files


@dataclass(frozen=True, slots=True)
class Programs:
    """`s3fs` and `moorfs`: how they are called. `cache`: directory of the node's disk for what moorfs keeps."""

    cache: Path
    s3fs: str = "s3fs"
    moorfs: Sequence[str] = (sys.executable, "-P", "-m", "moorfs")

    def recipe(self, volume_id: str, target: str, kind: str, parameters: Texts, secrets: Texts) -> Recipe:
        """Raises InvalidInput for parameters that do not fit and a Secret without a key."""
        key = Key.of(secrets)
        plan, _, _ = objectmount.of_parameters(kind, parameters)
        ca = secrets.get(names.SECRET_CA, "")
        argv, files = (
            self._s3fs(target, parameters, key)
            if kind == S3FS
            else self._moorfs(volume_id, target, parameters, key, trust=bool(ca))
        )

        def all_files(place: Place) -> Texts:
            return {**files(place), **({names.SECRET_CA: ca} if ca else {})}

        def environment(place: Place) -> Texts:
            return {"CURL_CA_BUNDLE": str(place.folder / names.SECRET_CA)} if ca else {}

        return Recipe(
            volume_id, target, kind, FSTYPES[kind], plan.source, dict(parameters), dict(secrets), argv, all_files,
            environment, connection=kind == MOORFS, flags=objectmount.mount_flags(kind, parameters),
        )  # fmt: skip

    def _s3fs(
        self, target: str, parameters: Texts, key: Key
    ) -> tuple[Callable[[Place], Sequence[str]], Callable[[Place], Texts]]:
        def argv(place: Place) -> Sequence[str]:
            return objectmount.s3fs_argv(self.s3fs, parameters, str(place.folder / "passwd"), target)

        return argv, lambda _: {"passwd": f"{key.access}:{key.secret}\n"}

    def _moorfs(
        self, volume_id: str, target: str, parameters: Texts, key: Key, trust: bool
    ) -> tuple[Callable[[Place], Sequence[str]], Callable[[Place], Texts]]:
        group = parameters.get("group", "")
        # A claim and an inline volume of the same volume are two mounts, with a cache each.
        name = f"{volume_id.replace('/', '_')}{f'-g{group}' if group else ''}-{digest(target)[:8]}"
        cache = self.cache / name
        settings = objectmount.moorfs_settings(parameters) | {
            "cache": str(cache),
            "volume": "/".join(volume_id.split("/")[:2]),
        }

        def argv(place: Place) -> Sequence[str]:
            more = ("--takeover",) if place.taking_over else ()
            return (*self.moorfs, "--fd", str(place.device), "--config", str(place.folder / "config.json"), *more)

        def files(place: Place) -> Texts:
            own = {"keyFile": str(place.folder / "key.json"), "socket": str(place.folder / CONTROL)}
            own |= {"caFile": str(place.folder / names.SECRET_CA)} if trust else {}
            credentials = {"AWS_ACCESS_KEY_ID": key.access, "AWS_SECRET_ACCESS_KEY": key.secret}
            return {"config.json": json.dumps(settings | own), "key.json": json.dumps(credentials)}

        return argv, files
