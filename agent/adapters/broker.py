"""The link to the MQTT 5 broker, one connection after another; what one connection is: `mqtt_link.py`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.adapters.dial import dial, require_loopback, tls_context
from agent.adapters.link_errors import end_of
from agent.adapters.mqtt_shapes import Refused, Subscription
from agent.errors import ConfigurationError, LinkError
from agent.model.effects import Publish
from agent.model.events import BrokerDown, BrokerUp, Delivery, LinkEnd, LinkEvent, Published
from agent.model.quick_dataclass import dataclass

if TYPE_CHECKING:
    from agent.adapters.mqtt_link import MqttLink

__all__ = ["Broker", "BrokerSettings", "Subscription"]

BACK_OFF_S_MIN = 1.0
BACK_OFF_S_MAX = 300.0
"""Full jitter up to these: a fleet must not come back to a restarted broker in the same second."""

STABLE_S = 60.0
"""A connection that lasted so long was a good one; shorter ones keep the back-off growing (H61)."""

CONNECT_WAIT_S = 20.0
"""Name, TCP and TLS over a bad mobile link."""

RESUBSCRIBE_S_MIN = 10.0
RESUBSCRIBE_S_MAX = 300.0
"""Topics the broker refused are asked for again after the first, twice that and so on up to the second (H64)."""

PROGRESS_S = 15.0
"""A connection on which nothing happens is looked at so often, to show that somebody still does."""

_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the broker is and who vouches for it.

    Without `ca_file` the connection is plain, which only one to this machine may be unless
    `is_unencrypted_network_allowed`.
    """

    host: str
    port: int = 8883
    keep_alive_s: int = 60
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    is_unencrypted_network_allowed: bool = False


def back_off_s(failures: int, share: float, end: LinkEnd = LinkEnd.LOST) -> float:
    """How long to wait after so many failures in a row, `share` (0 to 1) of what may be waited at most.

    A certificate that is refused is not accepted a second later: from the first time on, half the longest or more.
    """
    if end is LinkEnd.CERTIFICATE_REFUSED:
        return BACK_OFF_S_MAX * (1 + share) / 2
    return share * min(BACK_OFF_S_MIN * 2.0 ** min(failures, 16), BACK_OFF_S_MAX)


class _OtherWishesError(Exception):
    """The connection asked for other topics than are wanted now."""


