"""What `doctor` gathers, from the computer it runs on: files as the kernel has them, and programs that answer oddly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.doctor import asking, system
from agent.doctor.asking import NotAskedError, said_by
from agent.doctor.checks.broker import AllowList
from agent.doctor.checks.bus import Controller
from agent.doctor.checks.unit import KeyFacts
from agent.doctor.links import INTERFACES, controller_in, link_facts
from agent.doctor.listening import counts_of, heard_facts, mismatches_of
from agent.doctor.system import allow_list, key_facts, store_facts, unit_properties
from agent.profile_tools.coverage import Coverage
from tests.support.journey_car import profile, voltages


def interface(folder: Path, name: str, *, kind: int, flags: int) -> None:
    (folder / name).mkdir()
    (folder / name / "type").write_text(f"{kind}\n")
    (folder / name / "flags").write_text(f"{flags:#x}\n")


# --- links ----------------------------------------------------------------------------------------------------------


def test_loopback_of_this_computer_is_an_interface_and_no_can() -> None:
    facts = link_facts("lo", INTERFACES)
    assert (facts.is_there, facts.is_can) == (True, False)


def test_interface_that_is_not_there_is_a_fact() -> None:
    assert not link_facts("can0", INTERFACES / "none").is_there


@pytest.mark.parametrize(("flags", "is_up"), [(0x40C1, True), (0x40C0, False)])
def test_can_interface_is_up_by_its_flag_and_what_ip_cannot_say_is_told(
    tmp_path: Path, flags: int, is_up: bool
) -> None:
    interface(tmp_path, "can987", kind=280, flags=flags)
    facts = link_facts("can987", tmp_path)
    assert (facts.is_there, facts.is_can, facts.is_up, facts.controller) == (True, True, is_up, None)
    assert "can987" in facts.controller_why  # there is none of this name to ask `ip` for


CAN0 = {
    "ifname": "can0",
    "flags": ["NOARP", "UP", "LOWER_UP", "ECHO"],
    "operstate": "UP",
    "linkinfo": {
        "info_kind": "can",
        "info_data": {
            "ctrlmode": ["LISTEN-ONLY"],
            "state": "ERROR-ACTIVE",
            "berr_counter": {"tx": 0, "rx": 0},
            "restart_ms": 1000,
            "bittiming": {"bitrate": 500000, "sample_point": "0.875", "tq": 125},
        },
    },
}
"""As iproute2's `ip/iplink_can.c` prints it."""

SERIAL0 = """[{"ifindex":4,"ifname":"can0","flags":["NOARP","UP","LOWER_UP"],"mtu":16,"operstate":"UP",
"link_type":"can","linkinfo":{"info_kind":"can","info_data":{"ctrlmode":["LISTEN-ONLY"],"ctrlmode_supported":["LISTEN-ONLY"],
"state":"ERROR-ACTIVE","restart_ms":0,"bittiming_bitrate":250000,
"bitrate_const":[10000,20000,50000,100000,125000,250000,500000,800000,1000000],"clock":0}}}]"""
"""As iproute2 6.1 printed it of a link of the kernel's slcan driver, whose rates are fixed."""


def without(key: str) -> str:
    data = {name: value for name, value in CAN0["linkinfo"]["info_data"].items() if name != key}  # type: ignore[index]
    return json.dumps([{"linkinfo": {"info_kind": "can", "info_data": data}}])


def test_controller_is_read_from_what_ip_says() -> None:
    assert controller_in(json.dumps([CAN0])) == Controller(500_000, is_listen_only=True, state="ERROR-ACTIVE")
    assert controller_in(without("ctrlmode")) == Controller(500_000, is_listen_only=False, state="ERROR-ACTIVE")
    assert controller_in(without("bittiming")) == Controller(None, is_listen_only=True, state="ERROR-ACTIVE")
    assert controller_in(SERIAL0) == Controller(250_000, is_listen_only=True, state="ERROR-ACTIVE")
    assert controller_in('[{"linkinfo": {"info_kind": "vcan"}}]') is None


@pytest.mark.parametrize("said", ["", "Usage: ip", "[]", "{}", "[7]", "[{}]", '[{"linkinfo": 7}]'])
def test_answer_of_ip_that_is_not_understood_is_said_to_be(said: str) -> None:
    with pytest.raises(NotAskedError, match="ip "):
        controller_in(said)


# --- programs -------------------------------------------------------------------------------------------------------


