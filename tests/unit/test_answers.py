"""What the car says in its own name is signed, says what was meant, and is offered until the broker has it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.answers import IN_FLIGHT_MAX, RETRY_S, Answers
from agent.command.envelope import (
    Hello,
    MessageKind,
    Result,
    check_signature,
    decode_hello,
    decode_result,
    open_unverified,
)
from agent.ledger import Key
from agent.model.command import Evidence, Executed, Outcome, Reason, Stage
from agent.model.effects import Log, Publish
from agent.model.events import ClockTrust
from agent.model.reading import Quality
from agent.model.records import Done
from agent.pending import Pending
from agent.session import Session

CAR = bytes.fromhex("5ca1ab1e0ddba115")
CAR_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SID = b"session1"
CID = bytes(range(16))
DIGEST = bytes(range(32))
VERIFIED = Outcome(Stage.VERIFIED, Reason.OK, Executed.YES)


def done(number: int, operator: int = 1) -> Done:
    result = b"result %d of %d" % (number, operator)
    return Done(operator, number.to_bytes(16), Stage.VERIFIED, Reason.OK, Executed.YES, result, number)


class Told:
    """Answers with the queue behind them, and what went into it."""

    def __init__(self, *, owed: Iterable[Done] = (), is_degraded: bool = False) -> None:
        self.session = Session(SID, started_s=100.0)
        self.pending = Pending(50)
        self.answers = Answers(
            self.session, self.pending, car=CAR, key=CAR_KEY, store_id=b"store--1", is_degraded=is_degraded, owed=owed
        )

    def published(self) -> list[Publish]:
        effects = iter(self.pending.pop, None)
        return [effect for effect in effects if isinstance(effect, Publish)]

    def logged(self) -> list[Log]:
        return [effect for effect in iter(self.pending.pop, None) if isinstance(effect, Log)]

    def result(self, outcome: Outcome = VERIFIED, *, now_s: float = 101.5, sequence: int | None = None) -> Result:
        raw = self.answers.result(3, CID, DIGEST, outcome, now_s, sequence=sequence)
        envelope = open_unverified(MessageKind.RES, raw)
        assert envelope is not None
        assert check_signature(envelope, CAR_KEY.public_key())
        assert envelope.kid == CAR
        return decode_result(envelope.payload)

    def hello(self) -> tuple[str, Hello]:
        (publish,) = self.published()
        envelope = open_unverified(MessageKind.HELLO, publish.payload)
        assert envelope is not None
        assert check_signature(envelope, CAR_KEY.public_key())
        assert not publish.is_retained
        return publish.topic, decode_hello(envelope.payload)


def key(number: int, operator: int = 1) -> Key:
    return operator, number.to_bytes(16)


# --- what is said -------------------------------------------------------------------------------------------------


def test_result_says_what_came_of_the_command() -> None:
    evidence = (Evidence("Vehicle.Speed", 0.0, Quality.OK, 40, "Motion"),)
    outcome = Outcome(Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO, evidence)
    result = Told().result(outcome, sequence=51)
    assert (result.car, result.operator, result.cid, result.digest) == (CAR, 3, CID, DIGEST[:8])
    assert (result.stage, result.reason, result.executed) == (Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO)
    assert (result.sid, result.session_ms, result.event_sequence) == (SID, 1500, 51)
    assert [(piece.path, piece.value, piece.age_ms) for piece in result.evidence] == [("Vehicle.Speed", 0, 40)]
    assert not result.is_degraded


def test_result_of_a_car_without_storage_says_so() -> None:
    """Amendment A12."""
    assert Told(is_degraded=True).result().is_degraded


def test_result_says_nothing_of_numbers_it_has_none_of() -> None:
    assert Told().result().event_sequence is None


def test_hello_tells_the_session_and_echoes_the_nonce() -> None:
    told = Told()
    told.answers.greet(3, {b"kid1": 9}, 102.0, nonce=bytes(16))
    topic, hello = told.hello()
    assert topic == f"v1/3/{CAR.hex()}/hello"
    assert (hello.car, hello.sid, hello.session_ms, hello.store_id) == (CAR, SID, 2000, b"store--1")
    assert (hello.counters, hello.nonce, hello.event_sequence) == ({b"kid1": 9}, bytes(16), 49)


def test_hello_has_no_time_where_none_is_known() -> None:
    told = Told()
    told.answers.greet(3, {}, 102.0)
    _, hello = told.hello()
    assert (hello.unix_s, hello.clock_trust, hello.nonce) == (None, ClockTrust.FLOOR_ONLY, None)


@pytest.mark.parametrize(("offset_s", "unix_s"), [(2_000_000_000.75, 2_000_000_102), (-5000.0, 0)])
def test_hello_tells_the_time_in_whole_seconds_since_1970(offset_s: float, unix_s: int) -> None:
    told = Told()
    told.session.clock_offset_s, told.session.clock_trust = offset_s, ClockTrust.ESTIMATED
    told.answers.greet(3, {}, 102.0)
    _, hello = told.hello()
    assert (hello.unix_s, hello.clock_trust) == (unix_s, ClockTrust.ESTIMATED)


def test_what_is_only_said_is_said_once() -> None:
    told = Told()
    told.answers.say(3, b"progress")
    assert told.published() == [Publish(f"v1/3/{CAR.hex()}/res", b"progress")]
    told.answers.connected()
    assert told.published() == []


# --- what is owed -------------------------------------------------------------------------------------------------


def test_final_result_goes_out_at_once_and_is_owed_until_acknowledged() -> None:
    told = Told()
    told.answers.connected()
    told.answers.owe(key(1), b"result")
    (publish,) = told.published()
    assert (publish.topic, publish.payload) == (f"v1/1/{CAR.hex()}/res", b"result")
    assert publish.token is not None
    assert told.answers.published(publish.token, None, 101.0) == key(1)
    told.answers.disconnected()
    told.answers.connected()
    assert told.published() == []


def test_result_waits_for_a_connection() -> None:
    told = Told()
    told.answers.owe(key(1), b"result")
    assert told.published() == []
    told.answers.connected()
    assert [publish.payload for publish in told.published()] == [b"result"]


@pytest.mark.hazard("H77")
def test_results_of_the_last_run_are_offered_at_the_first_connection() -> None:
    """H77: killed after the end was durable, before it was told."""
    told = Told(owed=[done(1), done(2)])
    assert told.published() == []
    told.answers.connected()
    assert [publish.payload for publish in told.published()] == [b"result 1 of 1", b"result 2 of 1"]


@pytest.mark.hazard("H78")
def test_result_lost_with_the_connection_is_offered_again_under_a_new_token() -> None:
    """H78: the broker may have had it; the same bytes come again."""
    told = Told(owed=[done(1)])
    told.answers.connected()
    (first,) = told.published()
    told.answers.disconnected()
    told.answers.connected()
    (second,) = told.published()
    assert first.payload == second.payload
    assert first.token is not None
    assert second.token is not None
    assert told.answers.published(first.token, None, 101.0) is None
    assert told.answers.published(second.token, None, 101.0) == key(1)


def test_second_word_of_the_same_connection_offers_nothing_twice() -> None:
    """The broker may grant a subscription later; that too is told as being connected."""
    told = Told(owed=[done(1)])
    told.answers.connected()
    assert len(told.published()) == 1
    told.answers.connected()
    assert told.published() == []


def test_refused_result_is_offered_again_after_a_pause() -> None:
    told = Told(owed=[done(1)])
    told.answers.connected()
    (publish,) = told.published()
    assert publish.token is not None
    assert told.answers.published(publish.token, "not authorized", 200.0) is None
    (line,) = told.logged()
    assert line.fields["refusal"] == "not authorized"
    assert told.answers.next_timer() == 200.0 + RETRY_S
    told.answers.handle_timer(200.0 + RETRY_S - 0.001)
    assert told.published() == []
    told.answers.handle_timer(200.0 + RETRY_S)
    assert [again.payload for again in told.published()] == [publish.payload]
    assert told.answers.next_timer() == float("inf")


def test_pause_that_ends_without_a_connection_offers_nothing() -> None:
    told = Told(owed=[done(1)])
    told.answers.connected()
    (publish,) = told.published()
    assert publish.token is not None
    told.answers.published(publish.token, "connection lost", 200.0)
    told.answers.disconnected()
    told.logged()
    told.answers.handle_timer(200.0 + RETRY_S)
    assert told.published() == []
    told.answers.connected()
    assert len(told.published()) == 1


def test_new_result_does_not_wait_for_a_refused_one() -> None:
    told = Told(owed=[done(1)])
    told.answers.connected()
    (refused,) = told.published()
    assert refused.token is not None
    told.answers.published(refused.token, "not authorized", 200.0)
    told.answers.owe(key(2), b"new")
    assert [publish.payload for publish in told.published()] == [b"new"]


def test_answer_to_somebody_else_is_left_alone() -> None:
    told = Told(owed=[done(1)])
    told.answers.connected()
    assert told.answers.published(999, None, 101.0) is None


def test_many_owed_results_go_out_a_few_at_a_time() -> None:
    """SR-09: the line to the broker has room for so many publications, and telemetry needs some of it."""
    count = 3 * IN_FLIGHT_MAX
    told = Told(owed=[done(number) for number in range(count)])
    told.answers.connected()
    under_way = told.published()
    assert len(under_way) == IN_FLIGHT_MAX
    told.answers.owe(key(count), b"result of now")
    assert told.published() == []
    seen = []
    while under_way:
        publish = under_way.pop(0)
        assert publish.token is not None
        seen.append(publish.payload)
        assert told.answers.published(publish.token, None, 101.0) is not None
        under_way += told.published()
        assert len(under_way) <= IN_FLIGHT_MAX
    assert seen == [b"result %d of 1" % number for number in range(count)] + [b"result of now"]


def test_new_connection_forgets_the_pause_of_the_last_one() -> None:
    """What was unanswered when the connection broke was lost, not refused."""
    told = Told(owed=[done(number) for number in range(2 * IN_FLIGHT_MAX)])
    told.answers.connected()
    for publish in told.published():
        assert publish.token is not None
        told.answers.published(publish.token, "connection lost", 200.0)
    told.answers.disconnected()
    told.answers.connected()
    seen = set()
    under_way = told.published()
    while under_way:
        publish = under_way.pop()
        assert publish.token is not None
        seen.add(told.answers.published(publish.token, None, 201.0))
        under_way += told.published()
    assert seen == {key(number) for number in range(2 * IN_FLIGHT_MAX)}


def test_operator_whose_results_are_refused_holds_up_nobody_else() -> None:
    told = Told(owed=[*(done(number) for number in range(IN_FLIGHT_MAX)), done(1, operator=2)])
    told.answers.connected()
    now_s = 200.0
    for publish in told.published():
        assert publish.token is not None
        assert publish.topic.startswith("v1/1/")
        told.answers.published(publish.token, "not authorized", now_s)
    told.answers.handle_timer(now_s + RETRY_S)
    assert told.published()[0].payload == b"result 1 of 2"
