"""What may go wrong in a simulated world, each kind a function that makes it happen and arranges for its repair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agent.bench.car import CarFault
from agent.bench.car_body import CarRefusesError, Opening
from agent.command.envelope import (
    Envelope,
    Hello,
    MessageKind,
    Result,
    decode_command,
    decode_ping,
    encode_command,
    encode_hello,
    encode_result,
    open_unverified,
    seal,
)
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.events import BusChanged, ClockSet
from agent.model.frame import BusState
from tests.support.pair import CAR
from tests.support.ways import Way
from tests.support.world_broker import Carried, Weather, topic
from tests.support.world_computer import CLOCK_TRUSTS
from tests.support.world_keys import OPERATORS, OTHER_CAR, OTHER_CARS_KEY, STRANGERS_KEY

if TYPE_CHECKING:
    from random import Random

    from tests.support.world import World

TEN_YEARS_S: Final = 3.156e8
HOUR_S: Final = 3600.0


# --- the network ----------------------------------------------------------------------------------------------------


def draw_weather(chance: Random) -> Weather:
    """How badly messages are carried from now on."""

    def some(likelihood: float, maximum: float) -> float:
        return chance.uniform(0.0, maximum) if chance.random() < likelihood else 0.0

    return Weather(
        drop=some(0.4, 0.5),
        duplicate=some(0.5, 0.7),
        delay=some(0.5, 0.6),
        delay_s_max=chance.choice((0.5, 3.0, 12.0, 60.0)),
        corrupt=some(0.3, 0.3),
        puback_lost=some(0.4, 0.5),
        refuse=some(0.1, 0.3),
    )


def weather(world: World) -> None:
    world.broker.weather = draw_weather(world.chance)


def black_hole(world: World) -> None:
    before = world.broker.weather
    world.broker.weather = replace(before, is_black_hole=True)

    def mend() -> None:
        world.broker.weather.is_black_hole = False

    world.script.mend_after(world.chance.choice((0.5, 2.0, 8.0, 31.0)), mend)


def link_lost(world: World) -> None:
    world.broker.disconnect()


def broker_away(world: World) -> None:
    world.broker.is_away = True
    world.broker.disconnect()

    def mend() -> None:
        world.broker.is_away = False
        world.broker.connect()
        for station in world.stations:
            station.hurry()

    world.script.mend_after(world.chance.uniform(0.2, 20.0), mend)


# --- the attacker ---------------------------------------------------------------------------------------------------


def replay_to_car(world: World) -> None:
    """Old commands and pings again, some retained, some on the topic of another operator or kind."""
    chance, broker = world.chance, world.broker
    for _ in range(chance.choice((1, 1, 3, 12))):
        if not broker.to_car:
            return
        carried = chance.choice(broker.to_car)
        kind = carried.kind if chance.random() < 0.9 else chance.choice(("cmd", "ping", "res", "bundle"))
        where = topic(kind, 2 if chance.random() < 0.1 else 1)
        is_retained = chance.random() < 0.1
        world.after(chance.uniform(0.0, 0.5), broker.send_to_car, where, carried.raw, is_retained)


def replay_to_station(world: World) -> None:
    """Old hellos and results again."""
    chance, broker = world.chance, world.broker
    for _ in range(chance.choice((1, 3, 8))):
        if broker.from_car:
            carried = chance.choice(broker.from_car)
            kind = carried.kind if chance.random() < 0.9 else "res" if carried.kind == "hello" else "hello"
            broker.to_station(chance.choice(world.stations), kind, carried.raw, is_retained=chance.random() < 0.1)


def _last(world: World, kind: MessageKind) -> Envelope | None:
    """The newest message of that kind on its way to the car."""
    raw = next((carried.raw for carried in reversed(world.broker.to_car) if carried.kind == kind), None)
    return None if raw is None else open_unverified(kind, raw)


def forge_command(world: World) -> None:
    """A command nobody of the operator signed, or one he signed for another car."""
    last, chance = _last(world, MessageKind.CMD), world.chance
    if last is None:
        return
    operator, command = chance.choice(OPERATORS), decode_command(last.payload)
    forged = replace(command, cid=chance.randbytes(16), counter=command.counter + chance.randrange(1, 1000))
    match chance.randrange(3):
        case 0:
            raw = seal(MessageKind.CMD, encode_command(forged), STRANGERS_KEY, operator.kid)
        case 1:
            raw = seal(MessageKind.CMD, encode_command(forged), STRANGERS_KEY, chance.randbytes(4))
        case _:
            raw = seal(MessageKind.CMD, encode_command(replace(forged, car=OTHER_CAR)), operator.key, operator.kid)
    world.broker.send_to_car(topic("cmd"), raw)


def same_id(world: World) -> None:
    """Another backend of the operator signs other bytes under the id of a command under way (H42)."""
    last, operator = _last(world, MessageKind.CMD), world.chance.choice(OPERATORS[:2])
    if last is not None:
        twin = replace(decode_command(last.payload), sid=world.chance.randbytes(8), action=Action.LOCK)
        world.broker.send_to_car(topic("cmd"), seal(MessageKind.CMD, encode_command(twin), operator.key, operator.kid))


def forge_answer(world: World) -> None:
    """An answer to what is under way, by a stranger or another car, or a true one with a bit changed (H70)."""
    chance, broker = world.chance, world.broker
    last = _last(world, MessageKind.CMD)
    if last is None or not broker.from_car:
        return
    match chance.randrange(4):
        case 0:
            answer = Carried("res", seal(MessageKind.RES, encode_result(_lie(world, last)), STRANGERS_KEY, CAR))
        case 1:
            lie = replace(_lie(world, last), car=OTHER_CAR)
            answer = Carried("res", seal(MessageKind.RES, encode_result(lie), OTHER_CARS_KEY, OTHER_CAR))
        case 2:
            true = chance.choice(broker.from_car)
            answer = Carried(true.kind, broker.corrupted(true.raw))
        case _:
            ping = _last(world, MessageKind.PING)
            nonce = chance.randbytes(16) if ping is None else decode_ping(ping.payload).nonce
            hello = Hello(CAR, chance.randbytes(8), 5, CLOCK_TRUSTS[0], b"storeid!", 7, nonce=nonce)
            answer = Carried("hello", seal(MessageKind.HELLO, encode_hello(hello), STRANGERS_KEY, CAR))
    for station in world.stations:
        broker.to_station(station, answer.kind, answer.raw)


def _lie(world: World, last: Envelope) -> Result:
    """What a stranger would have a backend believe of a command: that it is done, or that it may be signed anew."""
    stage, reason, executed = world.chance.choice(
        (
            (Stage.VERIFIED, Reason.OK, Executed.YES),
            (Stage.REJECTED, Reason.STALE_SESSION, Executed.NO),
            (Stage.FAILED, Reason.NO_STATE_CHANGE, Executed.NO),
        )
    )
    command = decode_command(last.payload)
    return Result(CAR, command.cid, 1, stage, reason, executed, command.sid, 1, last.digest[:8])


# --- the car and its bus --------------------------------------------------------------------------------------------


def car_breaks(world: World) -> None:
    car, chance = world.car, world.chance
    # Of a car that can say no it is the likeliest thing to go wrong: told by frames it says nothing.
    refusing = 20 * (CarFault.LOCK_REFUSES,) if world.way is Way.REQUESTS else ()
    fault = chance.choice((*CarFault, *refusing))
    car.set_fault(fault, world.now_s, is_on=True)
    world.count(f"car {fault.value}")
    world.script.mend_after(
        chance.choice((0.15, 0.5, 3.0, 12.0)), lambda: car.set_fault(fault, world.now_s, is_on=False)
    )


def bus_state(world: World) -> None:
    """The interface goes down, is unplugged, or its controller leaves the bus; the agent hears of it, or not yet."""
    computer, chance = world.computer, world.chance
    computer.bus_state = chance.choice((BusState.DOWN, BusState.GONE, BusState.BUS_OFF, BusState.ERROR_PASSIVE))
    if chance.random() < 0.7:
        computer.tell(BusChanged("body", computer.bus_state))

    def mend() -> None:
        computer.bus_state = BusState.UP
        computer.tell(BusChanged("body", BusState.UP))

    world.script.mend_after(chance.choice((0.2, 1.0, 5.0)), mend)


def send_fails(world: World) -> None:
    computer, chance = world.computer, world.chance
    computer.send_fault = chance.choice((Reason.TIMEOUT, Reason.TIMEOUT, Reason.CAN_DOWN, Reason.BUS_OFF))

    def mend() -> None:
        computer.send_fault = None

    world.script.mend_after(chance.choice((0.05, 0.3, 2.0)), mend)


def key_fob(world: World) -> None:
    world.car.press_key_fob(world.now_s, is_locked=world.chance.random() < 0.5)


def own_key(world: World) -> None:
    """Somebody has the car's own key: the immobiliser is switched beside the agent, or the ignition turned on."""
    car, chance = world.car, world.chance
    if chance.random() < 0.5:
        car.switch_immobiliser(world.now_s, is_drive_enabled=chance.random() < 0.5)
    elif not car.body.is_driving:
        car.set_ignition(world.now_s, is_on=True)

        def switch_off() -> None:
            if not car.body.is_driving:
                car.set_ignition(world.now_s, is_on=False)

        world.script.mend_after(chance.uniform(0.2, 4.0), switch_off)


