"""The virtual car's control units: what they answer, byte by byte, and over the frames of can-isotp as the tester."""

from __future__ import annotations

import isotp
import pytest

from agent.bench.car_diagnostics import (
    ANSWER_AFTER_S,
    FLOW_CONTROL_WAIT_S,
    PENDING_AFTER_S,
    CarDiagnostics,
    DiagnosticFault,
)
from agent.bench.car_raw import raw_of
from agent.model.frame import Frame
from agent.model.reading import Value
from tests.support.small_car import HEAD, SIGNALS, parsed, signal_table

GEAR = "Vehicle.Powertrain.Transmission.SelectedGear"
VOLTS = "Vehicle.LowVoltageBattery.CurrentVoltage"
CELSIUS = "Vehicle.Exterior.AirTemperature"
PLUGGED = "Vehicle.Powertrain.TractionBattery.Charging.ChargingPort.AnyPosition.IsChargingCableConnected"
RANGE = "Vehicle.Powertrain.TractionBattery.Range"
SHORT = f"""
[[polls]]
name = "supply"
request_id = 0x797
response_id = 0x79A
service = 0x22
identifier = 0x1103
period_s = 60.0
lengths = [1]
[[polls.values]]
path = "{VOLTS}"
byte = 0
scale = 0.08
unit = "V"
"""
LONG = f"""
[[polls]]
name = "block"
request_id = 0x6F1
response_id = 0x607
address = 0x07
tester_address = 0xF1
service = 0x21
identifier = 0x61
period_s = 60.0
lengths = [20, 30]
[[polls.values]]
path = "{CELSIUS}"
byte = 1
signed = true
unit = "celsius"
[[polls.values]]
path = "{PLUGGED}"
byte = 18
choices = {{ 0 = false, 2 = true }}
[[polls.values]]
path = "{RANGE}"
byte = 2
bits = 16
unit = "km"
invalid = [0x7FF]
"""
PROFILE = parsed(HEAD + signal_table(GEAR, *SIGNALS[GEAR]) + SHORT + LONG)
VALUES: dict[str, Value] = {VOLTS: 12.4, CELSIUS: -3.0, PLUGGED: True, RANGE: 123_000}
ASK_LONG = "07 02 21 61 00 00 00 00"


def unit(values: dict[str, Value] | None = None, lengths: dict[str, int] | None = None) -> CarDiagnostics:
    return CarDiagnostics(PROFILE, (VALUES if values is None else values).get, lengths)


def said(diagnostics: CarDiagnostics, request_id: int, data: str, now_s: float = 0.0) -> list[tuple[float, int, str]]:
    """What follows from a frame alone: when, identifier and payload."""
    diagnostics.receive(Frame("body", request_id, bytes.fromhex(data)), now_s)
    frames = diagnostics.step(now_s + 10.0)
    return [
        (round(frame.received_at_s - now_s, 6), frame.arbitration_id, frame.data.hex(" ").upper()) for frame in frames
    ]


def test_a_short_answer_is_one_frame() -> None:
    # 12.4 V / 0.08 = 155 = 0x9B.
    assert said(unit(), 0x797, "03 22 11 03 00 00 00 00") == [(ANSWER_AFTER_S, 0x79A, "04 62 11 03 9B 00 00 00")]


def test_a_long_answer_waits_for_flow_control_and_keeps_the_distance_asked_for() -> None:
    diagnostics = unit()
    # 2 + 20 bytes; -3 = 0xFD in byte 1, 123 km = 0x007B in bytes 2 and 3.
    assert said(diagnostics, 0x6F1, ASK_LONG) == [(ANSWER_AFTER_S, 0x607, "F1 10 16 61 61 00 FD 00")]
    assert said(diagnostics, 0x6F1, "07 30 00 05 00 00 00 00", 0.1) == [
        (0.0, 0x607, "F1 21 7B 00 00 00 00 00"),
        (0.005, 0x607, "F1 22 00 00 00 00 00 00"),
        # Byte 18 is the fifth of these.
        (0.01, 0x607, "F1 23 00 00 00 02 00 00"),
    ]
    assert said(diagnostics, 0x6F1, "07 30 00 05 00 00 00 00", 0.2) == []


def test_the_rest_of_an_answer_is_not_kept_for_ever_nor_over_a_sleep() -> None:
    diagnostics = unit()
    said(diagnostics, 0x6F1, ASK_LONG)
    assert said(diagnostics, 0x6F1, "07 30 00 00 00 00 00 00", ANSWER_AFTER_S + FLOW_CONTROL_WAIT_S + 0.01) == []
    said(diagnostics, 0x6F1, ASK_LONG, 5.0)
    diagnostics.fall_asleep("body")
    assert said(diagnostics, 0x6F1, "07 30 00 00 00 00 00 00", 5.1) == []


def test_an_answer_under_way_does_not_outlive_the_bus() -> None:
    diagnostics = unit()
    diagnostics.receive(Frame("body", 0x797, bytes.fromhex("0322110300000000")), 0.0)
    assert diagnostics.next_step_at() == ANSWER_AFTER_S
    diagnostics.fall_asleep()
    assert diagnostics.next_step_at() is None
    assert diagnostics.step(1.0) == []


