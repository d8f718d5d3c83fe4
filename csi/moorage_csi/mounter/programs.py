"""The programs that show buckets, as recipes: moorfs, which is ours, s3fs and rclone."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moorage import names, objectmount, rclonemount, sigv4
from moorage.objectmount import FSTYPES, MOORFS, RCLONE, S3FS
from moorage_csi.mounter import firstlook, keytold, rclonecache
from moorage_csi.mounter.recipe import Key, Place, Recipe, digest
from moorage_csi.mounter.writeback import Writeback

Texts = Mapping[str, str]
CONTROL = "control"  # name of a program's socket among its files
_KEY, _KEY_CONFIG, _RCLONE_CONFIG = "key.json", "aws.conf", "rclone.conf"
_TELL_KEY = (sys.executable, "-I", "-S", keytold.__file__)
_BELIEVED = 60  # seconds after which rclone asks for its key again


@dataclass(frozen=True, slots=True)
class Programs:
    """`s3fs`, `moorfs`, `rclone`: how they are called. `cache`: directory of the node's disk for what they keep."""

    cache: Path
    s3fs: str = "s3fs"
    moorfs: Sequence[str] = (sys.executable, "-P", "-m", "moorfs")
    rclone: str = "rclone"
    inherits: Callable[[str], Sequence[str]] = lambda volume_id: ()  # caches of mounts of a volume that are over

    def recipe(self, volume_id: str, target: str, kind: str, parameters: Texts, secrets: Texts) -> Recipe:
        """Raises InvalidInput for parameters that do not fit and a Secret without a key."""
        key = Key.of(secrets)
        plan, _, _ = objectmount.of_parameters(kind, parameters)
        ca = secrets.get(names.SECRET_CA, "")
        home = self.cache / self._cache_name(volume_id, target, parameters.get("group", ""))
        make = {S3FS: self._s3fs, MOORFS: self._moorfs, RCLONE: self._rclone}[kind]
        argv, files = make(home, volume_id, target, parameters, key, bool(ca))

        def all_files(place: Place) -> Texts:
            return {**files(place), **({names.SECRET_CA: ca} if ca else {})}

        def environment(place: Place) -> Texts:
            return {"CURL_CA_BUNDLE": str(place.folder / names.SECRET_CA)} if ca else {}

        async def look() -> None:
            pair = sigv4.Key(key.access, key.secret)
            await firstlook.check(plan.endpoint, plan.region, plan.bucket, plan.prefix, pair, ca)

        found = Recipe(
            volume_id, target, kind, FSTYPES[kind], plan.source, dict(parameters), dict(secrets), argv, all_files,
            environment, connection=kind == MOORFS, flags=objectmount.mount_flags(kind, parameters), look=look,
        )  # fmt: skip
        if kind != RCLONE:
            return found

        def writeback(folder: Path) -> Writeback:
            return Writeback(folder / CONTROL, rclonecache.of(home))

        return replace(found, check=look, writeback=writeback)

    def _cache_name(self, volume_id: str, target: str, group: str) -> str:
        """A claim and an inline volume of the same volume are two mounts, with a cache each."""
        return f"{volume_id.replace('/', '_')}{f'-g{group}' if group else ''}-{digest(target)[:8]}"

    def _s3fs(
        self, home: Path, volume_id: str, target: str, parameters: Texts, key: Key, trust: bool
    ) -> tuple[Callable[[Place], Sequence[str]], Callable[[Place], Texts]]:
        def argv(place: Place) -> Sequence[str]:
            return objectmount.s3fs_argv(self.s3fs, parameters, str(place.folder / "passwd"), target)

        return argv, lambda _: {"passwd": f"{key.access}:{key.secret}\n"}

    def _moorfs(
        self, home: Path, volume_id: str, target: str, parameters: Texts, key: Key, trust: bool
    ) -> tuple[Callable[[Place], Sequence[str]], Callable[[Place], Texts]]:
        settings = objectmount.moorfs_settings(parameters) | {
            "cache": str(home),
            "volume": "/".join(volume_id.split("/")[:2]),
        }

        def argv(place: Place) -> Sequence[str]:
            more = ("--takeover",) if place.taking_over else ()
            return (*self.moorfs, "--fd", str(place.device), "--config", str(place.folder / "config.json"), *more)

        def files(place: Place) -> Texts:
            own = {"keyFile": str(place.folder / _KEY), "socket": str(place.folder / CONTROL)}
            own |= {"caFile": str(place.folder / names.SECRET_CA)} if trust else {}
            if not place.taking_over and (left := self.inherits(volume_id)):
                own["inherits"] = "\n".join(left)
            return {"config.json": json.dumps(settings | own), _KEY: _key_text(key)}

        return argv, files

    def _rclone(
        self, home: Path, volume_id: str, target: str, parameters: Texts, key: Key, trust: bool
    ) -> tuple[Callable[[Place], Sequence[str]], Callable[[Place], Texts]]:
        def argv(place: Place) -> Sequence[str]:
            given = rclonemount.Files(
                config=str(place.folder / _RCLONE_CONFIG), socket=str(place.folder / CONTROL),
                cache=str(rclonecache.of(home)), ca=str(place.folder / names.SECRET_CA) if trust else "",
            )  # fmt: skip
            return rclonemount.argv(self.rclone, parameters, given, target)

        def files(place: Place) -> Texts:
            return {
                _RCLONE_CONFIG: rclonemount.config(parameters, str(place.folder / _KEY_CONFIG)),
                _KEY_CONFIG: rclonemount.key_config((*_TELL_KEY, str(place.folder / _KEY), str(_BELIEVED))),
                _KEY: _key_text(key),
            }

        return argv, files


def _key_text(key: Key) -> str:
    return json.dumps({names.SECRET_ACCESS_KEY_ID: key.access, names.SECRET_SECRET_ACCESS_KEY: key.secret})
