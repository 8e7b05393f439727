"""The 12 V ladder through the whole engine: announced, then done, in order; nothing lost; the power goes last."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.bench.car import CarFault
from agent.bench.car_body import CarBody
from agent.model.command import Action, Reason, Stage
from agent.model.effects import Effect, Persist, Publish, RequestPowerOff
from agent.model.events import BrokerDown, BrokerUp, Published, StopAsked
from agent.model.power import IgnitionLine, PowerFails, SupervisorFound, SupplyMeasured, Wake, Woken
from agent.model.records import OutboxStored
from agent.policy.power import Step
from agent.power import ANNOUNCE_S_MAX, KINDS, LOAD_RESTORED, SUPPLY_FRESH_S
from tests.support.pair import CAR, ECHO, Pair

LADDER = {*KINDS.values(), LOAD_RESTORED}
MEASURED_EVERY_S = 10.0
PRESENCE = f"v1/all/{CAR.hex()}/presence"


def feed(pair: Pair, volts: float, seconds: float) -> None:
    """The supervisor measures this voltage for so long; the car sleeps, and says nothing of it."""
    end_s = pair.now_s + seconds
    while pair.now_s < end_s:
        pair.engine.receive_link(SupplyMeasured(volts, pair.now_s), pair.now_s)
        pair.run(min(MEASURED_EVERY_S, end_s - pair.now_s))


def asleep(*, has_supervisor: bool = True) -> Pair:
    pair = Pair(is_asleep=True)
    if has_supervisor:
        pair.engine.receive_link(SupervisorFound(is_there=True), pair.now_s)
    pair.run(5.0)
    return pair


class _BrokenConverter(CarBody):
    """Charging, and the 12 V battery is at rest all the same."""

    __slots__ = ()

    @property
    def low_voltage_v(self) -> float:
        return self.resting_v


def as_if_at_rest(pair: Pair) -> None:
    """The converter breaks."""
    body = pair.car.body
    pair.car.body = _BrokenConverter(**{name: getattr(body, name) for name in body.__dataclass_fields__})


def ladder_of(pair: Pair) -> list[dict[str, Any]]:
    return [event for event in pair.events() if event["kind"] in LADDER]


def kinds(pair: Pair) -> list[object]:
    return [event["kind"] for event in ladder_of(pair)]


def requests(pair: Pair) -> list[RequestPowerOff]:
    return [effect for effect in pair.performed if isinstance(effect, RequestPowerOff)]


def power(pair: Pair) -> dict[str, Any]:
    found: dict[str, Any] = pair.engine.status(pair.now_s)["power"]  # type: ignore[assignment]
    return found


def presences(pair: Pair) -> list[dict[str, Any]]:
    return [json.loads(effect.payload) for effect in pair.published if effect.topic == PRESENCE]


def test_voltage_that_falls_over_hours_is_told_step_by_step_and_nothing_is_lost() -> None:
    """SR-07: every number between the first record and the last has come, and each step with its voltage."""
    pair = asleep(has_supervisor=False)
    for centivolts in range(1265, 1214, -5):
        feed(pair, centivolts / 100, 900.0)
    feed(pair, 13.6, 300.0)
    told = [(event["kind"], event["readings"][0]["value"], event["source"]) for event in ladder_of(pair)]
    assert told == [
        ("low_voltage", 12.35, "supervisor"),
        ("load_shedding", 12.25, "supervisor"),
        ("power_off_wanted", 12.15, "supervisor"),
        ("low_voltage_over", 13.6, "supervisor"),
    ]
    assert ladder_of(pair)[2]["will_be_asked"] is False
    assert requests(pair) == [], "there is nobody to be asked"
    numbers = [int(str(event["seq"])) for event in pair.events()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert power(pair)["step"] == "normal"


def test_voltage_by_the_bus_goes_before_the_supervisors() -> None:
    pair = Pair()
    pair.car.body.resting_v = 12.2
    pair.engine.receive_link(SupplyMeasured(13.5, pair.now_s), pair.now_s)
    pair.run(200.0)
    assert [(event["kind"], event["source"], event["readings"][0]["value"]) for event in ladder_of(pair)] == [
        ("low_voltage", "bus", 12.2),
        ("load_shedding", "bus", 12.2),
    ]
    assert pair.states()[-1]["power"] == {"step": "shedding", "supply": "ok"}


def test_what_is_not_known_moves_nothing_and_is_named() -> None:
    """SR-05: the bus sleeps and nobody measures: no step, and both snapshot and status say that the voltage is none."""
    pair = Pair(is_asleep=True)
    pair.run(3600.0)
    assert kinds(pair) == []
    assert pair.states()[-1]["power"] == {"step": "normal", "supply": "unknown"}
    assert power(pair) == {
        "step": "normal",
        "supply": {"value": None, "unit": "V", "quality": "unknown", "reason": "never_received"},
        "source": None,
        "has_supervisor": False,
        "ignition_line": None,
    }


def test_supervisor_that_fell_silent_measures_nothing() -> None:
    pair = asleep()
    feed(pair, 12.0, 100.0)
    pair.run(SUPPLY_FRESH_S + 1.0)
    assert (power(pair)["source"], power(pair)["supply"]["quality"]) == (None, "unknown")
    pair.run(3600.0)
    assert kinds(pair) == []


def test_each_step_is_durable_and_with_the_broker_before_it_is_taken() -> None:
    """R7: announced before it happens, seen at every effect on the way down."""
    pair = asleep()
    stored: set[str] = set()
    published: set[str] = set()
    taken: set[str] = set()

    def look(looked: Pair, effect: Effect) -> None:
        """Before each effect: those before it have been performed."""
        if (step := Step(str(power(looked)["step"]))) is not Step.NORMAL:
            taken.add(KINDS[step])
        assert taken <= stored
        assert taken <= published
        if isinstance(effect, Publish) and effect.topic.endswith("/evt"):
            published.add(json.loads(effect.payload)["kind"])
        if isinstance(effect, Persist):
            stored.update(json.loads(each.payload)["kind"] for each in effect.records if isinstance(each, OutboxStored))
        if isinstance(effect, RequestPowerOff):
            assert step is Step.POWER_OFF

    pair.before_effect = look
    feed(pair, 12.0, 300.0)
    assert taken == {"low_voltage", "load_shedding", "power_off_wanted"}
    assert len(requests(pair)) == 1


def test_step_waits_for_its_record_and_not_for_ever() -> None:
    """A broker that takes the record and does not answer holds the step up, for ten seconds."""
    pair = asleep()
    feed(pair, 12.35, 170.0)
    pair.engine.receive_link(SupplyMeasured(12.35, pair.now_s), pair.now_s)
    told_at_s = None
    while power(pair)["step"] == "normal":
        pair.now_s += 0.5
        pair.engine.receive_link(SupplyMeasured(12.35, pair.now_s), pair.now_s)
        pair.engine.handle_timer(pair.now_s)
        while (effect := pair.engine.next_effect()) is not None:
            if isinstance(effect, Publish) and effect.token is not None and effect.topic != ECHO:
                told_at_s = told_at_s or (pair.now_s if b"low_voltage" in effect.payload else None)
            else:
                pair._perform(effect)
        assert pair.now_s < 2000.0
    assert told_at_s is not None
    assert ANNOUNCE_S_MAX <= pair.now_s - told_at_s <= ANNOUNCE_S_MAX + 1.0


def test_without_a_link_the_card_is_enough() -> None:
    pair = asleep()
    pair.is_broker_up = False
    pair.engine.receive_link(BrokerDown("cut"), pair.now_s)
    feed(pair, 12.25, 190.0)
    assert power(pair)["step"] == "shedding"
    pair.is_broker_up = True
    pair.engine.receive_link(BrokerUp(), pair.now_s)
    pair.perform()
    pair.run(1.0)
    assert kinds(pair) == ["low_voltage", "load_shedding"]


def test_shed_load_is_rarer_echoes_and_unlocks_all_the_same() -> None:
    echoes = []
    for volts in (12.6, 12.25):
        pair = asleep()
        feed(pair, volts, 200.0)
        pair.published.clear()
        feed(pair, volts, 3600.0)
        echoes.append(sum(effect.topic == ECHO for effect in pair.published))
    assert echoes == [12, 3]
    assert power(pair)["step"] == "shedding"
    assert pair.ask(Action.UNLOCK).stage is Stage.VERIFIED


def test_car_that_charges_is_not_shed_however_low_its_battery() -> None:
    pair = Pair()
    pair.car.charge(pair.now_s)
    pair.engine.receive_link(SupervisorFound(is_there=True), pair.now_s)
    pair.car.body.resting_v = 12.0
    pair.run(5.0)
    as_if_at_rest(pair)
    pair.run(260.0)
    assert kinds(pair) == ["low_voltage"]
    assert requests(pair) == []


def test_car_that_is_shed_and_begins_to_charge_has_its_load_back_at_once() -> None:
    """By a voltage that is well again; the record says so."""
    pair = Pair()
    pair.car.body.resting_v = 12.25
    pair.run(250.0)
    assert power(pair)["step"] == "shedding"
    pair.car.charge(pair.now_s)
    pair.run(70.0)
    assert kinds(pair)[-1] == "low_voltage_over"
    assert power(pair)["step"] == "normal"


def test_car_that_is_fed_and_not_well_has_its_load_back_and_stays_warned() -> None:
    """A converter that feeds nothing: the plug is in, the bus says nothing of the voltage, the supervisor does."""
    pair = Pair()
    pair.car.body.resting_v = 12.25
    pair.run(250.0)
    pair.car.body.resting_v = 12.5
    pair.car.charge(pair.now_s)
    as_if_at_rest(pair)
    pair.run(80.0)
    assert kinds(pair)[-1] == LOAD_RESTORED
    assert power(pair)["step"] == "warned"


def test_power_is_asked_off_once_and_only_after_the_running_command() -> None:
    """No power is cut while a command runs: it is wanted meanwhile, and asked for after the end of the command."""
    pair = asleep()
    for volts in (12.1,) * 24:
        feed(pair, volts, MEASURED_EVERY_S)
    pair.car.set_fault(CarFault.LOCK_IGNORES, pair.now_s, is_on=True)
    pair.car.set_fault(CarFault.WAKE_DEAF, pair.now_s, is_on=True)
    pair.deliver("cmd", pair.command(Action.UNLOCK))
    was_wanted_while_busy = False
    while pair.engine.is_commanding:
        pair.engine.receive_link(SupplyMeasured(12.1, pair.now_s), pair.now_s)
        pair.run(0.1)
        if pair.engine.is_commanding:
            was_wanted_while_busy |= power(pair)["step"] == "power_off"
            assert requests(pair) == []
    assert was_wanted_while_busy
    pair.run(1.0)
    assert requests(pair) == [RequestPowerOff(60.0, "low_voltage")]
    feed(pair, 12.1, 600.0)
    assert len(requests(pair)) == 1


def test_end_for_the_power_off_is_announced_as_sleep_and_any_other_as_a_stop() -> None:
    """R14: told apart from the last will, which has no such word."""
    pair = asleep()
    feed(pair, 12.0, 260.0)
    assert len(requests(pair)) == 1
    for is_final in (False, True, True):
        pair.engine.receive_link(StopAsked(is_final), pair.now_s)
        pair.perform()
    assert [(each["online"], each.get("end")) for each in presences(pair)] == [(True, None), (False, "asleep")]
    pair = asleep()
    for is_final in (False, True, True):
        pair.engine.receive_link(StopAsked(is_final), pair.now_s)
        pair.perform()
    assert presences(pair)[-1]["end"] == "stopped"


@pytest.mark.parametrize("refusal", [None, "Not authorized"])
def test_the_will_is_left_out_only_if_the_broker_has_the_announcement(refusal: str | None) -> None:
    pair = asleep()
    pair.engine.receive_link(StopAsked(is_final=True), pair.now_s)
    left: list[str] = []
    while (effect := pair.engine.next_effect()) is not None:
        left.append(type(effect).__name__)
        if isinstance(effect, Publish) and effect.topic == PRESENCE and effect.token is not None:
            pair.engine.receive_link(Published(effect.token, refusal), pair.now_s)
        else:
            pair._perform(effect)
    assert ("Leave" in left) is (refusal is None)


def test_what_the_supervisor_says_is_told_once_a_change_and_bounded() -> None:
    """SR-09: an ignition wire with a loose contact fills no card."""
    pair = asleep()
    for news in (Woken(Wake.TIMER), IgnitionLine(is_on=True), IgnitionLine(is_on=True), IgnitionLine(is_on=False)):
        pair.engine.receive_link(news, pair.now_s)
    pair.engine.receive_link(SupervisorFound(is_there=False, detail="no answer"), pair.now_s)
    pair.perform()
    told = [
        (event["news"], event.get("wake"), event.get("detail"))
        for event in pair.events()
        if event["kind"] == "supervisor"
    ]
    assert told == [
        ("found", None, None),
        ("woken", "timer", None),
        ("ignition_on", None, None),
        ("ignition_off", None, None),
        ("lost", None, "no answer"),
    ]
    for number in range(1000):
        pair.engine.receive_link(IgnitionLine(is_on=number % 2 == 0), pair.now_s)
    pair.run(1.0)
    assert sum(event["kind"] == "supervisor" for event in pair.events()) <= 60


def test_supply_that_is_gone_ends_the_agent_in_order_at_once() -> None:
    pair = asleep()
    pair.engine.receive_link(PowerFails(), pair.now_s)
    pair.run(2.0)
    assert requests(pair) == [RequestPowerOff(60.0, "power_fails")]
    assert [event["news"] for event in pair.events() if event["kind"] == "supervisor"] == ["found", "power_fails"]


def test_command_that_comes_while_the_power_goes_is_refused_in_words() -> None:
    pair = asleep()
    pair.engine.receive_link(PowerFails(), pair.now_s)
    pair.run(2.0)
    pair.engine.receive_link(StopAsked(is_final=False), pair.now_s)
    result = pair.ask(Action.UNLOCK)
    assert (result.stage, result.reason) == (Stage.REJECTED, Reason.SHUTTING_DOWN)
