"""One command to its end: both ends by their codecs, the link and the time imagined."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.backend.commands import (
    GRACE_S,
    HELLO_AFTER_STALE_S,
    PING_INTERVAL_S,
    SENDS_MAX,
    SESSION_WAIT_S,
    Conversation,
    Send,
    Signer,
)
from agent.backend.outcome import CommandResult, Step
from agent.backend.reception import Ignored, open_result
from agent.backend.session import LIFETIME_S, CarSession
from agent.command.envelope import MessageKind, Result
from agent.model.command import Action, Executed, Reason, Stage
from tests.support.meeting import UNIX_MS, Meeting, counting_draw
from tests.support.scripted_car import (
    CAR,
    LOCK_EVIDENCE,
    OPERATOR,
    Answer,
    ReceivedCommand,
    Script,
    ScriptedCar,
    fails,
    gives_no_feedback,
    is_impersonated,
    is_silent,
    knows_only_its_session,
    rejects,
    says_it_thrice,
    verifies,
)


def interrupted(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
    return [car.result(received, Stage.INTERRUPTED, Reason.OK, Executed.UNKNOWN)]


@pytest.mark.parametrize(
    ("script", "outcome", "reason", "executed"),
    [
        (verifies, "verified", Reason.OK, Executed.YES),
        (gives_no_feedback, "executed_unverified", Reason.OK, Executed.UNKNOWN),
        (fails, "failed", Reason.NO_STATE_CHANGE, Executed.NO),
        (rejects, "rejected", Reason.DOOR_OPEN, Executed.NO),
        (interrupted, "interrupted", Reason.OK, Executed.UNKNOWN),
    ],
)
def test_the_caller_is_told_what_the_car_signed(
    script: Script, outcome: str, reason: Reason, executed: Executed
) -> None:
    result = Meeting(ScriptedCar(script)).hold()
    assert (result.outcome, result.reason, result.executed) == (outcome, reason, executed)
    assert result.is_verified is (outcome == "verified")


def test_a_verified_unlock_takes_two_round_trips_and_tells_each_step() -> None:
    meeting = Meeting(ScriptedCar(verifies), delay_s=0.05)
    result = meeting.hold()
    assert meeting.steps == [Step.ASKING, Step.SENT, Step.ACCEPTED, Step.EXECUTING]
    assert result.answered_in_s == pytest.approx(0.2)
    assert result.evidence == LOCK_EVIDENCE
    assert (result.car, result.action, result.event_sequence) == ("demo", Action.UNLOCK, 7)
    assert result.cid == meeting.car.received[0].command.cid


def test_a_known_session_spares_the_ping() -> None:
    meeting = Meeting(ScriptedCar(verifies))
    meeting.hold()
    result = meeting.hold(Action.LOCK)
    assert len(meeting.pings_sent) == 1
    assert result.is_verified
    first, second = (one.command for one in meeting.car.received)
    assert second.counter > first.counter
    assert second.cid != first.cid


def test_a_session_known_for_an_hour_is_asked_for_again() -> None:
    meeting = Meeting(ScriptedCar(verifies))
    meeting.hold()
    meeting.pass_time(meeting.now_s + 3700.0)
    meeting.hold()
    assert len(meeting.pings_sent) == 2


def test_what_is_sent_again_are_the_same_bytes_ever_more_rarely_until_just_after_the_deadline() -> None:
    meeting = Meeting(ScriptedCar(is_silent))
    began_s = meeting.now_s
    result = meeting.hold()
    assert len({raw for _, raw in meeting.commands_sent}) == 1
    signed_s = meeting.commands_sent[0][0]
    assert [round(at_s - signed_s, 3) for at_s, _ in meeting.commands_sent] == [0.0, 2.0, 6.0, 14.0, 29.0, 31.0]
    assert result.outcome == "no_answer"
    assert result.executed is Executed.UNKNOWN
    assert not result.may_repeat
    assert meeting.now_s == pytest.approx(began_s + LIFETIME_S[Action.UNLOCK] + GRACE_S)


def test_the_longest_command_stays_within_its_number_of_sends() -> None:
    meeting = Meeting(ScriptedCar(is_silent))
    meeting.hold(Action.LOCK)
    assert len(meeting.commands_sent) <= SENDS_MAX


def test_a_lost_answer_is_fetched_by_sending_again() -> None:
    car = ScriptedCar(verifies)
    meeting = Meeting(car, loses=lambda number, send: False)
    car.script = lambda car, received: verifies(car, received) if len(car.received) > 1 else []
    result = meeting.hold()
    assert result.is_verified
    assert len(meeting.commands_sent) == 2
    assert meeting.steps.count(Step.SENT_AGAIN) == 1


def test_a_car_that_never_had_the_command_says_so_after_the_deadline_and_nothing_is_left_unknown() -> None:
    def refuses_what_is_late(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
        assert car.session_ms > received.command.deadline_ms
        return [car.result(received, Stage.REJECTED, Reason.EXPIRED, Executed.NO)]

    car = ScriptedCar(refuses_what_is_late)
    meeting = Meeting(car, loses=lambda number, send: send.kind is MessageKind.CMD and number < 7)
    result = meeting.hold()
    assert (result.outcome, result.reason, result.executed) == ("rejected", Reason.EXPIRED, Executed.NO)
    assert result.may_repeat


def test_a_car_that_does_not_answer_pings_gets_no_command_and_nothing_was_executed() -> None:
    meeting = Meeting(ScriptedCar(verifies), loses=lambda number, send: True)
    began_s = meeting.now_s
    result = meeting.hold()
    assert (result.outcome, result.executed, result.cid) == ("no_answer", Executed.NO, None)
    assert result.may_repeat
    assert meeting.commands_sent == []
    assert [round(at_s - began_s, 3) for at_s in meeting.pings_sent] == [PING_INTERVAL_S * n for n in range(7)]
    assert result.answered_in_s == pytest.approx(SESSION_WAIT_S)


def test_each_ping_has_its_own_nonce() -> None:
    meeting = Meeting(ScriptedCar(verifies), loses=lambda number, send: True)
    meeting.hold()
    assert len({send.raw for _, send in meeting.sends}) == len(meeting.pings_sent)


@pytest.mark.hazard("H52")
def test_a_hello_older_than_ten_seconds_starts_no_command() -> None:
    """H52: the link holds everything back for six seconds each way."""
    meeting = Meeting(ScriptedCar(verifies), delay_s=6.0)
    result = meeting.hold()
    assert (result.outcome, result.executed) == ("no_answer", Executed.NO)
    assert meeting.commands_sent == []
    assert Ignored.UNASKED in meeting.ignored


def test_a_repeated_result_ends_the_command_once() -> None:
    meeting = Meeting(ScriptedCar(says_it_thrice))
    assert meeting.hold().is_verified
    assert meeting.hold().is_verified
    assert meeting.ignored == [Ignored.UNASKED] * 2, "the second conversation met what was left of the first"


@pytest.mark.hazard("H70")
def test_a_result_signed_by_a_stranger_is_not_believed() -> None:
    """H70."""
    meeting = Meeting(ScriptedCar(is_impersonated))
    assert meeting.hold().outcome == "failed"
    assert meeting.ignored == [Ignored.FORGED]


def test_a_command_refused_as_of_an_older_session_is_signed_anew_for_the_present_one() -> None:
    meeting = Meeting(ScriptedCar(knows_only_its_session))
    meeting.hold()
    meeting.car.restart()
    meeting.steps.clear()
    result = meeting.hold()
    assert result.is_verified
    assert meeting.steps == [Step.SENT, Step.NEW_SESSION, Step.SENT, Step.ACCEPTED, Step.EXECUTING]
    stale, fresh = (one.command for one in meeting.car.received[1:])
    assert (stale.sid, fresh.sid) == (b"session1", b"session2")
    assert stale.cid != fresh.cid
    assert result.cid == fresh.cid
    assert len(meeting.pings_sent) == 1, "the hello that follows the refusal bears the command's id (A7)"


def test_without_the_hello_that_should_follow_the_car_is_asked_again() -> None:
    def refuses_only(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
        return knows_only_its_session(car, received)[: 1 if received.command.sid != car.sid else None]

    meeting = Meeting(ScriptedCar(refuses_only))
    meeting.hold()
    meeting.car.restart()
    began_s = meeting.now_s
    assert meeting.hold().is_verified
    assert [round(at_s - began_s, 3) for at_s in meeting.pings_sent[1:]] == [round(HELLO_AFTER_STALE_S + 0.1, 3)]


def test_a_command_is_signed_anew_only_once() -> None:
    def never_satisfied(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
        return [
            car.result(received, Stage.REJECTED, Reason.STALE_SESSION, Executed.NO),
            car.hello(received.command.cid),
        ]

    meeting = Meeting(ScriptedCar(never_satisfied))
    result = meeting.hold()
    assert (result.outcome, result.reason, result.executed) == ("rejected", Reason.STALE_SESSION, Executed.NO)
    assert len(meeting.car.received) == 2


def test_nothing_is_signed_anew_when_the_car_cannot_say_that_it_did_nothing() -> None:
    def has_a_new_store(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
        return [
            car.result(received, Stage.REJECTED, Reason.STALE_SESSION, Executed.UNKNOWN),
            car.hello(received.command.cid),
        ]

    meeting = Meeting(ScriptedCar(has_a_new_store))
    result = meeting.hold()
    assert (result.outcome, result.executed, result.may_repeat) == ("rejected", Executed.UNKNOWN, False)
    assert len(meeting.car.received) == 1


@pytest.mark.hazard("H93")
def test_nothing_is_signed_anew_for_a_car_that_began_and_then_denies_it() -> None:
    """H93: an older image of the store was put back while the command ran."""

    def forgets(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
        return [
            car.result(received, Stage.ACCEPTED),
            car.result(received, Stage.REJECTED, Reason.STALE_SESSION, Executed.NO),
            car.hello(received.command.cid),
        ]

    meeting = Meeting(ScriptedCar(forgets))
    assert meeting.hold().outcome == "rejected"
    assert len(meeting.car.received) == 1


def test_a_restarted_car_that_falls_silent_leaves_its_signed_refusal_as_the_answer() -> None:
    def falls_silent(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
        return [car.result(received, Stage.REJECTED, Reason.STALE_SESSION, Executed.NO)]

    meeting = Meeting(ScriptedCar(falls_silent), loses=lambda number, send: number > 2)
    result = meeting.hold()
    assert (result.outcome, result.reason, result.executed) == ("rejected", Reason.STALE_SESSION, Executed.NO)


def test_a_command_that_never_left_was_not_executed() -> None:
    meeting = Meeting(ScriptedCar(verifies))
    meeting.hold()
    meeting.is_link_down = lambda now_s: True
    result = meeting.hold()
    assert (result.outcome, result.executed) == ("no_answer", Executed.NO)
    assert result.cid is not None
    assert len(meeting.car.received) == 1


def test_a_command_leaves_once_the_link_is_back() -> None:
    meeting = Meeting(ScriptedCar(verifies))
    back_at_s = meeting.now_s + 5.0
    meeting.is_link_down = lambda now_s: now_s < back_at_s
    result = meeting.hold()
    assert result.is_verified
    assert 5.0 <= result.answered_in_s <= 6.5


def test_of_two_final_results_the_first_counts_even_before_anybody_looked() -> None:
    car = ScriptedCar(is_silent)
    conversation = talking(car)
    (received,) = car.received
    answers = [
        car.result(received, Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO),
        car.result(received, Stage.VERIFIED, Reason.OK, Executed.YES),
    ]
    opened = [open_result(raw, CAR, OPERATOR.number) for _, raw in answers]
    assert [isinstance(one, Result) and conversation.receive(one, 1000.2) for one in opened] == [True, False]
    (result,) = conversation.advance(1000.2, UNIX_MS)
    assert isinstance(result, CommandResult)
    assert result.outcome == "failed"


def test_a_car_or_link_that_is_back_is_asked_at_once_but_not_without_end() -> None:
    conversation = talking()
    conversation.advance(1000.2, UNIX_MS)
    now_s, sends = 1000.7, 0
    while now_s < 1029.0:
        conversation.hurry(now_s)
        sends += sum(isinstance(step, Send) for step in conversation.advance(now_s, UNIX_MS))
        if now_s == 1000.7:
            assert sends == 1
        now_s += 0.125
    assert sends == SENDS_MAX - 1
    assert math.isfinite(conversation.next_timer())


def test_a_car_that_comes_back_is_asked_for_its_session_at_once() -> None:
    conversation = Conversation(
        CAR.name, Action.UNLOCK, Signer(OPERATOR, CAR.id), CarSession(OPERATOR.kid), draw=counting_draw(), now_s=0.0
    )
    conversation.advance(0.0, UNIX_MS)
    conversation.hurry(1.0)
    assert [type(step) for step in conversation.advance(1.0, UNIX_MS)] == [Send]
    conversation.hurry(1.25)
    assert conversation.advance(1.25, UNIX_MS) == ()
    assert conversation.next_timer() == 1.5


def test_the_broker_may_drop_a_command_at_its_deadline_and_a_ping_after_its_nonce() -> None:
    meeting = Meeting(ScriptedCar(is_silent))
    meeting.hold()
    assert [send.expiry_s for _, send in meeting.sends] == [10, 30, 28, 24, 16, 1, 1]


@given(wait_s=st.floats(0.5, 300.0), action=st.sampled_from([Action.UNLOCK, Action.LOCK, Action.REPORT]))
def test_no_car_acts_later_than_its_caller_waits(wait_s: float, action: Action) -> None:
    meeting = Meeting(ScriptedCar(is_silent))
    began_s = meeting.now_s
    began_ms = meeting.car.session_ms
    result = meeting.hold(action, wait_s=wait_s)
    assert result.answered_in_s <= wait_s + 1e-6
    assert meeting.now_s <= began_s + wait_s + 1e-6
    for received in meeting.car.received:
        assert received.command.deadline_ms - began_ms <= wait_s * 1000 + 1


def talking(car: ScriptedCar | None = None) -> Conversation:
    """A conversation whose command has been sent."""
    car = car or ScriptedCar(is_silent)
    session = CarSession(OPERATOR.kid)
    conversation = Conversation(
        CAR.name, Action.UNLOCK, Signer(OPERATOR, CAR.id), session, draw=counting_draw(), now_s=1000.0
    )
    meeting = Meeting(car, session=session)
    _, ping = conversation.advance(1000.0, UNIX_MS)
    assert isinstance(ping, Send)
    for answer in car.receive(ping.kind, ping.raw):
        meeting.arrive(answer, conversation)
    _, command = conversation.advance(1000.1, UNIX_MS)
    assert isinstance(command, Send)
    car.receive(command.kind, command.raw)
    return conversation


@st.composite
def results(draw: st.DrawFn) -> Result:
    """Any result the car may sign, of this command or of another."""
    return Result(
        CAR.id,
        cid=draw(st.sampled_from([(2).to_bytes(16, "big"), bytes(16), b"x" * 16])),
        operator=1,
        stage=draw(st.sampled_from(Stage)),
        reason=draw(st.sampled_from(Reason)),
        executed=draw(st.sampled_from(Executed)),
        sid=b"session1",
        session_ms=1,
        digest=draw(st.sampled_from([bytes(8), b"y" * 8])),
    )


@given(st.lists(results(), max_size=20))
def test_results_that_are_not_about_these_very_bytes_are_ignored(arriving: list[Result]) -> None:
    """Same id with another digest among them."""
    conversation = talking()
    assert conversation.cid == (2).to_bytes(16, "big")
    for result in arriving:
        assert conversation.receive(result, 1000.2) is False
    assert conversation.advance(1000.2, UNIX_MS) == ()


@given(
    st.lists(st.sampled_from(Stage), min_size=1, max_size=12),
    st.lists(st.floats(0.0, 5.0), min_size=12, max_size=12),
)
def test_every_command_ends_in_exactly_one_result_which_is_its_first_final_one(
    stages: list[Stage], gaps_s: list[float]
) -> None:
    meeting = Meeting(ScriptedCar(is_silent))

    def tells(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
        if len(car.received) == 1:
            for stage, delay_s in zip(stages, sorted(gaps_s), strict=False):
                meeting.later(delay_s, car.result(received, stage, Reason.OK, Executed.UNKNOWN))
        return []

    meeting.car.script = tells
    result = meeting.hold()
    finals = [stage for stage in stages if stage.is_final]
    assert result.stage == (finals[0] if finals else None)
    assert result.is_verified is (finals[:1] == [Stage.VERIFIED])
