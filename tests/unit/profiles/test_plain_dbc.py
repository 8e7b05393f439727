"""The few messages a car is sent are read without cantools as cantools reads them, or not at all."""

from __future__ import annotations

import pytest

from agent.model.reading import Value
from agent.profiles.database import MessageDatabase
from agent.profiles.plain_dbc import PlainMessages

DBC = """VERSION ""

NS_ :

BS_:

BU_: Agent Lock

BO_ 496 LockRequest: 4 Agent
 SG_ Crc : 0|8@1+ (1,0) [0|255] "" Lock
 SG_ Request : 12|2@1+ (1,0) [0|2] "" Lock
 SG_ Warmth : 23|9@0- (0.5,-40) [-100|100] "degC" Lock

BO_ 2596069345 WakeRequest: 2 Agent
 SG_ Wake : 7|8@0+ (1,0) [0|1] "" Lock

CM_ BO_ 496 "Asks for the lock.";
VAL_ 496 Request 2 "Lock" 1 "Unlock" 0 "None" ;
"""


def plain(dbc: str = DBC, *further: str) -> PlainMessages:
    files = {f"{number}.dbc": text.encode() for number, text in enumerate((dbc, *further))}
    messages = PlainMessages.load(files)
    assert isinstance(messages, PlainMessages)
    return messages


def whole(dbc: str = DBC) -> MessageDatabase:
    messages = MessageDatabase.load({"0.dbc": dbc.encode()})
    assert isinstance(messages, MessageDatabase)
    return messages


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("message", "values", "computed"),
    [
        ("LockRequest", {"Request": "Lock", "Warmth": -40.5}, ("Crc",)),
        ("LockRequest", {"Request": 1, "Warmth": 12.26, "Crc": 255}, ()),
        ("WakeRequest", {"Wake": True}, ()),
    ],
)
def test_payloads_are_those_of_cantools(
    message: str, values: dict[str, Value], computed: tuple[str, ...], newline: str
) -> None:
    read, oracle = plain(DBC.replace("\n", newline)), whole()
    spec, known = read.message(message), oracle.message(message)
    assert spec is not None
    assert known is not None
    assert (spec.arbitration_id, spec.is_extended_id) == (known.arbitration_id, known.is_extended_id)
    assert {name: signal.field for name, signal in spec.signals.items()} == {
        name: signal.field for name, signal in known.signals.items()
    }
    assert read.encode_request(message, values, computed) == oracle.encode_request(message, values, computed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SG_ Crc :", "SG_ Crc M :"),
        ("SG_ Request :", "SG_ Request m0 :"),
        ("12|2@1+", "12|2@2+"),
        ("12|2@1+ (1,0)", "12|2@1+ (one,0)"),
        ("12|2@1+", "12|0@1+"),
        ("12|2@1+", "31|2@1+"),
        ("SG_ Request : 12|2@1+ (1,0)", "SG_ Request : 12|2@1+"),
        ("SG_ Request", "SG_ Crc"),
        ("LockRequest: 4 Agent", "LockRequest: 65 Agent"),
        ("LockRequest: 4 Agent", "LockRequest: 0 Agent"),
        ("LockRequest: 4 Agent", "LockRequest:\n 4 Agent"),
        ("BO_ 2596069345 WakeRequest", "BO_ 500 LockRequest"),
    ],
)
def test_a_message_that_is_not_plain_is_declined(old: str, new: str) -> None:
    assert plain().message("LockRequest") is not None
    assert old in DBC
    assert plain(DBC.replace(old, new)).message("LockRequest") is None


def test_a_message_defined_in_two_files_is_declined() -> None:
    assert plain(DBC, DBC).message("LockRequest") is None


def test_a_file_of_another_format_holds_no_plain_message() -> None:
    messages = PlainMessages.load({"0.kcd": DBC.encode()})
    assert isinstance(messages, PlainMessages)
    assert messages.message("LockRequest") is None


@pytest.mark.parametrize(
    "values",
    [
        {"Request": "Lock"},
        {"Request": "Lock", "Warmth": 0, "Other": 1},
        {"Request": "Open", "Warmth": 0},
        {"Request": 4, "Warmth": 0},
        {"Request": 1, "Warmth": 1e300},
        {"Request": 1, "Warmth": float("nan")},
    ],
)
def test_values_that_do_not_fit_make_no_payload(values: dict[str, Value]) -> None:
    messages = plain()
    assert messages.message("LockRequest") is not None
    assert isinstance(messages.encode_request("LockRequest", values, ("Crc",)), list)