class Broker:
    """Keeps one connection to the broker; `run` does the work and calls `on_delivery` and `on_event`.

    `will` is (topic, payload), retained: the broker publishes it however the connection ends, also when we end it,
    unless `leave` was called.
    Deliveries are acknowledged by `acknowledge` alone.  `jitter` gives numbers from 0 to 1.
    `on_refused` is told the type (last level) of a topic on which a publication without a token was refused, and
    why, once a type and connection; `refused_counts` has how many there were of each type since start.
    `on_progress` is called at every turn of `run`, with the seconds that are waited on purpose before the next.
    ConfigurationError if a TLS file is wrong, or the connection would be plain and leave this machine.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        client_id: str,
        will: tuple[str, bytes],
        subscriptions: Sequence[Subscription],
        on_delivery: Callable[[Delivery], None],
        on_event: Callable[[LinkEvent], None],
        on_refused: Callable[[str, str], None],
        on_progress: Callable[[float], None] = lambda pause_s: None,
        jitter: Callable[[], float] = _chance.random,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._subscriptions = tuple(subscriptions)
        self._on_delivery = on_delivery
        self._on_event = on_event
        self._on_refused = on_refused
        self._on_progress = on_progress
        self._jitter = jitter
        self._delivery_ids = itertools.count(1)
        self._link: MqttLink | None = None
        self._dropped_before = 0
        # By type of topic; the types are the protocol's, a handful.
        self.refused_counts: dict[str, int] = {}
        self._refused_types: set[str] = set()
        # A wrong file is a person's mistake and told at once; later it may be a certificate being renewed.
        self._context()

    @property
    def dropped_count(self) -> int:
        """QoS 0 deliveries dropped because too many came at once."""
        return self._dropped_before + (self._link.dropped_count if self._link else 0)

    async def run(self, begin: Callable[[], Awaitable[None]] | None = None) -> None:
        """Connect and serve until cancelled, again and again; each failure and each end is told as `BrokerDown`.

        `begin` is waited for first: loading the broker's library would hold up whatever comes to be meanwhile.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        if begin is not None:
            await begin()
        while True:
            began_s = loop.time()
            end = LinkEnd.LOST
            self._on_progress(CONNECT_WAIT_S)
            try:
                await self._connect_and_serve()
            except _OtherWishesError as error:
                # Nothing failed, so there is nothing to back off from; but a whole fleet is told in the same second.
                self._on_event(BrokerDown(str(error)))
                failures = 0
            except (LinkError, ConfigurationError) as error:
                end = end_of(error)
                self._on_event(BrokerDown(str(error), end))
            if loop.time() - began_s > STABLE_S:
                failures = 0
            pause_s = back_off_s(failures, self._jitter(), end)
            self._on_progress(pause_s)
            await asyncio.sleep(pause_s)
            failures += 1

    def publish(self, effect: Publish) -> str | None:
        """Hand a message over at QoS 1: None if taken (then `Published` follows, given a token), else why not."""
        refusal = "not connected" if self._link is None else self._link.publish_soon(effect)
        if refusal is not None and effect.token is None:
            self._note_refusal(Refused(effect.topic, refusal))
        return refusal

    def acknowledge(self, delivery_id: int) -> None:
        """Acknowledge a delivery; of no effect if its connection has ended."""
        if self._link is not None:
            self._link.acknowledge(delivery_id)

    def subscribe_to(self, subscriptions: Sequence[Subscription]) -> None:
        """Ask for these topics from now on, and for no others; a connection that asked for others is begun anew."""
        if tuple(subscriptions) == self._subscriptions:
            return
        self._subscriptions = tuple(subscriptions)
        if self._link is not None:
            self._link.has_news.set()

    def reconnect(self, reason: str) -> None:
        """End the connection, if there is one, as if it were lost; `run` makes another."""
        if self._link is not None:
            self._link.give_up(reason)

    def leave(self) -> None:
        """The will has nothing to add any more: closed in order, this connection ends without it."""
        if self._link is not None:
            self._link.is_leaving = True

    async def flush(self, within_s: float) -> bool:
        """Wait until all that was handed over is answered; False if that took longer or the connection ended."""
        if (link := self._link) is None:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await link.is_settled.wait()
        return self._link is link and link.is_settled.is_set()

    async def _connect_and_serve(self) -> None:
        settings = self._settings
        link_type = await asyncio.to_thread(_link_type)
        try:
            async with asyncio.timeout(CONNECT_WAIT_S):
                connection = await dial(settings.host, settings.port, self._context())
        except TimeoutError:
            raise LinkError(
                f"{settings.host} port {settings.port}: no connection within {CONNECT_WAIT_S:g} s"
            ) from None
        link = link_type(
            connection,
            client_id=self._client_id,
            keep_alive_s=settings.keep_alive_s,
            will=self._will,
            delivery_ids=self._delivery_ids,
        )
        try:
            await link.open()
            subscriptions = self._subscriptions
            refused = await link.ask_for(subscriptions)
            self._link = link
            self._refused_types.clear()
            self._on_event(BrokerUp(_listed(refused)))
            await self._serve(link, subscriptions, refused)
        finally:
            self._link = None
            self._dropped_before += link.dropped_count
            link.is_settled.set()
            try:
                for token in link.unanswered():
                    self._on_event(Published(token, "connection lost"))
            finally:
                await link.end()

    async def _serve(
        self, link: MqttLink, subscriptions: tuple[Subscription, ...], refused: dict[Subscription, str]
    ) -> None:
        """Pass on what the link brings until it ends (LinkError), or other topics are wanted than it asked for."""
        asking = asyncio.create_task(self._ask_again(link, refused), name="broker-subscribe")
        asking.add_done_callback(lambda _: link.has_news.set())
        link.has_news.set()  # what is wanted may have changed while it was asked for
        try:
            while True:
                self._on_progress(PROGRESS_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PROGRESS_S):
                        await link.has_news.wait()
                link.has_news.clear()
                for news in link.take_news():
                    match news:
                        case Delivery():
                            self._on_delivery(news)
                        case Published():
                            self._on_event(news)
                        case Refused():
                            self._note_refusal(news)
                link.send_waiting()
                link.raise_if_ended()
                if self._subscriptions != subscriptions:
                    raise _OtherWishesError("other topics are wanted; connecting anew")
                if asking.done():
                    asking.result()
        finally:
            asking.cancel()

    async def _ask_again(self, link: MqttLink, refused: dict[Subscription, str]) -> None:
        wait_s = RESUBSCRIBE_S_MIN
        while refused:
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RESUBSCRIBE_S_MAX)
            still_refused = await link.ask_for(tuple(refused))
            if still_refused.keys() != refused.keys():
                self._on_event(BrokerUp(_listed(still_refused)))
            refused = still_refused

    def _note_refusal(self, refused: Refused) -> None:
        """What nobody waits for, as state and presence, would otherwise go missing with nobody told."""
        kind = refused.topic.rsplit("/", 1)[-1]
        self.refused_counts[kind] = self.refused_counts.get(kind, 0) + 1
        if kind not in self._refused_types:
            self._refused_types.add(kind)
            self._on_refused(kind, refused.reason)

    def _context(self) -> ssl.SSLContext | None:
        settings = self._settings
        if settings.ca_file is None:
            if not settings.is_unencrypted_network_allowed:
                require_loopback(settings.host)
            return None
        return tls_context(settings.ca_file, settings.certificate_file, settings.key_file)


def _link_type() -> type[MqttLink]:
    """The library is the largest that a first value does not need."""
    from agent.adapters.mqtt_link import MqttLink

    return MqttLink


def _listed(refused: Mapping[Subscription, str]) -> tuple[str, ...]:
    return tuple(f"{wish.topic_filter}: {reason}" for wish, reason in refused.items())
