"""The DBC behind its verbs: look-ups, encoding, and every reason why a file or a message cannot be used."""

from __future__ import annotations

import math

import pytest
from cantools.database.can import Message

from agent.faults import Fault
from agent.model.frame import BitField
from agent.model.reading import Value
from agent.profiles.database import MessageDatabase
from agent.profiles.message_spec import Problem
from tests.support.small_car import DBC


def loaded(dbc: str = DBC) -> MessageDatabase:
    database = MessageDatabase.load({"small.dbc": dbc.encode()})
    assert isinstance(database, MessageDatabase), "\n".join(map(str, database))
    return database


def refused(content: bytes, name: str = "small.dbc") -> list[Fault]:
    faults = MessageDatabase.load({name: content})
    assert isinstance(faults, list)
    return faults


def test_messages_are_found_by_name_and_by_frame() -> None:
    database = loaded()
    battery = database.message("Battery")
    assert battery is not None
    assert (battery.arbitration_id, battery.is_extended_id, battery.length_bytes) == (0x18FF1234, True, 8)
    assert (battery.cycle_time_s, battery.file, battery.is_fd) == (0.1, "small.dbc", False)
    assert database.message_of_frame(0x18FF1234, is_extended_id=True) is battery
    assert database.message_of_frame(0x18FF1234) is None
    assert database.message("Nothing") is None
    assert database.messages["Wide"].is_fd


def test_a_signal_is_a_shift_in_the_payload_read_as_an_integer() -> None:
    motion = loaded().messages["Motion"].signals
    assert motion["Speed"].field == BitField(48, 16, False, 8)
    assert motion["Outside"].field == BitField(16, 10, True, 8, is_signed=True)
    assert motion["Odometer"].field == BitField(12, 20, False, 8)
    assert loaded().messages["Battery"].signals["Voltage"].field == BitField(0, 32, True, 8, is_float=True)


def test_multiplexers_above_a_signal_are_listed_from_the_outside_in() -> None:
    assert loaded().messages["Battery"].signals["Current"].selections == (("Page", frozenset({201})),)
    assert loaded().messages["Battery"].signals["Voltage"].selections == ()


def test_encode_takes_numbers_names_and_booleans_and_leaves_unused_bits_zero() -> None:
    values: dict[str, Value] = {"LockCrc": 0, "LockCounter": 15, "Request": "Unlock", "IsLocked": True, "Miles": 0}
    assert loaded().encode("Lock", values) == bytes.fromhex("001F0100")


def test_encode_is_undone_by_decode() -> None:
    database = loaded()
    values: dict[str, Value] = {"Voltage": 396.5, "Page": 201, "Current": -58.5}
    assert database.decode("Battery", database.encode("Battery", values)) == values


def test_encode_lets_a_simulated_car_send_its_markers_for_not_known() -> None:
    limited = DBC.replace('(0.01,0) [0|0] "km/h"', '(0.01,0) [0|250] "km/h"')
    values: dict[str, Value] = {"Speed": 655.35, "Outside": 0, "Gear": "NotAvailable", "Odometer": 104857.5}
    assert loaded(limited).encode("Motion", values)[:2] == b"\xff\xff"
    payload = loaded().encode("Battery", {"Voltage": math.nan, "Page": 2, "Health": 0})
    assert math.isnan(loaded().decode("Battery", payload)["Voltage"])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"Voltage": 1, "Page": 201}, "Current: missing"),
        ({"Voltage": 1, "Page": 2, "Current": 1, "Health": 1}, "Current: not selected"),
        ({"Voltage": 1, "Page": 9}, "Page: unknown value 9"),
        ({"Voltage": 1, "Page": 300, "Current": 1}, "Page: 300 does not fit"),
        ({"Voltage": 1e39, "Page": 201, "Current": 1}, "Voltage: 1e+39 does not fit"),
        ({"Voltage": 1, "Page": 201, "Current": math.inf}, "Current: inf cannot be encoded"),
        ({"Voltage": 1, "Page": 201, "Curent": 1}, "Curent: Battery has no such signal; expected Current"),
        ({"Voltage": "High", "Page": 201, "Current": 1}, "Voltage: no value is called 'High'"),
    ],
)
def test_encode_says_all_that_is_wrong_with_the_values(values: dict[str, float | str], told: str) -> None:
    with pytest.raises(ValueError, match=r"^Battery: ") as raised:
        loaded().encode("Battery", values)
    assert told in str(raised.value)


def test_encode_of_an_unknown_message_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        loaded().encode("Nothing", {})


def test_a_request_leaves_computed_signals_zero_and_keeps_within_the_limits() -> None:
    database = loaded()
    values: dict[str, Value] = {"Request": "Lock", "IsLocked": 0, "Miles": 0}
    assert database.encode_request("Lock", values, ("LockCrc", "LockCounter")) == bytes.fromhex("00200000")
    beyond = database.encode_request("Lock", {**values, "Request": 3}, ("LockCrc", "LockCounter"))
    assert beyond == [Problem("Request", "3 is beyond the DBC's limits", "0 to 2")]
    given = database.encode_request("Lock", {**values, "LockCrc": 1}, ("LockCrc", "LockCounter"))
    assert given == [Problem("LockCrc", "is computed when the frame is sent", "no value")]


