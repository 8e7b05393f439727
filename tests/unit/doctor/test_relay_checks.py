"""What doctor says of relays, from facts; and the facts of a system without any."""

from __future__ import annotations

from pathlib import Path

from agent.config_table import RelayTable
from agent.doctor.checks.finding import Verdict
from agent.doctor.checks.relays import LineFacts, check_relays
from agent.doctor.relays import line_facts, outputs_persist

FREE = LineFacts("/dev/gpiochip0 line 17")


def verdicts(wanted: list[str], lines: dict[str, LineFacts], persistent: list[str]) -> dict[str, Verdict]:
    return {finding.name: finding.verdict for finding in check_relays(wanted, lines, persistent=persistent)}


def test_car_without_relays_has_nothing_to_tell() -> None:
    assert verdicts([], {}, ["pinctrl_bcm2835.persist_gpio_outputs"]) == {}


def test_line_that_is_free_or_held_by_the_agent_is_in_order() -> None:
    held = LineFacts(FREE.place, consumer="carshare-agent")
    assert verdicts(["a", "b"], {"a": FREE, "b": held}, []) == {"relays.a": Verdict.OK, "relays.b": Verdict.OK}


def test_line_of_somebody_else_and_line_that_is_not_there_are_faults() -> None:
    lines = {"a": LineFacts(FREE.place, consumer="spi0 CS0"), "b": LineFacts(FREE.place, "cannot be looked at")}
    assert verdicts(["a", "b"], lines, []) == {"relays.a": Verdict.FAULT, "relays.b": Verdict.FAULT}


def test_line_of_the_profile_without_a_relay_is_a_warning_that_names_it() -> None:
    (finding,) = check_relays(["fob_unlock"], {}, persistent=[])
    assert (finding.verdict, "fob_unlock" in finding.found) == (Verdict.WARNING, True)


def test_driver_that_keeps_a_relay_closed_after_the_agent_died_is_a_fault_with_the_parameter_to_set() -> None:
    found = list(check_relays(["a"], {"a": FREE}, persistent=["pinctrl_rp1.persist_gpio_outputs"]))
    assert found[-1].verdict is Verdict.FAULT
    assert "pinctrl_rp1.persist_gpio_outputs=n" in found[-1].advice


def test_drivers_that_keep_outputs_are_found_by_their_parameter(tmp_path: Path) -> None:
    for module, value in (("pinctrl_bcm2835", "Y"), ("pinctrl_rp1", "N")):
        folder = tmp_path / module / "parameters"
        folder.mkdir(parents=True)
        (folder / "persist_gpio_outputs").write_text(f"{value}\n")
    assert outputs_persist(tmp_path) == ["pinctrl_bcm2835.persist_gpio_outputs"]


def test_chip_that_is_not_there_or_is_none_is_told_in_words(tmp_path: Path) -> None:
    assert line_facts(RelayTable(chip=str(tmp_path / "gpiochip0"), offset=17)).why_not
    assert line_facts(RelayTable(chip="/dev/null", offset=17)).why_not
