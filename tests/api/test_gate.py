"""The line in front of the work, and the bucket of each caller."""

import asyncio

import pytest

from api.admission import Buckets
from api.errors import OverloadedError, RateError
from api.gate import Gate


def test_those_who_wait_have_their_turn_in_order_and_one_more_is_refused() -> None:
    async def crowd() -> tuple[list[int], int]:
        gate, served, refused = Gate(slots=1, max_waiting=3), list[int](), 0

        async def visit(number: int) -> None:
            nonlocal refused
            try:
                async with gate.turn():
                    served.append(number)
                    await asyncio.sleep(0)
            except OverloadedError as error:
                refused += error.retry_after_s >= 1

        await asyncio.gather(*(visit(number) for number in range(6)))
        return served, refused

    assert asyncio.run(crowd()) == ([0, 1, 2, 3], 2)


def test_who_gives_up_leaves_the_line_and_the_slot() -> None:
    async def give_up() -> int:
        gate = Gate(slots=1, max_waiting=1)
        async with gate.turn():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(gate.turn().__aenter__(), 0.01)
            waiting = gate.waiting
        async with gate.turn():
            return waiting

    assert asyncio.run(give_up()) == 0


def test_a_caller_has_a_minutes_worth_at_once_and_others_are_not_touched() -> None:
    buckets = Buckets()
    for _ in range(5):
        buckets.take("a", 5)

    with pytest.raises(RateError) as refused:
        buckets.take("a", 5)

    assert 1 <= refused.value.retry_after_s <= 12
    buckets.take("b", 5)
