"""DBC faults as they are met in the wild: each is decoded rightly or named with its line; none goes in silence."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.profile_tools.dbc_lint import lint_dbc
from agent.profile_tools.dbc_statements import read_statements
from agent.profile_tools.remark import Severity
from agent.profiles.database import MessageDatabase
from tests.support.small_car import DBC

ROOT = Path(__file__).resolve().parents[3]

HEAD = 'VERSION ""\n\nNS_ :\n\tBA_DEF_\n\tNS_DESC_\n\nBS_:\n\nBU_: Car Agent\n\n'
MESSAGE = 'BO_ 256 Motion: 8 Car\n SG_ Speed : 0|16@1+ (0.01,0) [0|250] "km/h" Agent\n'
BAD_LINE = HEAD.count("\n") + MESSAGE.count("\n") + 1
"""The line after the sound message, where each test puts its own."""


def remarks(text: str, encoding: str = "utf-8") -> list[str]:
    return [str(remark) for remark in lint_dbc("car.dbc", "car.dbc", text.encode(encoding))]


def test_sound_files_have_no_remarks() -> None:
    assert remarks(HEAD + MESSAGE) == []
    assert remarks(DBC) == []
    for path in (ROOT / "dbc").rglob("*.dbc"):
        assert lint_dbc(path.name, path.name, path.read_bytes()) == []


FAULTS = {
    "overlap": (' SG_ Gear : 12|8@1+ (1,0) [0|0] "" Agent', "4 of its bits are claimed by Speed on line 12"),
    "overlap of two byte orders": (' SG_ Gear : 3|10@0+ (1,0) [0|0] "" Agent', "claimed by Speed"),
    "past the end": (' SG_ Gear : 60|8@1+ (1,0) [0|0] "" Agent', "reaches into byte 9 of 8"),
    "past the end, Motorola": (' SG_ Gear : 56|16@0+ (1,0) [0|0] "" Agent', "most significant bit"),
    "no bits": (' SG_ Gear : 16|0@1+ (1,0) [0|0] "" Agent', "0 bits; expected 1 to 64"),
    "too many bits": (' SG_ Gear : 16|65@1+ (1,0) [0|0] "" Agent', "65 bits; expected 1 to 64"),
    "zero factor": (' SG_ Gear : 16|8@1+ (0,0) [0|0] "" Agent', "the factor is 0"),
    "factor of a thousand digits": (f' SG_ Gear : 16|8@1+ ({10**999},0) [0|0] "" Agent', "beyond all numbers"),
    "offset beyond": (' SG_ Gear : 16|8@1+ (1,1e999) [0|0] "" Agent', "beyond all numbers"),
    "limits exchanged": (' SG_ Gear : 16|8@1+ (1,0) [9|2] "" Agent', "[9|2] hold for no value"),
    "no unit": (" SG_ Gear : 16|8@1+ (1,0) [0|0] Agent", "the signal's unit cannot be read"),
    "no limits": (' SG_ Gear : 16|8@1+ (1,0) "" Agent', "the signal's limits cannot be read"),
    "no receiver": (' SG_ Gear : 16|8@1+ (1,0) [0|0] ""', "the signal's receivers cannot be read"),
    "decimal comma": (' SG_ Gear : 16|8@1+ (0,1,0) [0|0] "" Agent', "the signal's scale cannot be read"),
    "factor that is no number": (' SG_ Gear : 16|8@1+ (nan,0) [0|0] "" Agent', "the signal's scale cannot be read"),
    "name that begins with a digit": (' SG_ 2nd : 16|8@1+ (1,0) [0|0] "" Agent', "the signal's name cannot be read"),
    "name with a dash": (' SG_ Gear-2 : 16|8@1+ (1,0) [0|0] "" Agent', "the signal's multiplexing cannot be read"),
    "second of a name": (' SG_ Speed : 16|8@1+ (1,0) [0|0] "" Agent', "a second signal of that name"),
    "no multiplexer": (' SG_ Gear m0 : 16|8@1+ (1,0) [0|0] "" Agent', "multiplexed, but Motion has 0 multiplexers"),
    "standard id too large": ("BO_ 2048 Other: 8 Car", "id 0x800 has more than 11 bits"),
    "extended id too large": ("BO_ 3758096384 Other: 8 Car", "id 0x60000000 has more than 29 bits"),
    "id in hexadecimal": ("BO_ 0x101 Other: 8 Car", "the message 'BO_ 0x101 Other: 8 Car' cannot be read"),
    "same id": ("BO_ 256 Other: 8 Car", "shares an id with Motion on line 11"),
    "same name": ("BO_ 257 Motion: 8 Car", "shares a name with Motion on line 11"),
    "value table of no signal": ('VAL_ 256 Gone 0 "a" ;', "a value table for the signal Gone"),
    "value table of no message": ('VAL_ 9 Speed 0 "a" ;', "a value table for message 9"),
    "value table without its end": ('VAL_ 256 Speed 0 "a"', "the value table 'VAL_ 256 Speed 0 \"a\"' cannot be read"),
    "value with two words": ('VAL_ 256 Speed 0 "a" 0 "b" ;', "0 has more than one word"),
    "value table with rubbish": ('VAL_ 256 Speed 0 a 1 "b" ;', "in the value table of Speed"),
    "attribute without definition": ('BA_ "GenMsgCycleTime" BO_ 256 100;', "'GenMsgCycleTime' is not defined"),
    "type of no signal": ("SIG_VALTYPE_ 256 Gone : 1;", "a type for the signal Gone"),
    "float of another width": ("SIG_VALTYPE_ 256 Speed : 1;", "32 bits wide as a float, and 16 on line 12"),
    "unknown type": ("SIG_VALTYPE_ 256 Speed : 7;", "a type 7; expected 0 (whole)"),
    "multiplexing of no signal": ("SG_MUL_VAL_ 256 Gone Page 0-1;", "multiplexing for the signal Gone"),
    "multiplexing by no signal": ("SG_MUL_VAL_ 256 Speed Page 0-1;", "the multiplexer Page is not in the message"),
    "garbage": ("here somebody left a note", "begins no statement"),
    "quotation mark alone": ('CM_ SG_ 256 Speed "never closed;', "a quotation mark without its partner"),
}


@pytest.mark.parametrize("line, problem", FAULTS.values(), ids=FAULTS)
def test_fault_is_named_with_its_line(line: str, problem: str) -> None:
    found = remarks(HEAD + MESSAGE + line + "\n")
    assert [each for each in found if each.startswith(f"fault: car.dbc:{BAD_LINE}:") and problem in each], found


def test_page_that_the_multiplexer_has_no_number_for_is_named() -> None:
    paged = 'BO_ 257 Paged: 8 Car\n SG_ Page M : 0|2@1+ (1,0) [0|0] "" Agent\n'
    pages = ' SG_ A m3 : 8|8@1+ (1,0) [0|0] "" Agent\n SG_ B m4 : 8|8@1+ (1,0) [0|0] "" Agent\n'
    found = remarks(HEAD + MESSAGE + paged + pages)
    problem = f"page 4 never comes: Page on line {BAD_LINE + 1} has 2 bits"
    assert found == [f"fault: car.dbc:{BAD_LINE + 3}: Paged.B: {problem}; expected a page that can be"]


WARNINGS = {
    "comment on no signal": ('CM_ SG_ 256 Gone "a";', "a comment for the signal Gone"),
    "comment on no message": ('CM_ BO_ 9 "a";', "a comment for message 9"),
    "value beyond the bits": ('VAL_ 256 Speed 70000 "a" ;', "70000 cannot be in 16 bits"),
    "word for two values": ('VAL_ 256 Speed 0 "a" 1 "a" ;', "'a' names more than one value"),
    "text encoded twice": (' SG_ Outside : 16|8@1- (1,0) [0|0] "Â°C" Agent', "the text was encoded twice"),
    "message longer than a frame": ("BO_ 257 Other: 70 Car", "70 bytes, which no frame holds"),
}


@pytest.mark.parametrize("line, problem", WARNINGS.values(), ids=WARNINGS)
def test_what_may_be_meant_so_is_a_warning(line: str, problem: str) -> None:
    found = remarks(HEAD + MESSAGE + line + "\n")
    assert [each for each in found if each.startswith(f"warning: car.dbc:{BAD_LINE}:") and problem in each], found
    assert not [each for each in found if each.startswith("fault")]


SOUND = {
    "empty unit": ' SG_ Gear : 16|8@1+ (1,0) [0|0] "" Agent',
    "odd spaces": ' SG_ Gear: 16|8@1+ ( 1 , 0 ) [ 0 | 0 ]  ""   Agent',
    "several receivers": ' SG_ Gear : 16|8@1+ (1,0) [0|0] "" Agent,Car',
    "exponent": ' SG_ Gear : 16|8@1+ (1E-3,0) [0|2.5e2] "" Agent',
    "comment of a person": "// what the dashboard shows",
    "text over lines": 'CM_ SG_ 256 Speed "first\nBO_ 9 not a message\nlast";',
    "signals of no message": (
        'BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 Vector__XXX\n SG_ Old : 0|8@1+ (1,0) [0|0] "" Agent'
    ),
    "pages on the same bits": (
        'BO_ 257 Paged: 8 Car\n SG_ Page M : 0|8@1+ (1,0) [0|0] "" Agent\n'
        ' SG_ A m0 : 8|8@1+ (1,0) [0|0] "" Agent\n SG_ B m1 : 8|8@1+ (1,0) [0|0] "" Agent'
    ),
    "definition after its use": 'BA_ "GenMsgCycleTime" BO_ 256 100;\nBA_DEF_ BO_ "GenMsgCycleTime" INT 0 1000;',
    "longer name by attribute": (
        'BA_DEF_ SG_ "SystemSignalLongSymbol" STRING ;\nBA_DEF_DEF_ "SystemSignalLongSymbol" "";\n'
        'BA_ "SystemSignalLongSymbol" SG_ 256 Speed "SpeedOfTheVehicle";'
    ),
}


@pytest.mark.parametrize("line", SOUND.values(), ids=SOUND)
def test_what_only_looks_odd_is_read_and_not_spoken_of(line: str) -> None:
    text = HEAD + MESSAGE + line + "\n"
    assert remarks(text) == []
    assert isinstance(MessageDatabase.load({"car.dbc": text.encode()}), MessageDatabase)


NESTED = """BO_ 257 Paged: 8 Car
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" Agent
 SG_ Inner m1M : 8|8@1+ (1,0) [0|0] "" Agent
 SG_ A m0 : 16|8@1+ (1,0) [0|0] "" Agent
 SG_ B m1 : {start}|8@1+ (1,0) [0|0] "" Agent
