"""What a key may do with a bucket."""

from enum import StrEnum


class Access(StrEnum):
    """ReadOnly reads objects; ReadWrite also writes and deletes them; Admin also changes settings that harm nobody."""

    ReadOnly = "ReadOnly"
    ReadWrite = "ReadWrite"
    Admin = "Admin"
