"""Effects leave in the order they came, and no sequence number is given twice whenever the power is cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.model.effects import Effect, Level, Log, Notify, Persist, Publish, SendFrame
from agent.model.frame import Frame
from agent.model.records import SequenceReserved, SessionStarted
from agent.pending import SEQUENCE_BLOCK, Pending

pytestmark = pytest.mark.made_up_messages


def effects(pending: Pending) -> Iterator[Effect]:
    while (effect := pending.pop()) is not None:
        yield effect


def test_effects_leave_in_the_order_they_were_asked_for() -> None:
    """SR-02 rests on this order: the intent is durable before the frame behind it leaves."""
    pending = Pending(1)
    frame = Frame("body", 0x100, b"\x01")
    token = pending.persist(SessionStarted(b"session1"))
    pending.send(frame, 7, 12.5)
    pending.publish("v1/1/00/state", b"{}", is_retained=True, expiry_s=30)
    tracked = pending.publish_tracked("v1/1/00/res", b"result")
    pending.add(Notify("running"))
    pending.log(Level.INFO, "started", interrupted=0)
    assert list(effects(pending)) == [
        Persist((SessionStarted(b"session1"),), token),
        SendFrame(frame, 7, 12.5),
        Publish("v1/1/00/state", b"{}", is_retained=True, expiry_s=30),
        Publish("v1/1/00/res", b"result", token=tracked),
        Notify("running"),
        Log(Level.INFO, "started", {"interrupted": 0}),
    ]
    assert pending.pop() is None


def test_answers_can_be_told_apart() -> None:
    pending = Pending(1)
    tokens = [pending.persist(SessionStarted(b"session1")) for _ in range(3)]
    tokens += [pending.publish_tracked("topic", b"") for _ in range(3)]
    assert len(set(tokens)) == len(tokens)


def test_what_nobody_waits_for_has_no_token() -> None:
    pending = Pending(1)
    pending.publish("topic", b"")
    assert list(effects(pending)) == [Publish("topic", b"", token=None)]


def test_nothing_is_left_behind_an_effect_that_failed() -> None:
    pending = Pending(1)
    pending.persist(SessionStarted(b"session1"))
    pending.send(Frame("body", 0x100, b"\x01"), 1, 12.5)
    pending.clear()
    assert pending.pop() is None


def test_block_of_numbers_is_durable_before_its_first_number() -> None:
    """SR-07."""
    pending = Pending(5000)
    assert pending.next_sequence() == 5000
    pending.publish("topic", b"5000")
    first, second = effects(pending)
    assert isinstance(first, Persist)
    assert first.records == (SequenceReserved(5000 + SEQUENCE_BLOCK),)
    assert isinstance(second, Publish)


def test_one_write_reserves_a_whole_block() -> None:
    pending = Pending(1)
    numbers = [pending.next_sequence() for _ in range(2 * SEQUENCE_BLOCK + 1)]
    assert numbers == list(range(1, 2 * SEQUENCE_BLOCK + 2))
    reserved = [effect.records for effect in effects(pending) if isinstance(effect, Persist)]
    assert reserved == [(SequenceReserved(upto),) for upto in (1001, 2001, 3001)]


def test_last_number_is_known_before_and_after_one_was_given() -> None:
    pending = Pending(8)
    assert pending.sequence_last == 7
    pending.next_sequence()
    assert pending.sequence_last == 8


@pytest.mark.parametrize("uses", [1, SEQUENCE_BLOCK - 1, SEQUENCE_BLOCK, SEQUENCE_BLOCK + 1])
def test_no_number_is_given_twice_wherever_the_power_is_cut(uses: int) -> None:
    """SR-07: a number is out once the effect that carries it was performed; what was reserved by then is durable."""
    pending = Pending(1)
    for _ in range(uses):
        pending.publish("topic", str(pending.next_sequence()).encode())
    performed = list(effects(pending))
    for cut in range(len(performed) + 1):
        before = performed[:cut]
        durable = [
            r.upto for e in before if isinstance(e, Persist) for r in e.records if isinstance(r, SequenceReserved)
        ]
        given = [int(e.payload) for e in before if isinstance(e, Publish)]
        after_restart = Pending(max(durable, default=1)).next_sequence()
        assert after_restart > max(given, default=0)
