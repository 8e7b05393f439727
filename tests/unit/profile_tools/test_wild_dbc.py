"""DBC files as they are found, put through every tool a newcomer would take to them, as typed.

Each is decoded rightly, or named with its line, all faults at once: no traceback, no library's own words, nothing on
the terminal that is no text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.cli import main
from agent.errors import EXIT_DONE, EXIT_FAILED, EXIT_WRONG_USE

HEAD = 'VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_: Car\n\n'
MESSAGE = "BO_ 256 Motion: 8 Car\n"
SPEED = ' SG_ Speed : 7|16@0+ (0.01,0) [0|250] "km/h" Car\n'
SOUND = HEAD + MESSAGE + SPEED
PROFILE = """format = 1
name = "wild"
title = "Found somewhere"
vss = "6.0"

[buses.body]
dbc = ["body.dbc"]
bitrate_bps = 500_000
silent_after_s = 2.0
listen_only = true

[[signals]]
path = "Vehicle.Speed"
message = "Motion"
signal = "Speed"
freshness_s = 1.0
invalid = [0xFFFF]
"""
OUTSIDE = """
[[signals]]
path = "Vehicle.Exterior.AirTemperature"
message = "Motion"
signal = "Outside"
freshness_s = 1.0
invalid = [0xFF]
"""
LOG = "(1000.000000) can0 100#13883C0000000000\n(1000.100000) can0 100#13883C0000000000\n"
"""Speed 0x1388 × 0.01 = 50 km/h, and 0x3C = 60 in the byte after it."""


@dataclass(frozen=True, slots=True)
class Wild:
    """A file, and by line what `lint` says of it; `values` of one that is decoded."""

    content: bytes
    faults: tuple[tuple[int, str], ...] = ()
    values: tuple[tuple[str, float], ...] = ()
    further: str = ""


def faulty(text: str, *faults: tuple[int, str]) -> Wild:
    return Wild(text.encode(), faults)


def signal(place: str, name: str = "Other", scale: str = "(1,0)", mark: str = "") -> str:
    return f' SG_ {name} {mark}: {place} {scale} [0|0] "" Car\n'


FIFTY = (("Vehicle.Speed", 50.0),)

WILD = {
    "start bits of the other byte order": faulty(
        SOUND + signal("62|16@0+") + signal("60|8@1+", "Third"),
        (11, "reaches into byte 10 of 8; a Motorola start bit names the most significant"),
        (12, "reaches into byte 9 of 8"),
    ),
    "overlapping signals": faulty(SOUND + signal("8|8@1+"), (11, "8 of its bits are claimed by Speed on line 10")),
    "names and ids twice": faulty(
        SOUND + signal("16|8@1+", "Speed") + "\nBO_ 256 Again: 8 Car\n\nBO_ 257 Motion: 8 Car\n",
        (11, "a second signal of that name"),
        (13, "it shares an id with Motion on line 9"),
        (15, "it shares a name with Motion on line 9"),
    ),
    "signals longer than the frame": faulty(
        HEAD + "BO_ 256 Motion: 1 Car\n" + SPEED + signal("16|99@1+"),
        (10, "reaches into byte 2 of 1"),
        (11, "99 bits; expected 1 to 64"),
    ),
    "no units": faulty(SOUND + " SG_ Other : 16|8@1+ (1,0) [0|0] Car\n", (11, "the signal's unit cannot be read")),
    "no receivers": faulty(HEAD + MESSAGE + SPEED.replace(" Car\n", "\n"), (10, "the signal's receivers cannot be")),
    "29 bits without the top one": faulty(SOUND + "BO_ 417001729 Far: 8 Car\n", (11, "id 0x18daf101 has more than 11")),
    "pages without a multiplexer": faulty(
        SOUND + signal("16|8@1+", "A", mark="m0 ") + signal("16|8@1+", "B", mark="m1 "),
        (11, "multiplexed, but Motion has 0 multiplexers"),
        (12, "multiplexed, but Motion has 0 multiplexers"),
    ),
    "page beyond its multiplexer": faulty(
        SOUND + signal("16|2@1+", "Page", mark="M ") + signal("24|8@1+", "A", mark="m9 "), (12, "page 9 never comes")
    ),
    "value tables of nothing": faulty(
        SOUND + 'VAL_ 256 Gone 1 "x" ;\nVAL_ 999 Speed 1 "x" ;\nVAL_ 256 Speed 1 ;\n',
        (11, "the signal Gone, which message 256 does not have"),
        (12, "message 999, which is not in the file"),
        (13, "'1' in the value table of Speed"),
    ),
    "nothing in it": faulty(
        HEAD + MESSAGE + signal("0|0@1+", "Speed") + "BO_ 300 None: 0 Car\n" + signal("0|1@1+"),
        (10, "0 bits; expected 1 to 64"),
        (12, "it reaches into byte 1 of 0"),
    ),
    "numbers beyond all": faulty(
        HEAD + MESSAGE + SPEED + signal("24|8@1+", scale="(1e400,0)") + signal("32|8@1+", "B", f"(1,{'9' * 400})"),
        (11, "beyond all numbers"),
        (12, "beyond all numbers"),
    ),
    "negative ids and places": faulty(
        SOUND + "BO_ -5 Below: 8 Car\n" + signal("-1|16@0+"), (11, "the message 'BO_ -5 "), (12, "the signal's place")
    ),
    "all at once": faulty(
        HEAD
        + MESSAGE
        + signal("60|16@1+", "Speed")
        + signal("0|4@1+", "1st", "(0,0)")
        + 'BO_ 2048 Motion: 8 Car\nBA_ "Nope" BO_ 256 1;\nVAL_ 1 X 0 "a" 0 "b" ;\nsomebody left a note\n'
        + 'CM_ SG_ 256 Speed "never closed;\n',
        (10, "reaches into byte 10 of 8"),
        (11, "the signal's name cannot be read"),
        (12, "id 0x800 has more than 11 bits"),
        (12, "it shares a name with Motion on line 9"),
        (13, "the attribute 'Nope' is not defined"),
        (14, "0 has more than one word"),
        (14, "message 1, which is not in the file"),
        (15, "begins no statement"),
        (16, "a quotation mark without its partner"),
    ),
    "empty": Wild(b"", ((1, "is empty"),)),
    "zeros at its end": Wild(SOUND.encode() + bytes(3), ((11, "begins no statement"),)),
    "not a text at all": Wild(bytes(range(256)), ((1, "begins no statement"),)),
    "UTF-16": Wild(SOUND.encode("utf-16"), ((1, "the file is UTF-16"),)),
    "cp1252": Wild(
        (SOUND + ' SG_ Outside : 23|8@0+ (1,-40) [-40|80] "°C" Car\nVAL_ 256 Outside 255 "ungültig – nie" ;\n').encode(
            "cp1252"
        ),
        values=(*FIFTY, ("Vehicle.Exterior.AirTemperature", 20.0)),
        further=OUTSIDE,
    ),
    "CRLF and a byte order mark": Wild(SOUND.replace("\n", "\r\n").encode("utf-8-sig"), values=FIFTY),
    "CR alone": Wild(SOUND.replace("\n", "\r").encode(), values=FIFTY),
    "spaces anywhere": Wild(
        (
            HEAD.replace("\n", " \n")
            + '\tBO_  256   Motion :8   Car\n\t\tSG_   Speed:7|16@0+(0.01,0)[0|250]"km/h"Car \n'
        ).encode(),
        values=FIFTY,
    ),
}


def says(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `carshare-agent` with these arguments."""
    capfd.readouterr()
    status = main([str(each) for each in arguments])
    shown = capfd.readouterr()
    both = shown.out + shown.err
    assert all(each.isprintable() or each == "\n" for each in both), both
    assert "Traceback" not in both, both
    return status, shown.out, shown.err


