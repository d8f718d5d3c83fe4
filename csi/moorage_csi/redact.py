"""Messages as they may be logged.

Fields that the CSI spec marks `csi_secret` are blanked, by descriptor. So is what might be a secret written in a wrong
place: attributes and parameters whose keys are not known, and the values of mount options.
"""

import json
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from moorage import names
from moorage.mount import FOREIGN_PREFIXES
from moorage.view import VIEW_KEYS
from moorage_csi.proto import csi_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor

REDACTED = "***"
_SECRET: Any = csi_pb2.csi_secret  # an extension of FieldOptions; the stubs know it as a plain field descriptor
LIMIT = 2000  # characters of one logged message
# Not marked in the spec, but tokens travel there when a CSIDriver asks for them (CVE-2023-2878).
_SECRET_KEYS = frozenset({"csi.storage.k8s.io/serviceAccount.tokens"})
_SHOWN_KEYS = frozenset(
    {"type", "mount", "server", "path", "bucket", "prefix", "region", "backend", "kind", names.ATTR_VOLUME, *VIEW_KEYS}
)


def text(message: Message) -> str:
    """One line of JSON for the log."""
    return json.dumps(fields(message), default=str)[:LIMIT]


def fields(message: Message) -> dict[str, Any]:
    """The fields that are set, secret ones blanked."""
    return {field.name: _shown(field, value) for field, value in message.ListFields()}


def _shown(field: "FieldDescriptor", value: Any) -> Any:
    if field.GetOptions().Extensions[_SECRET]:
        return REDACTED
    if field.message_type and field.message_type.GetOptions().map_entry:
        return {key: str(item) if _may_be_shown(key) else REDACTED for key, item in value.items()}
    if field.name == "mount_flags":
        return [flag.partition("=")[0] for flag in value]
    if field.message_type and field.is_repeated:
        return [fields(item) for item in value]
    if field.message_type:
        return fields(value)
    return list(value) if field.is_repeated else value


def _may_be_shown(key: str) -> bool:
    return key in _SHOWN_KEYS or (key.startswith(FOREIGN_PREFIXES) and key not in _SECRET_KEYS)
