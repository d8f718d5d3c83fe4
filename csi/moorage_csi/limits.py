"""How big the fields of a request may be (CSI spec, Size Limits): 128 bytes for a string, 4 KiB for a map."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from moorage.errors import InvalidInput

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor

PACKAGE = "csi.v1"  # the limits are those of the CSI spec; our own protocols have none
STRING = 128
MAP = 4096
PATH = 4095  # PATH_MAX of Linux, without its final zero
# Fields whose description overrides the general limit: paths, and the flags of a mount (4 KiB all together).
_LONGER = {
    "target_path": PATH, "staging_target_path": PATH, "volume_path": PATH, "volume_publish_path": PATH,
    "mount_flags": MAP,
}  # fmt: skip


def check(message: Message, where: str = "") -> None:
    """Raises InvalidInput that names the first field that is too big; its value is not told, it may be a secret."""
    if message.DESCRIPTOR.file.package != PACKAGE:
        return
    for field, value in message.ListFields():
        _check_field(field, value, f"{where}{field.name}")


def _check_field(field: "FieldDescriptor", value: Any, where: str) -> None:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return _refuse(where, sum(_size(text) for pair in value.items() for text in pair), MAP)
    if field.message_type:
        for part in value if field.is_repeated else (value,):
            check(part, f"{where}.")
    elif field.type == field.TYPE_STRING:
        _refuse(where, sum(map(_size, _texts(field, value))), _LONGER.get(field.name, STRING))


def _texts(field: "FieldDescriptor", value: Any) -> Iterable[str]:
    return value if field.is_repeated else (value,)


def _size(text: Any) -> int:
    return len(str(text).encode())


def _refuse(where: str, size: int, limit: int) -> None:
    if size > limit:
        raise InvalidInput(f"{where} has {size} bytes; the CSI spec allows {limit}")
