"""Actions by diagnostic requests: what a profile may say of them, and the list of all that may be sent (SR-01)."""

from __future__ import annotations

import pytest

from agent.model.command import Action
from agent.model.diagnostics import code_word
from agent.model.frame import Frame
from agent.policy.sending import is_on_send_list
from tests.support.small_car import HEAD, faults, parsed, signal_table

LOCKED = "Vehicle.Carshare.CentralLock.IsLocked"
SIGNALS = signal_table(LOCKED, "Lock", "IsLocked")
REQUESTS = "[ { send = [0x10, 0x03] }, { send = [0x31, 0x01, 0x02, 0x10], times = 2, pause_s = 0.5 } ]"


def action(
    requests: str = REQUESTS, *, keys: str = "request_id = 0x745, response_id = 0x765", further: str = ""
) -> str:
    exchange = f"exchange = {{ {keys}, requests = {requests} }}"
    return (
        f"{HEAD}{SIGNALS}\n[actions.unlock]\n{exchange}\nrepeats_max = 1\ninterval_s = 2.0\n"
        f'feedback = [ {{ path = "{LOCKED}", equals = false }} ]\nfeedback_window_s = 5.0\n'
        f"preconditions = []\n{further}"
    )


def test_requests_are_single_frames_each_with_the_beginning_of_its_positive_answer() -> None:
    recipe = parsed(action()).recipes[Action.UNLOCK]
    session, routine, again = recipe.requests
    assert (recipe.frames, recipe.pulses, recipe.round, recipe.bus) == ((), (), recipe.requests, session.frame.bus)
    assert session.frame.data == bytes.fromhex("0210030000000000")
    assert routine.frame.data == bytes.fromhex("0431010210000000")
    assert routine == again
    assert (session.positive, routine.positive) == (bytes.fromhex("5003"), bytes.fromhex("7101"))
    assert (session.acts, routine.acts) == (False, True)
    assert (session.answer_s, session.pause_s, routine.pause_s) == (1.0, 0.1, 0.5)


def test_extended_addressing_padding_and_29_bits() -> None:
    keys = (
        "request_id = 0x18DA40F1, response_id = 0x18DAF140, extended_id = true, address = 0x40, tester_address = 0xF1, "
        "padding = 0xAA"
    )
    request = parsed(action("[ { send = [0x2F, 1, 2, 3], answer = [0x6F, 1, 2] } ]", keys=keys)).recipes[Action.UNLOCK]
    (asked,) = request.requests
    assert asked.frame.data == bytes.fromhex("40042F010203AAAA")
    assert (asked.address, asked.positive, asked.frame.is_extended_id) == (b"\xf1", bytes.fromhex("6F0102"), True)
    answer = Frame(asked.frame.bus, 0x18DAF140, b"", is_extended_id=True)
    assert asked.is_from_unit(answer)
    for other in (
        answer._replace(bus="other"),
        answer._replace(arbitration_id=0x18DAF141),
        answer._replace(is_extended_id=False),
        answer._replace(is_fd=True),
    ):
        assert not asked.is_from_unit(other)


def test_send_list_is_exactly_the_requests_to_the_last_bit_sr_01() -> None:
    profile = parsed(action())
    allowed = [request.frame for request in profile.recipes[Action.UNLOCK].requests]
    assert {rule.value for rule in profile.send_list} == {frame.data for frame in allowed}
    for frame in allowed:
        assert is_on_send_list(frame, profile.send_list)
        for bit in range(64):
            flipped = (int.from_bytes(frame.data, "big") ^ 1 << bit).to_bytes(8, "big")
            assert not is_on_send_list(frame._replace(data=flipped), profile.send_list)
        assert not is_on_send_list(frame._replace(data=frame.data[:4]), profile.send_list)
        assert not is_on_send_list(frame._replace(arbitration_id=0x744), profile.send_list)
        assert not is_on_send_list(frame._replace(is_extended_id=True), profile.send_list)


