"""The order in which requests are begun, and what is done while the engine is waited for."""

from collections import deque
from typing import cast

from moorfs import wire
from moorfs.kernel import Kernel
from moorfs.lead import Lead
from moorfs.meanwhile import Meanwhile
from moorfs.message import Request

ENGINE = 7


class Queue:
    """A kernel with these requests, and an engine that answers when they are all read and `answers` is true."""

    def __init__(self, *opcodes: int, answers: bool = True) -> None:
        self.waiting = deque(enumerate(opcodes, 1))
        self.answers = answers

    def read(self, buffer: memoryview, sleep: bool = True) -> int:
        return self.read_now(buffer)

    def read_now(self, buffer: memoryview) -> int:
        if not self.waiting:
            return 0
        unique, opcode = self.waiting.popleft()
        wire.IN_HEADER.pack_into(buffer, 0, wire.IN_HEADER.size, opcode, unique, 1, 0, 0, 0, 0, 0)
        return wire.IN_HEADER.size

    def idle_until(self, fd: int) -> bool | None:
        assert fd == ENGINE
        return False if self.waiting else self.answers or None


def leading(*opcodes: int, answers: bool = True) -> tuple[Meanwhile, Lead]:
    lead = Lead()
    lead.take()
    return Meanwhile(cast("Kernel", Queue(*opcodes, answers=answers)), lead), lead


def begun(meanwhile: Meanwhile) -> list[int]:
    room, found = memoryview(bytearray(wire.PAGE)), list[int]()
    while (request := meanwhile.next(room)) is not None:
        found.append(request.opcode)
    return found


def test_what_nobody_waits_for_is_begun_last() -> None:
    meanwhile, _ = leading(wire.FORGET, wire.GETATTR, wire.BATCH_FORGET, wire.LOOKUP)

    order = begun(meanwhile)

    assert order == [wire.GETATTR, wire.LOOKUP, wire.FORGET, wire.BATCH_FORGET]


def test_the_lead_is_kept_over_what_nobody_waits_for() -> None:
    meanwhile, lead = leading(wire.FORGET)

    meanwhile.until(ENGINE)

    assert lead.held
    assert begun(meanwhile) == [wire.FORGET]


def test_the_lead_is_given_up_for_any_other_request_which_is_begun_next() -> None:
    meanwhile, lead = leading(wire.FORGET, wire.READ, wire.GETATTR)

    meanwhile.until(ENGINE)

    assert not lead.held
    assert len(meanwhile) == 2
    assert begun(meanwhile) == [wire.READ, wire.GETATTR, wire.FORGET]


def test_what_can_be_answered_at_once_is_and_the_lead_is_kept() -> None:
    meanwhile, lead = leading(wire.GETATTR, wire.GETATTR)
    answered: list[int] = []

    def quick(request: Request) -> bool:
        answered.append(request.unique)
        return True

    meanwhile.quick = quick

    meanwhile.until(ENGINE)

    assert lead.held
    assert answered == [1, 2]
    assert begun(meanwhile) == []


def test_the_lead_is_given_up_when_the_engine_takes_long() -> None:
    meanwhile, lead = leading(answers=False)

    meanwhile.until(ENGINE)

    assert not lead.held


def test_during_an_unlink_what_is_forgotten_is_forgotten_at_once() -> None:
    meanwhile, lead = leading(wire.FORGET, wire.FORGET)
    done: list[int] = []
    meanwhile.forget = lambda request: done.append(request.unique)

    meanwhile.until(ENGINE)

    assert lead.held
    assert done == [1, 2]
    assert len(meanwhile) == 0


def test_who_lost_the_lead_in_forgetting_reads_nothing_more() -> None:
    meanwhile, lead = leading(wire.FORGET, wire.FORGET)

    def waits(_: Request) -> None:
        lead.give_up()

    meanwhile.forget = waits

    meanwhile.until(ENGINE)

    assert not lead.held
    lead.take()
    assert begun(meanwhile) == [wire.FORGET]