@pytest.mark.parametrize("wild", WILD.values(), ids=WILD)
def test_file_is_decoded_rightly_or_its_faults_are_named_all_at_once(
    wild: Wild, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder, log = tmp_path / "wild", tmp_path / "ride.log"
    folder.mkdir()
    (folder / "body.dbc").write_bytes(wild.content)
    (folder / "profile.toml").write_text(PROFILE + wild.further)
    log.write_text(LOG)

    status, told, _ = says(capfd, "profile", "lint", folder, "--log", log)
    assert status == (EXIT_FAILED if wild.faults else EXIT_DONE), told
    for line, words in wild.faults:
        assert any(f"body.dbc:{line}:" in row and words in row for row in told.splitlines()), (line, words, told)

    others = [says(capfd, "check", folder), says(capfd, "profile", "coverage", folder, log)]
    others += [says(capfd, "decode", folder, log, "--latest")]
    assert [record.getMessage() for record in caplog.records] == [], "a library speaks for itself"
    if not wild.faults:
        assert [status for status, _, _ in others] == [EXIT_DONE] * 3
        values = [(row["path"], row["value"]) for row in map(json.loads, others[-1][1].splitlines())]
        assert values == list(wild.values)
    else:
        # A fault in what the profile does not use keeps nobody from using the rest.
        assert {status for status, _, _ in others} <= {EXIT_DONE, EXIT_WRONG_USE}
