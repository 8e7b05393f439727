"""The measurement of a day works, its two counts agree, and a short one costs no more than its share."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.bench.choices import mosquitto_program
from agent.model.use import VehicleUse
from tests.benchmarks.car_day import main
from tests.benchmarks.day_others import OVMS_TOPIC, Seen, json_sendings, ovms_sendings
from tests.benchmarks.day_report import table
from tests.benchmarks.wire_count import PacketTally, WireCount

ROOT = Path(__file__).resolve().parents[2]

SHORT_TLS_BYTES_MAX = 115_000
"""A rental of two minutes with its commands, a minute of charging, three connections: seen 99,500."""

SHORT_CARD_BYTES_MAX = 3_000_000
"""The making of both stores, and some 70 commits: seen 1,600,000."""


@pytest.mark.skipif(mosquitto_program() is None, reason="needs Mosquitto")
def test_a_short_day_stays_within_its_share(tmp_path: Path) -> None:
    # In a process of its own: what has seen its clock, as the limit of log lines, lives in the future afterwards.
    command = [sys.executable, "-m", "tests.benchmarks.car_day", "--short", "--folder", str(tmp_path), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    wire = document["wire"]
    assert wire["connections"] == 3, "one at the start, one after each tunnel"
    assert wire["tls_bytes"] == wire["up_bytes"] + wire["down_bytes"] <= SHORT_TLS_BYTES_MAX
    explained = sum(kind["tls_bytes"] for kind in document["kinds"].values())
    handshake = (wire["tls_bytes"] - explained) / wire["connections"]
    assert 2_000 < handshake < 5_000, "what the messages do not explain is TLS 1.3 with two certificates"
    assert document["commands"] == 5
    assert document["kinds"]["res"]["messages"] >= 5
    assert document["others"]["json"]["ratio"] > 5
    assert document["others"]["ovms"]["messages"] > 100
    if document["card"] is None:
        assert "mount" in document["card_words"] or "not installed" in document["card_words"]
    else:
        assert 100_000 < document["card"]["written_bytes"] <= SHORT_CARD_BYTES_MAX
    assert "on the wire in all" in table(document)
    assert list(tmp_path.iterdir()) == [], "nothing is left behind, nothing mounted"


def test_a_folder_that_is_not_there_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--folder", str(tmp_path / "none")])
    assert ended.value.code == 2
    assert "--folder" in capsys.readouterr().err


def test_acknowledgements_count_to_the_kind_they_acknowledge() -> None:
    tally = PacketTally()
    publish = b"\x32\x0b\x00\x05a/evt\x00\x07\x00x"
    up, down = tally._up, tally._down
    for at in range(len(publish)):  # as it may come, byte by byte
        tally._hear(up, down, publish[at : at + 1])
    tally._hear(down, up, b"\x40\x02\x00\x07\xd0\x00")
    assert {name: (kind.messages, kind.packets, kind.mqtt_bytes) for name, kind in tally.kinds.items()} == {
        "evt": (1, 2, len(publish) + 4),
        "keep-alive": (0, 1, 2),
    }


def test_every_packet_of_data_has_two_headers_and_every_connection_its_own() -> None:
    assert WireCount(connections=1, up_bytes=10, down_bytes=5, data_packets=2).wire_bytes == 15 + 52 * (2 * 2 + 7)


def test_ovms_tells_what_changed_at_its_pace_and_everything_every_twenty_minutes() -> None:
    seen = [Seen(float(at), "Vehicle.Speed", at * 1.0, "km/h", VehicleUse.DRIVING) for at in range(1, 21)]
    sendings = list(ovms_sendings(seen, [(0.0, VehicleUse.DRIVING)], 1300.0))
    assert [(each.at_s, each.messages) for each in sendings] == [
        *((at, ((f"{OVMS_TOPIC}v/p/speed", str(int(at)).encode()),)) for at in (5.0, 10.0, 15.0, 20.0)),
        (1200.0, ((f"{OVMS_TOPIC}v/p/speed", b"20"),)),
    ]


def test_a_message_a_change_says_what_changed() -> None:
    (sending,) = json_sendings([Seen(1.5, "Vehicle.Speed", 3.0, "km/h", VehicleUse.DRIVING)], "c0ffee")
    ((topic, payload),) = sending.messages
    assert topic == "vehicles/c0ffee/telemetry"
    assert json.loads(payload) == {"time_unix_s": 1.5, "path": "Vehicle.Speed", "value": 3.0, "unit": "km/h"}
