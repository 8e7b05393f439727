"""From the configuration to adapters: which interface is which bus, which broker, which topics, which bundle."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.adapters.beat import beat
from agent.adapters.broker import BrokerSettings, Subscription
from agent.adapters.can_bus import CanBus
from agent.adapters.can_conflation import named
from agent.adapters.can_reception import Watching
from agent.adapters.can_sending import FrameRefused
from agent.adapters.clock import boot_s, unix_offset
from agent.adapters.files import key_path, read_document
from agent.adapters.journal import write_log
from agent.adapters.relays import PulseRefused, Relays
from agent.errors import ConfigurationError
from agent.model.command import Reason
from agent.model.effects import Level, Log, PulseRelay, SendFrame
from agent.model.events import BusChanged, BusLooked, ClockSet, FrameEchoed, FrameNotSent, FramesCounted, FrameSent
from agent.model.quick_dataclass import dataclass
from agent.model.reception import MessageId, WatchNews
from agent.profiles.schema import Derivation
from agent.profiles.watches import repeating, watches
from agent.trusting import Beginning, beginning
from agent.uplink.wire import Topics

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from agent.config import BusTable, Config
    from agent.model.events import LinkEvent
    from agent.model.frame import Frame
    from agent.model.records import Recovered
    from agent.profiles.schema import MessagePlan, Profile

# A step of the wall clock is told to the engine within this time.
CLOCK_INTERVAL_S = 10.0

# Frames are counted together every so many turns of that.
COUNTED_TURNS = 3

BUSES_FIRST_S = 3.0
"""A serial adapter is given two seconds to boot; a car whose adapter hangs is to be reached all the same."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes this car this car."""

    vehicle_key: Ed25519PrivateKey
    sid: bytes


def new_identity(vehicle_key: Ed25519PrivateKey) -> Identity:
    """The car's key with a session id nobody can know in advance."""
    return Identity(vehicle_key, secrets.token_bytes(8))


def can_buses(
    config: Config,
    profile: Profile,
    *,
    on_frame: Callable[[Frame], None],
    on_link: Callable[[LinkEvent], None],
    on_watched: Callable[[WatchNews], None],
    on_news: Callable[[LinkEvent], None],
    on_progress: Callable[[str, float], None],
    on_taken: Callable[[], None],
    may_conflate: Callable[[], bool],
) -> dict[str, CanBus]:
    """Each bus of the profile by name, on the interface the configuration gives it.

    `on_progress` is told the part (`can.` and the bus) and the seconds until its next turn.
    """
    return {
        plan.name: CanBus(
            plan.name,
            interface=config.buses[plan.name].interface,
            channel=config.buses[plan.name].channel,
            bitrate_bps=plan.bitrate_bps,
            is_fd=plan.is_fd,
            # The engine leaves out actions on a bus that only listens; here its frames would be refused too (SR-01).
            send_list=[
                rule for rule in profile.send_list if rule.bus == plan.name and not config.buses[plan.name].listen_only
            ],
            wanted_ids=[
                *(
                    (message.arbitration_id, message.is_extended_id)
                    for message in profile.messages
                    if plan.name in message.buses
                ),
                *((number, is_extended_id) for bus, number, is_extended_id in profile.answer_ids if bus == plan.name),
            ],
            on_frame=on_frame,
            on_state=lambda state, sign, name=plan.name: on_link(BusChanged(name, state, sign)),  # type: ignore[misc]
            on_look=lambda look, name=plan.name: on_news(BusLooked(name, look)),  # type: ignore[misc]
            on_progress=partial(on_progress, f"can.{plan.name}"),
            on_taken=on_taken,
            watching=Watching(
                watches(profile, plan.name) if is_watched(config.buses[plan.name]) else (), on_watched, on_news
            ),
            conflatable_ids=[
                (message.arbitration_id, message.is_extended_id)
                for message in conflatable(profile)
                if plan.name in message.buses
            ],
            repeating=() if is_watched(config.buses[plan.name]) else repeating(profile, plan.name),
            may_conflate=may_conflate,
        )
        for plan in profile.buses
    }


