"""The engine as a stranger meets it: whatever bytes he sends, it must be none the worse (hazards, part A)."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from agent.command.envelope import MessageKind, encode_ping, seal
from agent.config import Config, parse_config
from agent.engine import Engine
from agent.model.effects import Acknowledge, Effect, Log, Notify, Persist, Publish
from agent.model.events import BrokerUp, Delivery, Published, Stored
from agent.model.records import Recovered
from tests.support import pair
from tests.support.envelopes import CAR, COMMAND_KEY, COMMAND_KID, KEYS, OPERATOR, PING, VEHICLE_KEY

MEMORY_GROWTH_BYTES_MAX = 1_000_000
APART_S = 0.1
"""Between two deliveries: half the rate at which the bucket would drop them unread."""

EVENT_FIELDS = {"v", "kind", "seq", "sid", "session_ms", "time_unix_s", "clock_trust", "count"} | {"problem", "detail"}
"""All that is ever told of bytes nobody signed: how many there were, and the word for what was wrong with the last."""


class AttackedAgent:
    """One running engine with the keys of `tests.support.envelopes`, in a session that none of its commands is for."""

    def __init__(self) -> None:
        profile, _ = pair.vehicle()
        config = parse_config(pair.CONFIG_TEXT.replace(pair.CAR.hex(), CAR.hex()), source="agent.toml")
        assert isinstance(config, Config), config
        self.now_s = 1000.0
        self.events = 0
        """How often the operator was told of malformed messages."""
        self._deliveries = 0
        self._engine = Engine(
            profile,
            config,
            Recovered(b"store--1"),
            sid=b"anothers",
            vehicle_key=VEHICLE_KEY,
            keys=KEYS,
            now_s=self.now_s,
        )
        self._engine.receive_link(BrokerUp(), self.now_s)
        self._perform()

    def drops(self, raw: bytes, kind: MessageKind = MessageKind.CMD) -> bool:
        """Whether a delivery is dropped. AssertionError if it then does anything but count it and acknowledge it."""
        dropped = self._dropped()
        effects = self._deliver(kind, raw)
        if (more := self._dropped() - dropped) == 0:
            return False
        assert more == 1
        assert effects.count(Acknowledge(self._deliveries)) == 1
        for effect in effects:
            assert isinstance(effect, Acknowledge | Persist | Publish | Log), "a drop sends nothing"
            if isinstance(effect, Log):  # with the event, so once an hour too
                assert effect.event == "link_problem" and effect.fields["problem"] == "deliveries_dropped", effect
            if isinstance(effect, Publish):
                assert effect.topic.endswith("/evt"), "a drop is not answered"
                told = json.loads(effect.payload)
                assert told.keys() == EVENT_FIELDS and told["problem"] == "deliveries_dropped", told
                self.events += 1
        return True

    def is_well(self) -> bool:
        """Whether it goes on with time and answers who may ask: what the watchdog is fed for."""
        self.now_s += 1.0
        self._engine.handle_timer(self.now_s)
        self._perform()
        ping = seal(MessageKind.PING, encode_ping(PING), COMMAND_KEY, COMMAND_KID)
        answers = [effect for effect in self._deliver(MessageKind.PING, ping) if isinstance(effect, Publish)]
        is_answered = [answer.topic.rpartition("/")[2] for answer in answers] == ["hello"]
        return is_answered and math.isfinite(self._engine.next_timer())

    def _deliver(self, kind: MessageKind, raw: bytes) -> list[Effect]:
        self.now_s += APART_S
        self._deliveries += 1
        topic = f"v1/{OPERATOR}/{CAR.hex()}/{kind}"
        self._engine.receive_delivery(Delivery(topic, raw, False, self._deliveries), self.now_s)
        return self._perform()

    def _perform(self) -> list[Effect]:
        """Perform what waits, in order, as `app.py` does."""
        performed = []
        while (effect := self._engine.next_effect()) is not None:
            performed.append(effect)
            match effect:
                case Persist(token=token):
                    self._engine.receive_link(Stored(token), self.now_s)
                case Publish(topic, payload, token=int(token)):
                    self._engine.receive_link(Published(token, None), self.now_s)
                    if topic.endswith("/echo"):
                        self._deliveries += 1
                        self._engine.receive_delivery(Delivery(topic, payload, False, self._deliveries), self.now_s)
                case Publish() | Acknowledge() | Log() | Notify():
                    pass
                case other:
                    raise AssertionError(f"{other}: nobody may make the engine do this")
        return performed

    def _dropped(self) -> int:
        return self._engine._commanding.dropped.total()


@cache
def agent() -> AttackedAgent:
    """The one that all hostile bytes of a test process are sent to."""
    return AttackedAgent()


@contextmanager
def none_the_worse() -> Iterator[None]:
    """What every hazard asks for besides: memory within its bound, at the worst moment too, and an agent that lives.

    That no exception escapes shows by itself: the bytes go straight into the engine.
    """
    assert agent().is_well()
    tracemalloc.start()
    try:
        yield
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < MEMORY_GROWTH_BYTES_MAX
    assert agent().is_well()