def test_decode_refuses_what_cantools_refuses() -> None:
    with pytest.raises(ValueError, match="multiplexer"):
        loaded().decode("Battery", bytes.fromhex("0000000003000000"))
    with pytest.raises(ValueError, match="size"):
        loaded().decode("Battery", bytes(7))


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe", b"BO_", b"VERSION"])
def test_a_file_cantools_cannot_read_is_a_fault(content: bytes) -> None:
    assert [fault.source for fault in refused(content)] == ["small.dbc"]


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"\n \n", "is empty"), (DBC.encode("utf-16"), "is no text"), (bytes(100) + DBC.encode(), "is no text")],
)
def test_what_is_no_text_is_called_so_and_not_quoted(content: bytes, told: str) -> None:
    (fault,) = refused(content)
    assert fault.problem.startswith(told)
    assert fault.expected.startswith("a CAN database")


def test_a_syntax_error_is_told_with_its_line() -> None:
    line = DBC.splitlines().index(' SG_ Page M : 32|8@1+ (1,0) [0|0] "" Agent') + 1
    (fault,) = refused(DBC.replace("Page M : 32|8@1+", "Page M : 32|8@1").encode())
    assert (fault.line, "Invalid syntax" in fault.problem) == (line, True)


def test_a_fault_that_names_a_message_is_told_with_its_line() -> None:
    line = DBC.splitlines().index("BO_ 256 Motion: 8 Car") + 1
    (fault,) = refused(DBC.replace("BO_ 256 Motion", "BO_ 4096 Motion").replace("VAL_ 256", "VAL_ 4096").encode())
    assert (fault.line, "more than 11 bits" in fault.problem) == (line, True)


def test_a_format_that_is_none_is_a_fault() -> None:
    assert "no format" in refused(b"", "small.txt")[0].problem


def test_every_file_that_cannot_be_read_is_told() -> None:
    faults = MessageDatabase.load({"one.dbc": b"?", "two.kcd": b"?", "sound.dbc": DBC.encode(), "three.arxml": b"<"})
    assert isinstance(faults, list)
    assert {fault.source for fault in faults} == {"one.dbc", "two.kcd", "three.arxml"}


@pytest.mark.parametrize(
    "nameless", ['<Message id="0x1"/>', '<Message id="0x1" name="M"><Signal offset="0"/></Message>']
)
def test_a_definition_without_a_name_is_a_fault(nameless: str) -> None:
    """In KCD a name is an attribute like others, and may be missing."""
    kcd = f"""<NetworkDefinition xmlns="http://kayak.2codeornot2code.org/1.0"><Document/>
<Bus name="b">{nameless}</Bus></NetworkDefinition>"""
    (fault,) = refused(kcd.encode(), "small.kcd")
    assert str(fault) == "small.kcd: message 0x1 or a signal of it has no name; expected a name"


def test_the_other_formats_are_read_too() -> None:
    kcd = b"""<NetworkDefinition xmlns="http://kayak.2codeornot2code.org/1.0"><Document/>
      <Bus name="body"><Message id="0x100" length="8" name="Motion"><Signal name="Speed" offset="0" length="16"/>
      </Message></Bus></NetworkDefinition>"""
    database = MessageDatabase.load({"small.kcd": kcd})
    assert isinstance(database, MessageDatabase)
    assert database.messages["Motion"].signals["Speed"].field == BitField(0, 16, True, 8)


def test_a_container_of_other_messages_is_odd() -> None:
    definition = Message(256, "Box", 8, [], contained_messages=[Message(1, "Inner", 1, [], header_id=1)])
    assert MessageDatabase([("box.arxml", definition)]).oddities("Box") == ("it is a container of other messages",)


def test_text_is_utf_8_or_else_windows_1252() -> None:
    degrees = DBC.replace('"degC"', '"°C"')
    for encoding in ("utf-8", "utf-8-sig", "cp1252"):
        database = MessageDatabase.load({"small.dbc": degrees.encode(encoding)})
        assert isinstance(database, MessageDatabase)
        assert database.messages["Motion"].signals["Outside"].unit == "°C"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Outside : 16|10", "Outside : 8|10", "overlapping"),
        ("Odometer : 39|20", "Odometer : 63|20", "does not fit"),
        (" SG_ Gear : 26", " SG_ Speed : 26", "two signals are called Speed"),
        ("BO_ 256 Motion: 8", "BO_ 256 Motion: 0", "0 bytes"),
        ("BO_ 256 Motion: 8", "BO_ 256 Motion: 65", "65 bytes"),
        ("BO_ 512 Wide", "BO_ 512 Motion", "the same name"),
        ("BO_ 512 Wide", "BO_ 256 Wide", "the same identifier"),
    ],
)
def test_a_message_that_cannot_be_decoded_without_guessing_is_odd(old: str, new: str, told: str) -> None:
    bare = DBC[: DBC.index("VAL_ 256")]
    assert old in bare
    database = loaded(bare.replace(old, new))
    assert any(told in oddity for oddity in database.oddities("Motion"))
    assert database.oddities("Lock") == ()


def test_of_two_messages_with_one_identifier_both_are_odd() -> None:
    database = loaded(DBC[: DBC.index("VAL_ 256")].replace("BO_ 512 Wide", "BO_ 256 Wide"))
    assert database.oddities("Motion") == ("Wide in small.dbc has the same identifier",)
    assert database.oddities("Wide") == ("Motion in small.dbc has the same identifier",)


def test_signals_of_different_pages_may_overlap_and_those_of_one_may_not() -> None:
    assert loaded().oddities("Battery") == ()
    overlapping = DBC.replace("Health m2 : 40|7", "Health m2 : 30|7")
    assert any("overlapping" in oddity for oddity in loaded(overlapping).oddities("Battery"))


def test_an_oddity_tells_both_files() -> None:
    database = MessageDatabase.load({"one.dbc": DBC.encode(), "two.dbc": DBC.encode()})
    assert isinstance(database, MessageDatabase)
    assert all("two.dbc" in oddity or "one.dbc" in oddity for oddity in database.oddities("Lock"))
    assert database.oddities("Lock")
