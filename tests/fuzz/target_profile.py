"""Profiles and DBC files of any text: a profile that can be used, or a list of faults that a person can read.

Whatever is accepted is used at once: frames of any content are decoded by it, and every frame of its recipes is on
its send list (SR-01).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.command.recipe import fill
from agent.decode.decoder import Decoder
from agent.faults import Fault
from agent.model.frame import Frame
from agent.model.recipe import FrameTemplate
from agent.policy.sending import is_on_send_list
from agent.profiles.parse import named_files, parse_profile
from agent.profiles.schema import Profile
from tests.fuzz.intake import Intake, edit, edited
from tests.support.honest_readings import is_honest
from tests.support.small_car import DBC, HEAD, signal_table, small_profile_text

DEMO = Path(__file__).resolve().parents[2] / "dbc" / "demo_hatchback"
DATABASE_BYTES_MAX = 8192
"""cantools takes a millisecond for a line of a DBC; beyond this an input costs time and shows nothing new."""

LOCKED = "Vehicle.Carshare.CentralLock.IsLocked"
ACTING = f"""
[[messages]]
message = "Lock"
checksum = {{ algorithm = "crc8_sae_j1850", signal = "LockCrc" }}
counter = {{ signal = "LockCounter", step_max = 1 }}

[wake.body]
frames = [ {{ message = "Wide", values = {{ Cell = 0.5, Energy = 1.5 }} }} ]
tries_max = 10
interval_s = 0.1
settle_s = 2.0

[actions.unlock]
frames = [ {{ bus = "body", message = "Lock", values = {{ Request = "Unlock", IsLocked = 0, Miles = 0 }} }} ]
repeats_max = 10
interval_s = 0.1
wake = "body"
feedback = [ {{ path = "{LOCKED}", equals = false, confirmations = 2 }} ]
feedback_window_s = 3.0
preconditions = [
  {{ path = "Vehicle.Speed", max = 0.0, reason = "moving", unknown = "speed_unknown", stale = "precondition_stale" }},
]

[unsupported]
locate = "no horn"
"""

SMALL = small_profile_text(
    signal_table(LOCKED, "Lock", "IsLocked", "invalid = [1]\nmin = 0\nreport = { deadband = 1.0, interval_s = 1.0 }")
    + signal_table(
        "Vehicle.Powertrain.TractionBattery.Range",
        "Lock",
        "LockCounter",
        'unit_by = { message = "Lock", signal = "Miles", units = { 0 = "km", 1 = "mi" } }',
    )
    + ACTING
).encode()
SMALL_DBC = DBC.encode()

KCD = b"""<?xml version="1.0" encoding="UTF-8"?>
<NetworkDefinition xmlns="http://kayak.2codeornot2code.org/1.0">
 <Document name="small" version="1"/>
 <Bus name="body">
  <Message id="0x100" name="Motion" length="8"><Signal name="Speed" offset="0" length="16"/></Message>
  <Message id="0x300" name="Lock" length="4"><Multiplex name="Page" offset="0" length="8"><MuxGroup count="1">
   <Signal name="IsLocked" offset="16" length="1"><LabelSet><Label name="On" value="1"/></LabelSet></Signal>
  </MuxGroup></Multiplex></Message>
 </Bus>