def is_watched(table: BusTable) -> bool:
    """Whether the kernel is to watch a bus, which only its own can be."""
    return table.interface == "socketcan" and table.reception == "kernel"


async def buses_begun(buses: Mapping[str, CanBus]) -> None:
    """Every bus has been opened, or could not be, or takes too long: what is done first must not wait for it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BUSES_FIRST_S):
            for bus in buses.values():
                await bus.has_begun.wait()


def bus_status(buses: Mapping[str, CanBus]) -> dict[str, object]:
    """For the local status socket: what became of frames, and what the kernel says of the messages it watches."""
    return {
        "can": {
            name: asdict(bus.counts)
            | {
                "conflated": {named(key): count for key, count in bus.left_out().items()},
                "back_off_s": bus.back_off_s,
            }
            for name, bus in buses.items()
        },
        "watched": {
            name: {named(key): asdict(watched) for key, watched in bus.statistics().items()}
            for name, bus in buses.items()
        },
    }


def frames_counted(name: str, bus: CanBus) -> FramesCounted:
    """What the engine is told of a bus from time to time, to be told on if anything is wrong with it."""
    left_out = Counter(bus.left_out())
    left_out.update({key: watched.came - watched.told for key, watched in bus.statistics().items()})
    counts = asdict(bus.counts)
    return FramesCounted(name, counts, {MessageId(name, *key): count for key, count in left_out.items()})


async def watch_clock(
    buses: Mapping[str, CanBus], on_news: Callable[[LinkEvent], None], on_progress: Callable[[float], None]
) -> None:
    """Compare the wall clock, and from time to time count what came of frames, until cancelled."""
    for turn in itertools.count():
        on_news(ClockSet(*unix_offset()))
        for name, bus in buses.items() if turn % COUNTED_TURNS == 0 else ():
            on_news(frames_counted(name, bus))
        on_progress(CLOCK_INTERVAL_S)
        await beat(CLOCK_INTERVAL_S)


def send_frame(
    buses: Mapping[str, CanBus],
    effect: SendFrame,
    may_send: Callable[[int, float], bool],
    on_echo: Callable[[FrameEchoed], None],
) -> FrameSent | FrameNotSent:
    """Put the frame on its bus, if `may_send` its token still at that moment."""
    if (bus := buses.get(effect.frame.bus)) is None:
        return FrameNotSent(effect.token, Reason.INTERNAL)
    try:
        at_s = bus.send(
            effect.frame,
            effect.not_after_s,
            lambda: may_send(effect.token, boot_s()),
            lambda echoed_at_s: on_echo(FrameEchoed(effect.token, echoed_at_s)),
        )
    except FrameRefused as refusal:
        return FrameNotSent(effect.token, refusal.reason)
    return FrameSent(effect.token, at_s, bus.echoes.are_due)


def relays(config: Config, profile: Profile) -> Relays | None:
    """The relays of the configuration, each held open from now on; None without any.

    A line that cannot be had is told, and asked for again before each pulse. ConfigurationError without libgpiod 2.
    """
    if not config.relays:
        return None
    try:
        from agent.adapters.gpio_lines import GpioLines, LinePlace
    except ImportError as error:
        raise ConfigurationError(
            f"agent.toml has [relays], and there is no libgpiod 2 for Python here ({error}); "
            "install carshare-agent[relay], or Debian 13's python3-libgpiod"
        ) from error
    lines = GpioLines(
        {name: LinePlace(table.chip, table.offset, table.active_low) for name, table in config.relays.items()}
    )
    try:
        lines.hold()
    except OSError as error:
        write_log(Log(Level.ERROR, "relays_not_held", {"error": str(error)}))
    return Relays([pulse for pulse in profile.pulse_list if pulse.line in config.relays], lines)


async def pulse_relay(
    relays: Relays | None, effect: PulseRelay, may_send: Callable[[int, float], bool]
) -> FrameSent | FrameNotSent:
    """Carry a pulse out, if `may_send` its token still at that moment. A relay gives nothing back: no echo is due."""
    if relays is None:
        return FrameNotSent(effect.token, Reason.INTERNAL)
    try:
        at_s = await relays.pulse(effect.pulse, effect.not_after_s, lambda: may_send(effect.token, boot_s()))
    except PulseRefused as refusal:
        write_log(Log(Level.WARNING, "pulse_refused", {"reason": refusal.reason.name.lower(), "detail": str(refusal)}))
        return FrameNotSent(effect.token, refusal.reason)
    return FrameSent(effect.token, at_s)


def conflatable(profile: Profile) -> tuple[MessagePlan, ...]:
    """The messages whose newest frame says all: none with a counter, more than one page, an event, a value that
    has to stand, or what another depends on.

    A counter is followed frame by frame, a page stands beside the others, and each change is wanted of an input that
    tells events or counts, itself or by a state derived from it, and of a value that has to stand.
    """
    telling = {
        path
        for derived in profile.derived
        if derived.report.is_event or derived.how is Derivation.RISES
        for path in derived.inputs
    }
    choosing = {
        (message.bus, choice.arbitration_id, choice.is_extended_id)
        for message in profile.messages
        for signal in message.signals
        for choice in signal.chosen_by
    }
    return tuple(
        message
        for message in profile.messages
        if message.counter is None
        and not message.is_every_frame
        and message.selector is None
        and not any(
            signal.report.is_event or signal.selections or signal.settle or signal.path in telling
            for signal in message.signals
        )
        and (message.bus, message.arbitration_id, message.is_extended_id) not in choosing
    )


def installed_trust(config: Config, recovered: Recovered, directory: Path) -> Beginning | None:
    """What the store and the bundle file give to believe, None for operators pinned by hand.

    ConfigurationError if neither gives anything.
    """
    if (table := config.trust) is None:
        return None
    path = directory / table.bundle_file
    try:
        installed, found = read_document(path), str(path)
    except ConfigurationError as error:
        installed, found = None, str(error)
    begun = beginning(recovered.trust, installed)
    if isinstance(begun, str):
        raise ConfigurationError(f"{found}: {begun}; install the fleet's present bundle there, as root")
    return begun


def subscriptions(config: Config, operators: Sequence[int], *, is_rooted: bool) -> list[Subscription]:
    """The topics this car listens to: its operators' commands and pings, the fleet's bundles, its own echo."""
    topics = Topics(bytes.fromhex(config.car.id))
    wanted = [Subscription(topics.of(operator, kind)) for operator in operators for kind in ("cmd", "ping")]
    if is_rooted:
        # A bundle is a state, not a wish: the broker may keep it, and is to deliver what it keeps (csa1 A6).
        wanted += [Subscription(topics.of(operator, "bundle"), retain_handling=0) for operator in operators]
    return [*wanted, Subscription(topics.of("all", "echo"))]


def broker_settings(config: Config, directory: Path) -> BrokerSettings:
    """Where the broker is and how it is spoken to; an unencrypted network is allowed, but not without a warning."""
    table = config.broker

    def located(name: str | None) -> Path | None:
        return None if name is None else directory / name

    if table.allow_unencrypted_network:
        write_log(Log(Level.WARNING, "unencrypted_network_allowed", {"host": table.host}))
    return BrokerSettings(
        host=table.host,
        port=table.port,
        keep_alive_s=table.keep_alive_s,
        ca_file=located(table.ca_file),
        certificate_file=located(table.certificate_file),
        key_file=None if table.key_file is None else key_path(directory, table.key_file),
        is_unencrypted_network_allowed=table.allow_unencrypted_network,
    )
