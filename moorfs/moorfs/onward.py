"""A multipart upload that hands everything on to another: who has more to do with a call says so by its own."""

from dataclasses import dataclass

from moorfs.ports import ALWAYS, Condition, Range, Upload


@dataclass(frozen=True, slots=True)
class Onward:
    """An `Upload`."""

    upload: Upload

    @property
    def id(self) -> str:
        return self.upload.id

    def part(self, number: int, body: Range) -> None:
        self.upload.part(number, body)

    def copy_part(self, number: int, source: str, start: int, length: int, match: str) -> None:
        self.upload.copy_part(number, source, start, length, match)

    def same(self, number: int, body: Range) -> bool:
        return self.upload.same(number, body)

    def complete(self, condition: Condition = ALWAYS) -> str:
        return self.upload.complete(condition)

    def abort(self) -> None:
        self.upload.abort()