def door(world: World) -> None:
    car, opening = world.car, world.chance.choice(tuple(Opening))

    def close() -> None:
        if not car.body.is_driving:
            car.set_opening(opening, world.now_s, is_open=False)

    if not car.body.is_driving:
        car.set_opening(opening, world.now_s, is_open=True)
        world.script.mend_after(world.chance.uniform(0.2, 5.0), close)


def drive(world: World) -> None:
    try:
        world.car.drive(world.chance.uniform(1.0, 30.0), world.now_s, cruise_kmh=20.0)
    except CarRefusesError:
        world.count("car would not drive")


def sleep(world: World) -> None:
    try:
        world.car.sleep(world.now_s)
    except CarRefusesError:
        world.count("car would not sleep")


def charge(world: World) -> None:
    car = world.car
    if not car.body.is_driving:
        car.charge(world.now_s)
        world.script.mend_after(world.chance.uniform(0.5, 4.0), lambda: car.unplug(world.now_s))


# --- the computer ---------------------------------------------------------------------------------------------------


def crash_at_effect(world: World) -> None:
    world.computer.effects_until_crash = world.chance.randrange(30)


def crash_now(world: World) -> None:
    world.computer.crash(world.chance.uniform(0.1, 5.0))


def stop(world: World) -> None:
    world.computer.stop()