@pytest.mark.parametrize(
    ("request_id", "data"),
    [
        (0x798, "03 22 11 03 00 00 00 00"),
        (0x6F1, "12 02 21 61 00 00 00 00"),
        (0x797, "00 22 11 03 00 00 00 00"),
        (0x797, "08 22 11 03 00 00 00 00"),
        (0x797, "30 00 05 00 00 00 00 00"),
    ],
)
def test_what_is_for_another_or_no_request_is_not_answered(request_id: int, data: str) -> None:
    assert said(unit(), request_id, data) == []


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        ("03 22 11 04 00 00 00 00", "03 7F 22 31 00 00 00 00"),
        ("02 21 61 00 00 00 00 00", "03 7F 21 31 00 00 00 00"),
        ("02 10 C0 00 00 00 00 00", "03 7F 10 11 00 00 00 00"),
        ("03 2E 11 03 00 00 00 00", "03 7F 2E 11 00 00 00 00"),
    ],
)
def test_what_the_unit_does_not_have_is_refused(data: str, answer: str) -> None:
    assert said(unit(), 0x797, data) == [(ANSWER_AFTER_S, 0x79A, answer)]


def test_each_fault_shows_on_the_wire() -> None:
    ask = "03 22 11 03 00 00 00 00"
    shown = {
        DiagnosticFault.SILENT: [],
        DiagnosticFault.REFUSES: [(ANSWER_AFTER_S, "03 7F 22 31 00 00 00 00")],
        DiagnosticFault.BUSY: [(ANSWER_AFTER_S, "03 7F 22 21 00 00 00 00")],
        DiagnosticFault.PENDING: [
            (ANSWER_AFTER_S, "03 7F 22 78 00 00 00 00"),
            (ANSWER_AFTER_S + PENDING_AFTER_S, "04 62 11 03 9B 00 00 00"),
        ],
    }
    for fault, expected in shown.items():
        diagnostics = unit()
        diagnostics.faults["supply"] = fault
        assert [(at_s, data) for at_s, _, data in said(diagnostics, 0x797, ask)] == expected, fault
        assert diagnostics.requests_seen["supply"] == 1


def test_a_lost_frame_is_the_second_of_the_answer() -> None:
    diagnostics = unit()
    diagnostics.faults["block"] = DiagnosticFault.LOSES_FRAME
    said(diagnostics, 0x6F1, ASK_LONG)
    assert [data[:5] for _, _, data in said(diagnostics, 0x6F1, "07 30 00 00 00 00 00 00", 0.1)] == ["F1 22", "F1 23"]


def test_a_value_not_known_is_its_marker_and_without_one_a_refusal() -> None:
    without_range = {path: value for path, value in VALUES.items() if path != RANGE}
    assert said(unit(without_range), 0x6F1, ASK_LONG)[0][2] == "F1 10 16 61 61 00 FD 07"
    without_plug = {path: value for path, value in VALUES.items() if path != PLUGGED}
    assert said(unit(without_plug), 0x6F1, ASK_LONG)[0][2] == "F1 03 7F 21 22 00 00 00"


def test_a_unit_of_another_year_gives_the_longer_answer() -> None:
    assert said(unit(lengths={"block": 30}), 0x6F1, ASK_LONG)[0][2].startswith("F1 10 20 61 61")


def test_raw_values_are_whole_numbers_within_the_field() -> None:
    signals = {signal.path: signal for poll in PROFILE.polls for signal in poll.signals}
    assert raw_of(signals[CELSIUS], -128.0) == -128
    assert raw_of(signals[CELSIUS], 128.0) is None
    assert raw_of(signals[VOLTS], 12.43) == 155
    assert raw_of(signals[PLUGGED], 1) is None
    assert raw_of(signals[PLUGGED], False) == 0


def test_can_isotp_as_the_tester_gets_the_whole_answer() -> None:
    diagnostics = unit()
    inbox: list[isotp.CanMessage] = []
    outbox: list[isotp.CanMessage] = []

    def received(timeout: float = 0) -> isotp.CanMessage | None:
        return inbox.pop(0) if inbox else None

    layer = isotp.TransportLayerLogic(
        rxfn=received,
        txfn=outbox.append,
        address=isotp.Address(
            isotp.AddressingMode.Extended_11bits, txid=0x6F1, rxid=0x607, target_address=0x07, source_address=0xF1
        ),
        params={"stmin": 0, "blocksize": 0, "tx_padding": 0},
    )
    layer.send(bytes.fromhex("2161"))
    for turn in range(20):
        layer.process()
        while outbox:
            message = outbox.pop(0)
            diagnostics.receive(Frame("body", message.arbitration_id, bytes(message.data)), float(turn))
        inbox += [
            isotp.CanMessage(arbitration_id=frame.arbitration_id, data=frame.data, dlc=len(frame.data))
            for frame in diagnostics.step(turn + 0.5)
        ]
    answer = layer.recv()
    assert answer is not None
    assert bytes(answer) == bytes.fromhex("6161 00FD007B") + bytes(14) + bytes.fromhex("0200")