ACTING = {0x10, 0x2F, 0x30, 0x31, 0x3E}
ONE = "[ { send = [0x31, 0x01] } ]"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        *((action(f"[ {{ send = [{service:#x}, 1] }} ]"), "send") for service in {*range(0x100)} - ACTING),
        (action("[ { send = [] } ]"), "send"),
        (action("[ { send = [0x31, 256] } ]"), "send"),
        (action("[ { send = [0x31, 1, 2, 3, 4, 5, 6, 7] } ]"), "send"),
        (action("[]"), "requests"),
        *(
            (action(f"[ {{ send = [0x10, {session}] }}, {{ send = [0x31, 1] }} ]"), "send")
            for session in (2, 0x82, 0x85, 5)
        ),
        (action("[ { send = [0x10, 0x03] }, { send = [0x3E, 0x00] } ]"), "requests"),
        (action("[ { send = [0x31, 1], answer = [0x70, 1] } ]"), "answer"),
        (action("[ { send = [0x31, 1], answer_s = 0.01 } ]"), "answer_s"),
        (action("[ { send = [0x31, 1], answer_s = 6.0 } ]"), "answer_s"),
        (action("[ { send = [0x31, 1], pause_s = 0.01 } ]"), "pause_s"),
        (action("[ { send = [0x31, 1], times = 11 } ]"), "times"),
        (action(ONE, keys="request_id = 0x745, response_id = 0x745"), "response_id"),
        (action(ONE, keys="request_id = 0x845, response_id = 0x765"), "request_id"),
        (action(ONE, keys="request_id = 0x745"), "response_id"),
        (action(ONE, keys="request_id = 0x745, response_id = 0x765, address = 1"), "address"),
        (
            action(
                "[ { send = [0x31, 1, 2, 3, 4, 5, 6] } ]",
                keys="request_id = 0x745, response_id = 0x765, address = 1, tester_address = 2",
            ),
            "send",
        ),
        (action(further='pulses = [ { line = "fob", pulse_s = 0.3, pause_s = 0.2 } ]\n'), "actions.unlock"),
    ],
)
def test_fault_is_told_with_its_key(text: str, key: str) -> None:
    assert any(key in str(fault) for fault in faults(text)), faults(text)


def test_exchange_on_a_bus_that_only_listens_or_with_the_id_of_a_message_is_a_fault() -> None:
    profile = parsed(action())
    message = next(plan for plan in profile.messages if plan.signals)
    for number in ("request_id", "response_id"):
        other = "response_id" if number == "request_id" else "request_id"
        text = action(keys=f"{number} = {message.arbitration_id:#x}, {other} = 0x765")
        assert any(number in str(fault) and message.name in str(fault) for fault in faults(text))
    (bus,) = profile.buses
    quiet = action().replace(f"[buses.{bus.name}]\n", f"[buses.{bus.name}]\nlisten_only = true\n")
    assert any("listen_only" in str(fault) for fault in faults(quiet))


def test_wake_up_of_another_bus_and_disabling_of_driving_are_judged_as_with_frames() -> None:
    text = action().replace("actions.unlock", "actions.disable_drive")
    assert any("without speed 0" in str(fault) for fault in faults(text))


def test_codes_have_the_standards_words_and_others_their_number() -> None:
    assert (code_word(0x22), code_word(0x33), code_word(0xF1)) == (
        "conditions_not_correct",
        "security_access_denied",
        "code_f1",
    )


@pytest.mark.parametrize(("interval_s", "window_s", "is_told"), [(2.0, 1.1, False), (2.0, 1.0, True), (5.0, 2.5, True)])
def test_feedback_that_could_never_stand_for_long_enough_is_told(
    interval_s: float, window_s: float, is_told: bool
) -> None:
    """SR-04: half the interval, for what verifies has to be there before the talk is begun anew."""
    text = action().replace("interval_s = 2.0", f"interval_s = {interval_s}")
    text = text.replace("feedback_window_s = 5.0", f"feedback_window_s = {window_s}")
    assert parsed(text).recipes[Action.UNLOCK].confirmed_s_min == interval_s / 2
    text = text.replace("equals = false }", "equals = false, confirmations = 2 }")
    if not is_told:
        assert parsed(text).recipes[Action.UNLOCK].feedback_window_s == window_s
        return
    (fault,) = faults(text)
    assert fault.key == "actions.unlock.feedback_window_s"
    assert f"{interval_s / 2:g} s" in fault.problem
