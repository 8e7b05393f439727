"""Freshness, checksum and counter as `[[messages]]` gives them."""

from __future__ import annotations

import pytest

from agent.model.frame import BitField
from agent.profiles.schema import MessagePlan
from tests.support.small_car import DBC, HEAD, faults, parsed, signal_table

SIGNAL = signal_table("Vehicle.Carshare.CentralLock.IsLocked", "Lock", "IsLocked")
WITHOUT_CYCLE = DBC.replace('BA_DEF_DEF_  "GenMsgCycleTime" 100;', 'BA_DEF_DEF_  "GenMsgCycleTime" 0;')


def rules(keys: str) -> str:
    return HEAD + f'\n[[messages]]\nmessage = "Lock"\n{keys}\n' + SIGNAL


def lock(text: str, dbc: str = DBC) -> MessagePlan:
    (message,) = parsed(text, dbc).messages
    return message


def test_freshness_is_the_signals_else_the_messages_else_ten_cycles() -> None:
    assert lock(HEAD + SIGNAL).signals[0].freshness_s == 1.0
    assert lock(rules("freshness_s = 0.5")).signals[0].freshness_s == 0.5
    assert lock(rules("freshness_s = 0.5") + "freshness_s = 0.2\n").signals[0].freshness_s == 0.2


def test_without_a_cycle_time_freshness_must_be_given() -> None:
    (fault,) = faults(HEAD + SIGNAL, WITHOUT_CYCLE)
    assert (fault.key, "no cycle time" in fault.problem) == ("signals[0].freshness_s", True)
    assert lock(rules("freshness_s = 0.5"), WITHOUT_CYCLE).signals[0].freshness_s == 0.5


@pytest.mark.parametrize(
    "definition",
    ["INT 0 0;\nBA_DEF_DEF_ {0} " + "9" * 400, 'STRING ;\nBA_DEF_DEF_ {0} "100"', "INT 0 0;\nBA_DEF_DEF_ {0} -5"],
)
def test_a_cycle_time_that_makes_no_sense_is_none(definition: str) -> None:
    name = '"GenMsgCycleTime"'
    dbc = DBC.replace(f"BA_DEF_ BO_  {name} INT 0 10000;\nBA_DEF_DEF_  {name} 100;", "")
    dbc = dbc.replace("VAL_ 256", f"BA_DEF_ BO_ {name} {definition.format(name)};\nVAL_ 256")
    (fault,) = faults(HEAD + SIGNAL, dbc)
    assert "no cycle time" in fault.problem


def test_checksum_and_counter_become_fields_of_the_message() -> None:
    text = rules('checksum = { algorithm = "xor8", signal = "LockCrc" }\n'
                 'counter = { signal = "LockCounter", step_max = 3 }')  # fmt: skip
    message = lock(text)
    assert message.checksum is not None
    assert message.counter is not None
    assert message.checksum.field == BitField(0, 8, True, 4)
    assert message.checksum.compute(bytes.fromhex("FF010204")) == 7
    assert (message.counter.field, message.counter.step_max) == (BitField(8, 4, True, 4), 3)


@pytest.mark.parametrize(
    ("keys", "dbc", "reset_after_s"),
    [("freshness_s = 0.5", DBC, 0.5), ("", DBC, 1.0)],
)
def test_a_counter_begins_anew_once_the_message_has_grown_stale(keys: str, dbc: str, reset_after_s: float) -> None:
    message = lock(rules(keys + '\ncounter = { signal = "LockCounter", step_max = 3 }'), dbc)
    assert message.counter is not None
    assert message.counter.reset_after_s == reset_after_s


@pytest.mark.parametrize(
    ("keys", "key", "problem"),
    [
        ('checksum = { algorithm = "crc8", signal = "LockCrc" }', "checksum.algorithm", "unknown algorithm 'crc8'"),
        ('checksum = { algorithm = "xor8", signal = "LockCRC" }', "checksum.signal", "has no signal 'LockCRC'"),
        ('checksum = { algorithm = "xor8", signal = "LockCounter" }', "checksum.signal", "has 4 bits"),
        ('counter = { signal = "LockCount", step_max = 1 }', "counter.signal", "has no signal 'LockCount'"),
        ('counter = { signal = "LockCounter", step_max = 16 }', "counter.step_max", "a step of 16 in a counter of 4"),
        ('counter = { signal = "LockCounter", step_max = 0 }', "counter.step_max", "0 does not fit"),
        ('checksum = { algorithm = "xor8", signal = "LockCrc" }\ncounter = { signal = "LockCrc", step_max = 1 }',
         "counter", "the same signal"),
        ('\n[[messages]]\nmessage = "Lock"', "message", "stands here twice"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_kept_is_a_fault(keys: str, key: str, problem: str) -> None:
    found = faults(rules(keys))
    assert any(fault.key.endswith(key) and problem in fault.problem for fault in found), found


def test_a_signed_counter_is_a_fault() -> None:
    signed = DBC.replace("LockCounter : 8|4@1+", "LockCounter : 8|4@1-")
    (fault,) = faults(rules('counter = { signal = "LockCounter", step_max = 1 }'), signed)
    assert "is signed" in fault.problem


def checksum_rule(keys: str) -> str:
    return rules(f'checksum = {{ signal = "LockCrc", {keys} }}')


def test_a_crc_may_be_given_by_its_parameters() -> None:
    payload = bytes.fromhex("00123456")

    def computed(keys: str) -> int:
        checksum = lock(checksum_rule(keys)).checksum
        assert checksum is not None
        return checksum.compute(payload)

    parameters = "poly = 0x1D, init = 0xFF, xorout = 0xFF"
    assert computed('algorithm = "crc8_sae_j1850"') == computed(parameters)
    assert computed(f"{parameters}, bytes = [1, 2, 3]") == computed(parameters)
    assert computed(f"{parameters}, bytes = [3, 2, 1]") != computed(parameters)
    assert computed("poly = 0x1D") != computed(parameters)


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ('algorithm = "xor8", poly = 0x1D', "algorithm"),
        ("init = 0xFF", "algorithm"),
        ('algorithm = "xor8", init = 0xFF', "init"),
        ('algorithm = "xor8", reflected = true', "reflected"),
        ("poly = 0x11D", "poly"),
        ("poly = 0x1D, xorout = 0x100", "xorout"),
        ('algorithm = "xor8", bytes = [1, 4]', "bytes"),
    ],
)
def test_parameters_that_make_no_checksum_of_this_message_are_a_fault(keys: str, key: str) -> None:
    (fault,) = faults(checksum_rule(keys))
    assert fault.key == f"messages[0].checksum.{key}"


def test_a_crc_is_as_wide_as_its_signal() -> None:
    (fault,) = faults(rules('checksum = { signal = "LockCounter", poly = 0x3 }'))
    assert (fault.key, fault.problem) == ("messages[0].checksum.signal", "LockCounter has 4 bits")
