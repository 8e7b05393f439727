"""Everything between this backend and one car: its topics, its session, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from agent.backend.commands import Conversation, Send, Signer
from agent.backend.connection import NotConnectedError, RefusedError, Subscription
from agent.backend.session import CarSession
from agent.backend.settings import Car, Settings
from agent.command.envelope import Hello
from agent.errors import LinkError
from agent.uplink.wire import Topics


class CarLine:
    """`conversations` are the commands under way, each with the event that wakes who awaits it; `pings` by nonce."""

    def __init__(self, car: Car, settings: Settings) -> None:
        operator = settings.operator
        topics = Topics(car.id)
        self.car = car
        self.signer = Signer(operator, car.id)
        self.session = CarSession(operator.kid)
        self.conversations: dict[Conversation, asyncio.Event] = {}
        self.pings: dict[bytes, asyncio.Future[Hello]] = {}
        self.watch_count = 0
        self._topics = topics
        self._operator_number = operator.number
        self.answer_topics = tuple(Subscription(self.topic(kind), is_retained=False) for kind in ("hello", "res"))
        self.telemetry_topics = (
            Subscription(topics.presence, is_retained=True),
            Subscription(self.topic("state"), is_retained=True),
            Subscription(self.topic("evt"), is_retained=False),
        )

    def topic(self, kind: str) -> str:
        return self._topics.of(self._operator_number, kind)

    def routes(self) -> Iterable[tuple[str, str]]:
        """Each topic that this car publishes on, and its last level."""
        return ((one.topic, one.topic.rpartition("/")[2]) for one in (*self.answer_topics, *self.telemetry_topics))

    def hurry(self, now_s: float) -> None:
        for conversation in self.conversations:
            conversation.hurry(now_s)

    def wake(self) -> None:
        for event in self.conversations.values():
            event.set()


def settle(conversation: Conversation, send: Send, outcome: bool | LinkError, now_s: float) -> None:
    """Tell the conversation what became of a `Send`; raises a refusal that leaves nothing else to hope for."""
    if outcome is False:
        conversation.not_heard()
    elif isinstance(outcome, NotConnectedError | RefusedError):
        conversation.not_sent(send, now_s)
        if isinstance(outcome, RefusedError) and not conversation.has_left:
            raise outcome
    # Any other error is a missing PUBACK: it may have been delivered, and the answer or the next resend will tell.