def suspend(world: World) -> None:
    """Boot time jumps: most often by seconds, now and then by an hour."""
    _freeze(world, world.chance.choice((1.0, 5.0, 31.0, HOUR_S)), frames_kept=False)


def loop_blocked(world: World) -> None:
    _freeze(world, world.chance.choice((0.2, 0.6, 2.5, 8.0)), frames_kept=True)


def _freeze(world: World, length_s: float, *, frames_kept: bool) -> None:
    if world.computer.engine is not None:
        world.computer.freeze(frames_kept=frames_kept)
        world.script.mend_after(length_s, world.computer.thaw)


def clock_set(world: World) -> None:
    """The wall clocks of car and backends jump by up to ten years either way (H49)."""
    chance, computer = world.chance, world.computer
    computer.clock_offset_s = 1.7e9 + chance.uniform(-TEN_YEARS_S, TEN_YEARS_S)
    computer.tell(ClockSet(computer.clock_offset_s, chance.choice(CLOCK_TRUSTS)))
    if chance.random() < 0.5:
        chance.choice(world.stations).wall_offset_s = 1.7e9 + chance.uniform(-TEN_YEARS_S, TEN_YEARS_S)


def store_stalls(world: World) -> None:
    computer, chance = world.computer, world.chance
    computer.stall_s = chance.choice((0.15, 0.5, 2.0, 6.0, 29.8))

    def mend() -> None:
        computer.stall_s = 0.0

    world.script.mend_after(chance.uniform(0.05, 1.0), mend)


def store_breaks(world: World) -> None:
    computer = world.computer
    computer.is_store_broken = True

    def mend() -> None:
        computer.is_store_broken = False

    world.script.mend_after(world.chance.uniform(0.1, 3.0), mend)


def store_lost(world: World) -> None:
    """The agent dies, and its journal is found damaged at the next start (H41)."""
    computer, chance = world.computer, world.chance
    if computer.engine is not None:
        computer.crash(chance.uniform(0.1, 2.0))
        number = 2**51 + chance.randrange(2**51)
        computer.disk.lose(chance.randbytes(8), number=number, is_outbox_lost=chance.random() < 0.5)
        world.judge.store_lost()


FAULTS: Final[Mapping[str, Callable[[World], None]]] = {
    one.__name__: one
    for one in (
        weather, black_hole, link_lost, broker_away,
        replay_to_car, replay_to_station, forge_command, same_id, forge_answer,
        car_breaks, bus_state, send_fails, key_fob, own_key, door, drive, sleep, charge,
        crash_at_effect, crash_now, stop, suspend, loop_blocked, clock_set, store_stalls, store_breaks, store_lost,
    )
}  # fmt: skip

RARE: Final[Mapping[str, float]] = {
    "crash_at_effect": 0.7,
    "crash_now": 0.4,
    "stop": 0.2,
    "suspend": 0.4,
    "broker_away": 0.4,
    "store_breaks": 0.4,
    "store_lost": 0.2,
}
"""After these a world has to find its feet again before anything else of interest can happen in it."""