SG_MUL_VAL_ 257 Inner Page 1-1;
SG_MUL_VAL_ 257 A Inner 0-0;
SG_MUL_VAL_ 257 B Inner {values};
"""


def test_overlap_below_nested_multiplexers_is_named() -> None:
    assert remarks(HEAD + MESSAGE + NESTED.format(start=16, values="1-1")) == []
    (found,) = remarks(HEAD + MESSAGE + NESTED.format(start=16, values="0-1"))
    assert found.startswith(f"fault: car.dbc:{BAD_LINE}: Paged: ")
    assert "overlapping" in found


def test_all_faults_are_told_at_once_by_line() -> None:
    found = remarks(HEAD + MESSAGE + "".join(f"{line}\n" for line, _ in list(FAULTS.values())[:8]))
    lines = [int(re.findall(r":(\d+):", each)[0]) for each in found]
    assert lines == sorted(lines)
    assert len(set(lines)) >= 8


def test_either_encoding_is_read_and_a_byte_of_neither_is_told() -> None:
    degrees = HEAD + MESSAGE.replace("km/h", "°C")
    assert remarks(degrees) == remarks(degrees, "cp1252") == []
    content = degrees.encode("cp1252").replace(b"\xb0", b"\x81\xb0")
    assert [str(each) for each in lint_dbc("car.dbc", "car.dbc", content)] == [
        "warning: car.dbc:12: a byte that is neither UTF-8 nor cp1252; expected UTF-8"
    ]
    assert remarks(degrees, "utf-16")[0].startswith("fault: car.dbc:1: the file is UTF-16")


def test_signal_below_an_unreadable_message_is_not_counted_to_the_one_before() -> None:
    text = HEAD + MESSAGE + 'BO_ 0x101 Other: 8 Car\n SG_ Gear : 0|8@1+ (1,0) [0|0] "" Agent\n'
    assert not [each for each in remarks(text) if "claimed" in each]
    assert any("Gear belongs to no message" in each for each in remarks(text))


PIECES = st.sampled_from([*'"|@()[],:;mM0 9-\n', "SG_ ", "BO_ ", "VAL_ ", "BA_ ", "0x", "é", "//", "@0-", "\t"])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(DBC)), st.integers(0, 6), PIECES)
def test_no_edit_of_a_file_makes_a_signal_vanish_in_silence(at: int, cut: int, piece: str) -> None:
    """Each `SG_` line is in the reader's database, or the file has a fault."""
    logging.disable(logging.CRITICAL)  # cantools warns of twins, which are told by us
    content = (DBC[:at] + piece + DBC[at + cut :]).encode()
    found = lint_dbc("car.dbc", "car.dbc", content)
    logging.disable(logging.NOTSET)
    if any(remark.severity is Severity.FAULT for remark in found):
        return
    database = MessageDatabase.load({"car.dbc": content})
    assert isinstance(database, MessageDatabase)
    held = sum(len(message.signals) for message in database.messages.values())
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', content.decode(), flags=re.DOTALL)
    written = len(re.findall(r"^\s*SG_\s", re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE), re.MULTILINE))
    assert held == written


@given(st.text(max_size=300))
def test_any_text_is_read_to_its_end(text: str) -> None:
    read_statements(text)
