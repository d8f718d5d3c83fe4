"""StorageVolumes page by page, as ListVolumes wants them.

The API server's own continue tokens are longer than the 128 bytes that the CSI spec allows, so the caller gets a short
one for it. The long ones are kept here, the newest few: after a restart, or when it is too old, a token is not valid,
which the spec foresees (ABORTED, and the caller begins again).
"""

import secrets
from collections import OrderedDict
from urllib.parse import urlencode

from moorage import names
from moorage.errors import InvalidInput, Pending
from moorage_csi import api
from moorage_csi.api import Api, Object

_PAGE = 500  # objects that the API server is asked for at once
_KEPT = 64  # tokens


class Listing:
    def __init__(self, client: Api) -> None:
        self._api = client
        self._tokens: OrderedDict[str, str] = OrderedDict()

    async def page(self, most: int, token: str) -> tuple[list[tuple[str, Object]], str]:
        """At most `most` volumes (0: all) from `token` on with their ids, and the next token.

        Raises Pending for a token that is not valid.
        """
        if most < 0:
            raise InvalidInput(f"max_entries {most} is negative")
        if token and token not in self._tokens:
            raise Pending("starting_token is not valid, or not any more: begin again without one")
        found, position = await self._some(most or _PAGE, self._tokens.get(token, ""))
        while position and not most:
            more, position = await self._some(_PAGE, position)
            found += more
        return [(id, volume) for volume in found if (id := _id(volume))], self._short(position)

    async def _some(self, most: int, position: str) -> tuple[list[Object], str]:
        query = urlencode({"limit": str(most)} | ({"continue": position} if position else {}))
        try:
            answer = await self._api.get(f"{api.VOLUMES}?{query}")
        except (InvalidInput, Pending):  # 400 or 410: the API server has forgotten that list
            raise Pending("starting_token is too old: begin again without one") from None
        return list(answer["items"]), str(api.part(answer, "metadata").get("continue", ""))

    def _short(self, position: str) -> str:
        if not position:
            return ""
        token = secrets.token_hex(16)
        self._tokens[token] = position
        if len(self._tokens) > _KEPT:
            self._tokens.popitem(last=False)
        return token


def _id(volume: Object) -> str:
    """Empty while the operator has not seen the volume."""
    metadata, id = volume["metadata"], api.part(volume, "status").get("id")
    return str(names.VolumeHandle(metadata["namespace"], metadata["name"], id)) if id else ""