</NetworkDefinition>
"""
SYM = b"""FormatVersion=6.0 // Do not edit this line!
Title="small"
{ENUMS}
enum OnOff(0="Off", 1="On")
{SENDRECEIVE}
[Motion]
ID=100h
Len=8
Var=Speed unsigned 0,16 /f:0.01
Var=Gear unsigned 16,3 /e:OnOff
"""
ARXML = b"""<?xml version="1.0" encoding="UTF-8"?>
<AUTOSAR xmlns="http://autosar.org/schema/r4.0"><AR-PACKAGES><AR-PACKAGE><SHORT-NAME>p</SHORT-NAME>
</AR-PACKAGE></AR-PACKAGES></AUTOSAR>
"""

TOKENS = (
    b"nan", b"-inf", b"1e999", b"-1", b"0", b"64", b"65", b"4294967296", b'""', b"[]", b"{}", b"true",
    b"\n[[signals]]\n", b"\n[actions.lock]\n", b"\n[wake.body]\n", b"frames = ", b"invalid = ", b"choices = ",
    b"unit = ", b"unit_by = ", b"equals = ", b"\nBO_ 256 Other: 8 Car\n", b"\n SG_ ", b" m1M ", b" M ", b"@0-",
    b"@1+", b"SG_MUL_VAL_ 256 Gear Speed 1-9;", b"VAL_ 256 Gear ", b"SIG_VALTYPE_ 256 Speed : 1;", b"name",
    b'name=""', b"length=", b"<", b"/>", b"\xe4", b"\xef\xbb\xbf",
)  # fmt: skip
"""Words of profiles and databases."""

_TEXT, _TEXT_EDITED, _DATABASE, _DATABASE_EDITED, _BOTH_EDITED, _DEMO_EDITED = range(6)
_SUFFIXES = ("dbc", "kcd", "sym", "arxml")
_WHOLE: Mapping[str, bytes] = {"dbc": SMALL_DBC, "kcd": KCD, "sym": SYM, "arxml": ARXML}


def run(data: bytes) -> None:
    intake = Intake(data)
    text, files = _documents(intake.number() % 6, intake)
    named_files(text)
    found = parse_profile(text, files, source="profile.toml")
    if isinstance(found, Profile):
        check_use(found)
    else:
        check_faults(found, text, files)


def _documents(what: int, intake: Intake) -> tuple[str, Mapping[str, bytes]]:
    suffix = _SUFFIXES[intake.number() % len(_SUFFIXES)]
    text, database = SMALL, _WHOLE[suffix]
    name = "small.dbc" if what in (_TEXT, _TEXT_EDITED) else f"small.{suffix}"
    match what:
        case 0:
            text, database = intake.rest(), SMALL_DBC
        case 1:
            text, database = edited(text, intake), SMALL_DBC
        case 2:
            database = intake.rest()
        case 3:
            database = edited(database, intake)
        case 4:
            text = edited(text, Intake(intake.take(64)))
            database = edited(database, intake)
        case _:
            text, database = edited((DEMO / "profile.toml").read_bytes(), intake), (DEMO / "vehicle.dbc").read_bytes()
            return text.decode(errors="replace"), {"vehicle.dbc": database}
    named = text.decode(errors="replace").replace("small.dbc", name)
    return named, {name: database[:DATABASE_BYTES_MAX]}


def check_faults(found: list[Fault], text: str, files: Mapping[str, bytes]) -> None:
    """At least one, each with a file that there is and a line of it, in words that print on a line."""
    assert found
    lines = {"profile.toml": text.count("\n") + 1}
    lines |= {name: content.count(b"\n") + content.count(b"\r") + 1 for name, content in files.items()}
    for fault in found:
        assert fault.source in lines, fault
        assert 0 <= fault.line <= lines[fault.source], fault
        assert fault.problem
        assert len(str(fault)) < 1000 + len(fault.key), fault


def check_use(profile: Profile) -> None:
    decoder = Decoder(profile)
    at_s = 0.0
    for plan in profile.messages:
        for payload in (bytes(64), b"\xff" * 64, b"\x80" * 64, bytes(range(64)), b""):
            at_s += 100.0
            frame = Frame(plan.bus, plan.arbitration_id, payload, at_s, plan.is_extended_id)
            assert all(is_honest(reading) for reading in decoder.receive(frame))
    for recipe in profile.recipes.values():
        wake = recipe.wake.frames if recipe.wake is not None else ()
        for template in (*recipe.frames, *wake):
            check_template(template, profile)


def check_template(template: FrameTemplate, profile: Profile) -> None:
    """SR-01: whatever the counter, the frame is allowed; and no bit outside counter and checksum may differ."""
    for counter in (0, 1, 15):
        frame = fill(template, counter)
        assert is_on_send_list(frame, profile.send_list)
        assert len(frame.data) <= 64 if frame.is_fd else len(frame.data) <= 8


def seeds() -> Iterator[tuple[str, bytes]]:
    head = bytes([_TEXT, 0])
    yield "text", head + HEAD.encode() + signal_table("Vehicle.Speed", "Motion", "Speed").encode()
    yield "text_whole", head + SMALL
    yield "text_as_it_is", bytes([_TEXT_EDITED, 0])
    for needle, new in (
        (b"freshness", b"freshnes"), (b"max = 0.0", b"max = nan"), (b"[actions.unlock]", b"[actions.lock]"),
        (b'vss = "6.0"', b'vss = "5.0"'), (b"0.01", b"1e999"),
    ):  # fmt: skip
        if needle in SMALL:
            yield f"text_{new.hex()[:8]}", bytes([_TEXT_EDITED, 0]) + edit(SMALL.index(needle), len(needle), new)
    for index, suffix in enumerate(_SUFFIXES):
        yield f"database_{suffix}", bytes([_DATABASE, index]) + _WHOLE[suffix]
        yield f"database_{suffix}_edited", bytes([_DATABASE_EDITED, index]) + edit(40, 3, b"99")
    for needle, new in (
        (b"0|32@1-", b"0|33@1-"), (b"m201 ", b"m201M "), (b"(0.01,0)", b"(0,0)"), (b"8 Car", b"80 Car"),
        (b"BO_ 512", b"BO_ 256"), (b"VAL_ 256", b"VAL_ 257"),
        (b"SIG_VALTYPE_ 512 Energy : 2", b"SG_MUL_VAL_ 1 a b 1-9"),
    ):  # fmt: skip
        where = bytes([_DATABASE_EDITED, 0])
        yield f"database_{new.hex()[:8]}", where + edit(SMALL_DBC.index(needle), len(needle), new)
    yield "both", bytes([_BOTH_EDITED, 0]) + edit(300, 1, b"x").ljust(64, b"\0") + edit(100, 1, b"9")
    yield "demo", bytes([_DEMO_EDITED, 0]) + edit(700, 1, b"=")
