"""Store and forward: what is kept, what is sent again, and what gives way when there is no more room (SR-07, SR-09)."""

from __future__ import annotations

import pytest

from agent.model.records import OutboxRemoved, OutboxStored
from agent.uplink.outbox import IN_FLIGHT_MAX, PRIORITY_EVENT, PRIORITY_SAMPLE, REMOVALS_MAX, Outbox


def record(sequence: int, priority: int = PRIORITY_SAMPLE, size_bytes: int = 10) -> OutboxStored:
    return OutboxStored(sequence, priority, bytes(size_bytes))


def event(sequence: int, size_bytes: int = 10) -> OutboxStored:
    return record(sequence, PRIORITY_EVENT, size_bytes)


def outbox(*records: OutboxStored, records_max: int = 100, bytes_max: int = 10_000) -> Outbox:
    return Outbox(records, records_max=records_max, bytes_max=bytes_max)


def sent(box: Outbox) -> list[int]:
    return [record.sequence for record in box.to_send()]


def test_record_is_sent_once_it_is_durable() -> None:
    """A record is never told before it is kept, or its number could be told again for something else."""
    box = outbox()
    assert box.add(record(1)) == (record(1),)
    assert sent(box) == []
    box.stored(1)
    assert box.to_send() == (record(1),)
    assert sent(box) == []


def test_records_of_the_last_run_are_sent_in_order_of_their_numbers() -> None:
    assert sent(outbox(record(9), event(3), record(5))) == [3, 5, 9]


def test_acknowledged_record_is_gone() -> None:
    box = outbox(record(1), record(2))
    sent(box)
    box.settled(1, is_acknowledged=True)
    box.link_lost()
    assert sent(box) == [2]
    assert len(box) == 1


def test_refused_record_is_sent_again() -> None:
    box = outbox(record(1), record(2))
    sent(box)
    box.settled(1, is_acknowledged=False)
    assert sent(box) == [1]


def test_lost_link_sends_what_was_under_way_again() -> None:
    """H78: the broker may have had it; the same number tells."""
    box = outbox(record(1), record(2))
    assert sent(box) == [1, 2]
    box.link_lost()
    assert sent(box) == [1, 2]


def test_only_so_many_are_under_way_at_once() -> None:
    """SR-09."""
    box = outbox(*(record(number) for number in range(IN_FLIGHT_MAX + 3)))
    assert sent(box) == list(range(IN_FLIGHT_MAX))
    assert sent(box) == []
    box.settled(4, is_acknowledged=True)
    assert sent(box) == [IN_FLIGHT_MAX]


def test_removals_are_made_durable_together() -> None:
    box = outbox(*(record(number) for number in range(REMOVALS_MAX)))
    for number in range(REMOVALS_MAX - 1):
        box.settled(number, is_acknowledged=True)
    assert box.removals() is None
    box.settled(REMOVALS_MAX - 1, is_acknowledged=True)
    assert box.removals() == OutboxRemoved(tuple(range(REMOVALS_MAX)))
    assert box.removals() is None


def test_removals_can_be_forced_before_the_end() -> None:
    box = outbox(record(1))
    assert box.removals(is_forced=True) is None
    box.settled(1, is_acknowledged=True)
    assert box.removals(is_forced=True) == OutboxRemoved((1,))


# --- what gives way -----------------------------------------------------------------------------------------------


def test_oldest_sample_gives_way_first() -> None:
    box = outbox(event(1), record(2), record(3), records_max=3)
    assert box.add(record(4)) == (record(4), OutboxRemoved((2,)))
    assert sent(box) == [1, 3]
    assert box.dropped_count == 1


def test_event_gives_way_only_when_there_are_no_samples() -> None:
    """SR-07: the declared order."""
    box = outbox(event(1), record(2), event(3), records_max=3)
    assert box.add(event(4)) == (event(4), OutboxRemoved((2,)))
    assert box.add(event(5)) == (event(5), OutboxRemoved((1,)))
    assert box.dropped_count == 2


def test_sample_displaces_no_event() -> None:
    """SR-07: a car that stood in a garage for a month keeps its events, and counts the samples it could not keep."""
    box = outbox(event(1), event(2), records_max=2)
    assert box.add(record(3)) == ()
    box.stored(3)
    assert sent(box) == [1, 2]
    assert box.dropped_count == 1


def test_bytes_are_bounded_too() -> None:
    """SR-09."""
    box = outbox(record(1, size_bytes=40), record(2, size_bytes=40), bytes_max=100)
    assert box.add(record(3, size_bytes=60)) == (record(3, size_bytes=60), OutboxRemoved((1,)))
    assert box.add(record(4, size_bytes=100)) == (record(4, size_bytes=100), OutboxRemoved((2, 3)))
    box.stored(4)
    sent(box)
    box.settled(4, is_acknowledged=True)
    assert box.add(record(5, size_bytes=100)) == (record(5, size_bytes=100),)


@pytest.mark.parametrize("priority", [PRIORITY_EVENT, PRIORITY_SAMPLE])
def test_record_larger_than_all_the_room_displaces_nothing(priority: int) -> None:
    box = outbox(event(1), record(2), bytes_max=100)
    assert box.add(record(3, priority, size_bytes=101)) == ()
    assert sent(box) == [1, 2]
    assert box.dropped_count == 1


def test_displaced_record_is_under_way_no_more() -> None:
    box = outbox(*(record(number) for number in range(IN_FLIGHT_MAX)), records_max=IN_FLIGHT_MAX)
    sent(box)
    box.add(event(99))
    box.stored(99)
    assert sent(box) == [99]
    box.settled(0, is_acknowledged=True)
    assert box.removals(is_forced=True) is None


def test_tightened_bounds_are_kept_from_the_next_record_on() -> None:
    box = outbox(*(record(number) for number in range(10_000)), records_max=100)
    records = box.add(event(10_000))
    assert len(box) == 100
    assert records == (event(10_000), OutboxRemoved(tuple(range(9901))))
    assert box.dropped_count == 9901


def test_write_that_comes_through_for_a_dropped_record_leaves_nothing_behind() -> None:
    box = outbox(records_max=1)
    box.add(record(1))
    box.add(event(2))
    box.stored(1)
    assert sent(box) == []
    box.stored(2)
    assert sent(box) == [2]
