"""The car of the full bus: a DBC a bus, and a profile that wants twelve signals of the first, one of each other."""

from __future__ import annotations

from pathlib import Path

IDS = 60
FIRST_ID = 0x100
BATTERY = "Vehicle.Powertrain.TractionBattery"
WANTED = (
    ("Vehicle.LowVoltageBattery.CurrentVoltage", "Vehicle.LowVoltageBattery.CurrentCurrent"),
    (f"{BATTERY}.CurrentVoltage", f"{BATTERY}.CurrentCurrent"),
    (f"{BATTERY}.CellVoltage.Max", f"{BATTERY}.Charging.ChargeCurrent.DC"),
    (f"{BATTERY}.CellVoltage.Min", f"{BATTERY}.Charging.ChargeCurrent.Phase1"),
    (f"{BATTERY}.Charging.ChargeVoltage.DC", f"{BATTERY}.Charging.ChargeCurrent.Phase2"),
    (f"{BATTERY}.Charging.ChargeVoltage.Phase1", f"{BATTERY}.Charging.ChargeCurrent.Phase3"),
)
"""By message, in the order of their ids: volts in the first byte, amperes in the second."""

FURTHER = (f"{BATTERY}.CurrentPower", f"{BATTERY}.StateOfCharge.CurrentEnergy", f"{BATTERY}.AccumulatedChargedEnergy")
"""What is wanted of the further buses; it stands still."""

UNITS = {f"{BATTERY}.CurrentPower": "W"}


def dbc_text(unit: str | None) -> str:
    """Sixty messages of three numbers of a byte and a counter; `unit` is that of the first number, if there is one."""
    lines = ['VERSION ""', "NS_ :", "BS_:", "BU_: Car Agent"]
    for number in range(IDS):
        lines += ["", f"BO_ {FIRST_ID + number} M{number:02d}: 8 Car"]
        for byte, name, words in ((0, "A", unit or "V"), (1, "B", "A"), (2, "C", ""), (7, "Counter", "")):
            lines.append(f' SG_ {name}{number:02d} : {8 * byte}|8@1+ (1,0) [0|0] "{words}" Agent')
    return "\n".join([*lines, ""])


def write_profile(folder: Path, *, buses: int, is_reporting: bool) -> Path:
    """The profile's folder; unless it `is_reporting`, no value is told oftener than once a day."""
    folder.mkdir(parents=True)
    report = f"report = {{ interval_s = {0.0 if is_reporting else 86_400.0} }}"
    if not is_reporting:
        pace = "{ interval_s = 86400.0 }"
        uses = ("driving", "charging", "awake", "asleep")
        report = f"report = {{ interval_s = 86400.0, {', '.join(f'{use} = {pace}' for use in uses)} }}"
    lines = ["format = 1", 'name = "full_bus"', 'title = "Full bus"', 'vss = "6.0"']
    for bus in range(buses):
        unit = UNITS.get(FURTHER[bus - 1], "kWh") if bus else None
        (folder / f"bus{bus}.dbc").write_text(dbc_text(unit))
        lines += ["", f"[buses.bus{bus}]", f'dbc = ["bus{bus}.dbc"]', "bitrate_bps = 500_000", "silent_after_s = 2.0"]
    for number, (volts, amperes) in enumerate(WANTED):
        for path, signal in ((volts, f"A{number:02d}"), (amperes, f"B{number:02d}")):
            lines += _signal(path, "bus0", number, signal, report)
    for bus in range(1, buses):
        lines += _signal(FURTHER[bus - 1], f"bus{bus}", 0, "A00", report)
    (folder / "profile.toml").write_text("\n".join([*lines, ""]))
    return folder


def _signal(path: str, bus: str, message: int, signal: str, report: str) -> list[str]:
    keys = (f'path = "{path}"', f'bus = "{bus}"', f'message = "M{message:02d}"', f'signal = "{signal}"')
    return ["", "[[signals]]", *keys, "freshness_s = 1.0", report]


LARGE_MESSAGES = 500
LARGE_SIGNALS = 8
"""In each message, a byte each: the size of a maker's whole bus."""


def large_profile() -> tuple[str, dict[str, bytes]]:
    """A profile's text and its DBC of 500 messages, of which the twelve signals of `WANTED` are wanted."""
    lines = ['VERSION ""', "NS_ :", "BS_:", "BU_: Car Agent"]
    for number in range(LARGE_MESSAGES):
        lines += ["", f"BO_ {FIRST_ID + number} M{number:02d}: {LARGE_SIGNALS} Car"]
        for byte in range(LARGE_SIGNALS):
            name, unit = f"{chr(ord('A') + byte)}{number:02d}", "VA"[byte] if byte < 2 else ""
            lines.append(f' SG_ {name} : {8 * byte}|8@1+ (1,0) [0|0] "{unit}" Agent')
    profile = ["format = 1", 'name = "large"', 'title = "Large"', 'vss = "6.0"', "", "[buses.bus0]"]
    profile += ['dbc = ["bus0.dbc"]', "bitrate_bps = 500_000", "silent_after_s = 2.0"]
    for number, (volts, amperes) in enumerate(WANTED):
        for path, signal in ((volts, f"A{number:02d}"), (amperes, f"B{number:02d}")):
            profile += _signal(path, "bus0", number, signal, "report = { interval_s = 1.0 }")
    return "\n".join([*profile, ""]), {"bus0.dbc": "\n".join([*lines, ""]).encode()}