def test_program_is_asked_and_what_it_prints_is_told() -> None:
    assert said_by(["printf", "%s", "a b"]) == "a b"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["no-such-program"], "there is no program no-such-program"),
        (["false"], "false: status 1"),
        (["cat", "/nowhere"], "No such file"),
    ],
)
def test_program_that_does_not_answer_is_told_in_words(command: list[str], words: str) -> None:
    with pytest.raises(NotAskedError, match=words):
        said_by(command)


def test_program_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_WAIT_S", 0.05)
    with pytest.raises(NotAskedError, match=r"within 0\.05 s"):
        said_by(["sleep", "60"])


# --- systemd --------------------------------------------------------------------------------------------------------


def test_where_systemd_does_not_run_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "SYSTEMD_RUNS", tmp_path / "none")
    with pytest.raises(NotAskedError, match="systemd does not run here"):
        unit_properties()


def test_properties_are_what_systemctl_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of this name first on the path, which answers as systemctl does."""
    program = tmp_path / "systemctl"
    program.write_text('#!/bin/sh\necho LoadState=loaded\necho "StatusText=running; a=b"\necho IPAddressAllow=\n')
    program.chmod(0o755)
    monkeypatch.setattr(system, "SYSTEMD_RUNS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert unit_properties() == {"LoadState": "loaded", "StatusText": "running; a=b", "IPAddressAllow": ""}


def test_allow_list_is_the_units_with_the_resolver_that_is_asked(tmp_path: Path) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("# nameserver 9.9.9.9\nsearch lan\nnameserver 192.0.2.53\nnameserver\nnameserver ::1\n")
    shown = {"IPAddressDeny": "0.0.0.0/0 ::/0", "IPAddressAllow": "127.0.0.0/8 ::1/128"}
    assert allow_list(shown, resolver) == AllowList(("127.0.0.0/8", "::1/128"), ("192.0.2.53", "::1"))
    assert allow_list(shown, tmp_path / "none") == AllowList(("127.0.0.0/8", "::1/128"), ())
    assert allow_list({"IPAddressDeny": ""}, resolver) == AllowList(None)


# --- keys, store ----------------------------------------------------------------------------------------------------


def test_key_is_found_beside_the_configuration_sealed_or_nowhere(tmp_path: Path) -> None:
    car, sealed = tmp_path / "car", tmp_path / "sealed"
    car.mkdir()
    sealed.mkdir()
    assert key_facts(car, "tls.key", sealed) == KeyFacts("tls.key", is_beside=False, is_sealed=False)
    (car / "tls.key").write_text("x")
    assert key_facts(car, "tls.key", sealed) == KeyFacts("tls.key", is_beside=True, is_sealed=False)
    (sealed / "carshare-agent.tls.key").write_text("not sealed by anybody")
    facts = key_facts(car, "tls.key", sealed)
    assert (facts.is_beside, facts.is_sealed) == (True, True)
    assert facts.opens is not True
    assert facts.opens_why


def test_store_that_is_not_there_yet_is_a_fact(tmp_path: Path) -> None:
    assert not store_facts(tmp_path / "none", 1).is_there
    (tmp_path / "file").write_text("")
    assert not store_facts(tmp_path / "file", 1).is_folder


def test_what_the_store_holds_already_is_not_wanted_again(tmp_path: Path) -> None:
    (tmp_path / "telemetry.db").write_bytes(bytes(1000))
    facts = store_facts(tmp_path, 1500)
    assert (facts.is_there, facts.is_read_only, facts.wanted_bytes) == (True, False, 500)
    assert facts.free_bytes > 0
    assert store_facts(tmp_path, 900).wanted_bytes == 0


# --- what was heard -------------------------------------------------------------------------------------------------


def test_message_counts_as_heard_once_a_frame_of_it_was_believed() -> None:
    counts = {"A": (9, 0), "B": (9, 8), "C": (9, 9), "D": (0, 0), "Elsewhere": (9, 0)}
    facts = heard_facts("listened", 36, 0, counts, ["A", "B", "C", "D", "Missing"])
    assert (facts.believed, facts.refused) == (frozenset("AB"), frozenset("C"))


def test_id_that_means_something_else_is_a_named_mismatch_of_its_bus() -> None:
    """Cell voltages under the id of speed and odometer: every value in range, and no journey."""
    coverage = Coverage(profile())
    coverage.hear(voltages())
    (told,) = {word.partition(":")[0] for word in mismatches_of(coverage, "body")}
    assert told == "0x5D7 Journey"
    assert mismatches_of(coverage, "other") == ()
    assert counts_of(coverage)["Journey"] == (600, 0)
