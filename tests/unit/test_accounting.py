"""What went wrong with frames is told by message and cause, within bounds, and not when nothing did."""

from __future__ import annotations

from dataclasses import asdict

from agent.accounting import LOOK_INTERVAL_S, ROWS_MAX, TOLD_INTERVAL_S, Accounting
from agent.adapters.can_source import FrameCounts
from agent.decode.screen import FrameCounts as MessageCounts
from agent.model.events import FramesCounted
from agent.model.frame import Frame
from agent.model.reception import MessageId
from tests.support.pair import Pair
from tests.support.plans import IS_LOCKED, SPEED, message_plan, profile_of, signal_plan


class Told:
    """Stands where the chronicle stands, and keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[dict[str, object]] = []

    def bus(self, kind: str, bus: str, fields: dict[str, object], now_s: float) -> None:
        assert (kind, bus) == ("frames", "body")
        self.records.append(fields)


def told_by(pair: Pair) -> list[dict[str, object]]:
    return [event for event in pair.events() if event["kind"] == "frames"]


def account_of(*names: str) -> tuple[Accounting, Told, dict[str, MessageCounts]]:
    paths = [SPEED, IS_LOCKED, *(f"Vehicle.Test{number}" for number in range(len(names)))]
    plans = [
        message_plan(signal_plan(paths[number]), name=name, arbitration_id=0x100 + number)
        for number, name in enumerate(names)
    ]
    counts, told = {name: MessageCounts() for name in names}, Told()
    return Accounting(profile_of(*plans), counts, told), told, counts  # type: ignore[arg-type]


def test_a_sound_bus_is_not_worth_a_record() -> None:
    account, told, counts = account_of("Status")
    counts["Status"].received = 1000
    left_out = {MessageId("body", 0x100, False): 900}
    account.counted(FramesCounted("body", asdict(FrameCounts(received=1000, sent=3, echoed=3)), left_out))
    for now_s in range(0, 8000, 100):
        account.tell_due(float(now_s))
    assert told.records == []


def test_each_cause_is_told_by_message_at_once_and_then_no_oftener_than_once_an_hour() -> None:
    account, told, counts = account_of("Status", "Lock")
    counts["Lock"].refused_length, counts["Lock"].received = 2, 10
    account.counted(FramesCounted("body", {"received": 10}, {MessageId("body", 0x101, False): 7}))
    account.tell_due(0.0)
    row = {"message": "Lock", "received": 10, "refused_length": 2, "left_out": 7}
    assert told.records == [{"counts": {"received": 10}, "messages": [row]}]
    for now_s in range(60, 7200, 60):
        counts["Status"].refused_checksum += 1
        account.tell_due(float(now_s))
    assert len(told.records) == 2
    assert told.records[1]["messages"][0]["refused_checksum"] == TOLD_INTERVAL_S / LOOK_INTERVAL_S  # type: ignore[index]
    account.tell_due(7201.0, is_last=True)
    assert len(told.records) == 3
    account.tell_due(9e9)
    assert len(told.records) == 3


def test_what_the_edge_lost_is_told_although_no_message_is_at_fault() -> None:
    account, told, _ = account_of("Status")
    account.counted(FramesCounted("body", {"dropped": 5}, {}))
    account.tell_due(0.0)
    assert told.records == [{"counts": {"dropped": 5}, "messages": []}]


def test_a_record_holds_the_worst_messages_and_no_more_sr_09() -> None:
    account, told, counts = account_of(*(f"M{number}" for number in range(ROWS_MAX + 5)))
    for number, each in enumerate(counts.values()):
        each.refused_counter = number
    account.tell_due(0.0)
    (record,) = told.records
    names = [row["message"] for row in record["messages"]]  # type: ignore[attr-defined]
    assert names == [f"M{number}" for number in range(ROWS_MAX + 4, 4, -1)]


def test_the_whole_engine_tells_of_frames_it_did_not_believe_and_of_values_that_are_none() -> None:
    pair = Pair()
    pair.run(5.0)
    assert told_by(pair) == []
    plan = next(plan for plan in pair.profile.messages if plan.checksum is not None)
    bad = bytes([0xA5] * plan.length_bytes)
    pair.engine.receive_frame(Frame(plan.bus, plan.arbitration_id, bad, pair.now_s, plan.is_extended_id), pair.now_s)
    short = Frame(plan.bus, plan.arbitration_id, b"", pair.now_s, plan.is_extended_id)
    pair.engine.receive_frame(short, pair.now_s)
    pair.engine.receive_link(FramesCounted("body", asdict(FrameCounts(received=2)), {}), pair.now_s)
    pair.run(LOOK_INTERVAL_S + 5.0)
    (record,) = told_by(pair)
    messages = record["messages"]
    assert isinstance(messages, list)
    (row,) = messages
    assert (row["message"], row["refused_length"], row["refused_checksum"]) == (plan.name, 1, 1)
    assert record["counts"] == asdict(FrameCounts(received=2))
    status = pair.engine.status(pair.now_s)
    assert status["frames"][plan.name]["refused_checksum"] == 1  # type: ignore[index]
