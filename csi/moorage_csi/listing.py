"""Objects page by page, as ListVolumes and ListSnapshots want them.

The API server's own continue tokens are longer than the 128 bytes that the CSI spec allows, so the caller gets a short
one for it. The long ones are kept here, the newest few: after a restart, or when it is too old, a token is not valid,
which the spec foresees (ABORTED, and the caller begins again).
"""

import secrets
from collections import OrderedDict
from urllib.parse import urlencode

from moorage.errors import InvalidInput, Pending
from moorage_csi import api
from moorage_csi.api import Api, Object

_PAGE = 500  # objects that the API server is asked for at once
_KEPT = 64  # tokens


class Listing:
    def __init__(self, client: Api) -> None:
        self._api = client
        self._tokens: OrderedDict[str, tuple[str, str, str]] = OrderedDict()  # with the list that each belongs to

    async def page(self, path: str, most: int, token: str, fields: str = "") -> tuple[list[Object], str]:
        """At most `most` objects (0: all) of the list from `token` on, and the next token.

        `fields`: a field selector. Raises Pending for a token that is not valid.
        """
        if most < 0:
            raise InvalidInput(f"max_entries {most} is negative")
        kept = self._tokens.get(token, ("", "", "")) if token else (path, fields, "")
        if kept[:2] != (path, fields):
            raise Pending("starting_token is not valid, or not any more: begin again without one")
        found, position = await self._some(path, fields, most or _PAGE, kept[2])
        while position and not most:
            more, position = await self._some(path, fields, _PAGE, position)
            found += more
        return found, self._short((path, fields, position)) if position else ""

    async def _some(self, path: str, fields: str, most: int, position: str) -> tuple[list[Object], str]:
        asked = {"limit": str(most), "continue": position, "fieldSelector": fields}
        query = urlencode({key: value for key, value in asked.items() if value})
        try:
            answer = await self._api.get(f"{path}?{query}")
        except (InvalidInput, Pending):  # 400 or 410: the API server has forgotten that list
            if not position:
                raise
            raise Pending("starting_token is too old: begin again without one") from None
        return list(answer["items"]), str(api.part(answer, "metadata").get("continue", ""))

    def _short(self, position: tuple[str, str, str]) -> str:
        token = secrets.token_hex(16)
        self._tokens[token] = position
        if len(self._tokens) > _KEPT:
            self._tokens.popitem(last=False)
        return token
