"""Composition root: builds the adapters, feeds the engine, and performs its effects one by one, in order."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.adapters.broker import Broker, Subscription
from agent.adapters.clock import boot_id, boot_s
from agent.adapters.journal import log_refusal, write_log
from agent.adapters.status_socket import StatusSocket
from agent.adapters.store import CLOSE_WAIT_S, Stores
from agent.adapters.supervisor import Supervisor, failed_starts
from agent.engine import Engine
from agent.errors import StoreError
from agent.model.effects import (
    Acknowledge,
    Attend,
    Effect,
    Fetch,
    Leave,
    Level,
    Log,
    Notify,
    Persist,
    Publish,
    PulseRelay,
    Reconnect,
    RequestPowerOff,
    SendFrame,
    Stop,
    Subscribe,
    WatchAfresh,
)
from agent.model.events import Delivery, Fetched, LinkEvent, Published, StopAsked, Stored, StoreFailed
from agent.model.frame import Frame
from agent.model.reception import WatchNews
from agent.model.records import OutboxStored
from agent.power_off import PowerOff
from agent.supervision import Supervision, parts_of
from agent.uplink.wire import Topics, presence_document
from agent.wiring import (
    Identity,
    broker_settings,
    bus_status,
    buses_begun,
    can_buses,
    installed_trust,
    pulse_relay,
    relays,
    send_frame,
    subscriptions,
    watch_clock,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.command.verify import KeyRecord
    from agent.config import Config
    from agent.profiles.schema import Profile

# While a command runs the engine is asked at least this often, so that a suspend (which the event loop's clock does not
# count) shows. Otherwise it says itself when it wants to be asked next.
TICK_S_MAX = 0.5

# The hazards give a running command 8 s after SIGTERM to end by itself (H92).
STOP_GRACE_S = 8.0

# After the last effect the broker gets so long to acknowledge what was handed over.
FLUSH_S = 1.0


class App:
    """One run of the agent. `directory` is what relative paths of the configuration are relative to."""

    def __init__(
        self,
        config: Config,
        profile: Profile,
        identity: Identity,
        keys: Mapping[bytes, KeyRecord],
        *,
        directory: Path,
        environ: Mapping[str, str],
    ) -> None:
        self._config = config
        self._supervisor = Supervisor(environ)
        self._stores = Stores(directory / config.store.directory, bytes.fromhex(config.car.id))
        self._wake = asyncio.Event()
        self._has_news, self._awake_at_s = False, 0.0  # since `_taken`; boot time of `_perform_all`'s next look
        self._idle = asyncio.Event()
        self._stopped: Stop | None = None
        device = config.power.supervisor
        parts = parts_of((bus.name for bus in profile.buses), has_power_supervisor=device is not None)
        self._supervision = Supervision(self._supervisor, parts)
        self._buses = can_buses(
            config,
            profile,
            on_frame=self._frame,
            on_link=self._link,
            on_watched=self._watched,
            on_news=self._news,
            on_progress=self._supervision.progress,
            on_taken=self._taken,
            # A command is judged by every frame, from its intent to its result.
            may_conflate=lambda: not self._engine.is_commanding,
        )
        self._relays = relays(config, profile)
        recovered = self._stores.open()
        try:
            trust = installed_trust(config, recovered, directory)
        except BaseException:
            self._stores.close()
            raise
        self._engine = Engine(
            profile,
            config,
            recovered,
            sid=identity.sid,
            vehicle_key=identity.vehicle_key,
            keys=keys,
            now_s=boot_s(),
            boot_id=boot_id(),
            trust=trust,
            failed_starts=failed_starts(environ),
        )
        topics = Topics(bytes.fromhex(config.car.id))
        self._broker = Broker(
            broker_settings(config, directory),
            client_id=config.car.id,
            will=(topics.presence, presence_document(identity.sid, is_online=False)),
            subscriptions=self._subscriptions(self._engine.operators),
            on_delivery=self._delivery,
            on_event=self._link,
            on_refused=log_refusal,
            on_progress=partial(self._supervision.progress, "broker"),
        )
        power_progress = partial(self._supervision.progress, "power")
        self._power_off = PowerOff(device, self._link, self._supervisor, power_progress)
        self._status = StatusSocket(directory / config.status.socket, self._status_document)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; raises AgentError if the agent cannot go on."""
        try:
            async with asyncio.TaskGroup() as group:
                background = [
                    group.create_task(self._broker.run(partial(buses_begun, self._buses)), name="broker"),
                    group.create_task(self._watch(), name="clock"),
                    group.create_task(self._supervision.watch_store(self._stores), name="store"),
                    group.create_task(self._supervision.feed_watchdog(), name="watchdog"),
                    group.create_task(self._supervision.tell_ready(self._buses), name="ready"),
                    group.create_task(self._status.run(), name="status"),
                    group.create_task(self._power_off.listen(), name="power"),
                    *(group.create_task(bus.run(), name=f"can.{name}") for name, bus in self._buses.items()),
                ]
                performer = group.create_task(self._perform_all(), name="engine")
                stopper = group.create_task(self._power_off.wanted_or(stop), name="stop")
                await asyncio.wait([performer, stopper], return_when=asyncio.FIRST_COMPLETED)
                if not performer.done():
                    await self._wind_down()
                else:
                    await self._broker.flush(FLUSH_S)
                for task in (*background, performer, stopper):
                    task.cancel()
        finally:
            self._power_off.ending()
            # In a thread, and not waited for without limit: closing syncs, and the card may stall (H92).
            is_closed = await asyncio.to_thread(self._stores.close)
            if not is_closed:
                write_log(Log(Level.ERROR, "store_not_closed", {"waited_s": CLOSE_WAIT_S}))
        if self._stopped is not None:
            raise StoreError(self._stopped.reason)
        if is_closed:
            await self._power_off.carry_out(stop)

    # --- what the edge tells ------------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> None:
        self._has_news |= self._engine.receive_frame(frame, boot_s())

    def _watched(self, news: WatchNews) -> None:
        self._engine.receive_watched(news, boot_s())
        if self._engine.is_wanted_before(self._awake_at_s):
            self._wake.set()

    def _taken(self) -> None:
        """Most frames leave nothing to be done at once, and to wake for each would cost more than to take it in."""
        if self._has_news and self._engine.is_wanted_before(self._awake_at_s):
            self._wake.set()
        self._has_news = False

    def _news(self, event: LinkEvent) -> None:
        """Mostly nothing to be done about: then it wakes nobody."""
        self._engine.receive_link(event, boot_s())
        if self._engine.has_effects:
            self._wake.set()

    def _confirm(self) -> None:
        """Before values are judged by their age: messages that do not change are known by asking for them alone."""
        for bus in self._buses.values():
            bus.confirm()

    def _delivery(self, delivery: Delivery) -> None:
        self._confirm()
        self._engine.receive_delivery(delivery, boot_s())
        self._wake.set()

    def _link(self, event: LinkEvent) -> None:
        self._engine.receive_link(event, boot_s())
        self._wake.set()

    def _status_document(self) -> dict[str, object]:
        """What the engine says of itself, and what only the edge can count."""
        self._confirm()
        return {
            **self._engine.status(boot_s()),
            **bus_status(self._buses),
            "broker": {"dropped": self._broker.dropped_count, "refused": dict(self._broker.refused_counts)},
        }

    # --- what the engine asks -----------------------------------------------------------------------------------

    async def _perform_all(self) -> None:
        """Perform effects in order until a `Stop`; in between wait for news or for the engine's next timer."""
        loop = asyncio.get_running_loop()
        try:
            while self._stopped is None:
                self._wake.clear()
                self._confirm()
                now_s = boot_s()
                self._engine.handle_timer(now_s)
                while self._stopped is None and (effect := self._engine.next_effect()) is not None:
                    await self._perform(effect)
                    now_s = boot_s()
                    self._supervision.progress("engine")
                if not self._engine.is_commanding:
                    self._idle.set()
                tick_s = TICK_S_MAX if self._engine.is_commanding else float("inf")
                self._awake_at_s = min(self._engine.next_timer(), now_s + tick_s)
                self._supervision.progress("engine", max(0.0, self._awake_at_s - now_s))
                if self._awake_at_s > now_s and not self._wake.is_set():
                    timer = loop.call_later(self._awake_at_s - now_s, self._wake.set)
                    await self._wake.wait()
                    timer.cancel()
                else:
                    await asyncio.sleep(0)
        finally:
            # Nothing is performed any more, however it ended: nobody need wait for it.
            self._idle.set()

    async def _perform(self, effect: Effect) -> None:
        match effect:
            case Persist(records, token):
                try:
                    await self._stores.write(records)
                except StoreError as error:
                    self._link(StoreFailed(token, str(error)))
                else:
                    self._link(Stored(token))
            case Fetch(sequences, token):
                self._link(Fetched(token, await self._fetched(sequences)))
            case SendFrame():
                self._link(send_frame(self._buses, effect, self._engine.may_send, on_echo=self._link))
            case PulseRelay():
                # Nothing else is done meanwhile, so that no two lines are closed at once: at most 3 s.
                self._link(await pulse_relay(self._relays, effect, self._engine.may_send))
            case Attend(messages):
                for bus in self._buses.values():
                    bus.attend(messages)
            case WatchAfresh(message):
                self._buses[message.bus].watch_afresh(message)
            case Publish(_, _, _, _, token):
                if (refusal := self._broker.publish(effect)) is not None and token is not None:
                    self._link(Published(token, refusal))
            case Acknowledge(delivery_id):
                self._broker.acknowledge(delivery_id)
            case Subscribe(operators):
                self._broker.subscribe_to(self._subscriptions(operators))
            case Reconnect(reason):
                self._broker.reconnect(reason)
            case Leave():
                self._broker.leave()
            case RequestPowerOff():
                self._power_off.want(effect)
            case Notify(status, is_ready):
                self._supervisor.notify(f"STATUS={status}")
                if is_ready:
                    self._supervision.is_engine_ready.set()
            case Log():
                write_log(effect)
            case Stop():
                self._stopped = effect

    async def _fetched(self, sequences: tuple[int, ...]) -> tuple[OutboxStored, ...]:
        try:
            return await self._stores.fetch(sequences)
        except StoreError as error:
            write_log(Log(Level.ERROR, "outbox_not_read", {"error": str(error), "records": len(sequences)}))
            return ()

    def _subscriptions(self, operators: Sequence[int]) -> list[Subscription]:
        return subscriptions(self._config, operators, is_rooted=self._engine.is_rooted)

    # --- tasks of its own ---------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        progress = partial(self._supervision.progress, "clock")
        await watch_clock(self._buses, self._news, progress)

    async def _wind_down(self) -> None:
        """Take nothing new, let a running command end, then break off what still runs and tell what is left."""
        await self._ask_to_stop(is_final=False, within_s=STOP_GRACE_S)
        await self._ask_to_stop(is_final=True, within_s=FLUSH_S)
        await self._broker.flush(FLUSH_S)
        # What the broker acknowledged meanwhile need not be told again after the next start.
        await self._ask_to_stop(is_final=True, within_s=FLUSH_S)

    async def _ask_to_stop(self, *, is_final: bool, within_s: float) -> None:
        if self._stopped is not None:
            return  # nothing is performed any more
        self._idle.clear()
        self._link(StopAsked(is_final))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._idle.wait()
