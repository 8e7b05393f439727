"""A conversation of the backend and the scripted car over an imagined link, in virtual time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.backend.commands import Conversation, Send, Signer
from agent.backend.outcome import CommandResult, Progress, Step
from agent.backend.reception import Ignored, open_hello, open_result
from agent.backend.session import CarSession
from agent.command.envelope import MessageKind
from agent.model.command import Action
from tests.support.scripted_car import CAR, OPERATOR, Answer, ScriptedCar

UNIX_MS = 1_800_000_000_000


def counting_draw() -> Callable[[int], bytes]:
    """Nonces and ids that differ, and are the same in every run."""
    numbers = itertools.count(1)
    return lambda length: next(numbers).to_bytes(length, "big")


@dataclass(slots=True)
class Meeting:
    """Both ends and the link between them. `delay_s` is one way; `loses(number, send)` drops a send, from 1."""

    car: ScriptedCar
    delay_s: float = 0.05
    loses: Callable[[int, Send], bool] = lambda number, send: False
    is_link_down: Callable[[float], bool] = lambda now_s: False
    now_s: float = 1000.0
    sends: list[tuple[float, Send]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    session: CarSession = field(default_factory=lambda: CarSession(OPERATOR.kid))
    draw: Callable[[int], bytes] = field(default_factory=counting_draw)
    _arrivals: list[tuple[float, int, Answer | Send]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def hold(self, action: Action = Action.UNLOCK, *, wait_s: float | None = None) -> CommandResult:
        """Run one conversation to its end."""
        conversation = Conversation(
            CAR.name, action, Signer(OPERATOR, CAR.id), self.session, draw=self.draw, now_s=self.now_s, wait_s=wait_s
        )
        for _ in range(1000):
            for step in conversation.advance(self.now_s, UNIX_MS + int(self.now_s * 1000)):
                if isinstance(step, CommandResult):
                    return step
                if isinstance(step, Progress):
                    self.steps.append(step.step)
                elif self.is_link_down(self.now_s):
                    conversation.not_sent(step, self.now_s)
                else:
                    self._transmit(step)
            due_at_s = conversation.next_timer()
            assert due_at_s > self.now_s, "a timer that is due already would spin"
            if self._arrivals and self._arrivals[0][0] < due_at_s:
                due_at_s, _, arrival = heapq.heappop(self._arrivals)
                self.pass_time(due_at_s)
                self.arrive(arrival, conversation)
            else:
                self.pass_time(due_at_s)
        raise AssertionError("the conversation does not end")

    @property
    def commands_sent(self) -> list[tuple[float, bytes]]:
        """When, and which bytes."""
        return [(at_s, send.raw) for at_s, send in self.sends if send.kind is MessageKind.CMD]

    @property
    def pings_sent(self) -> list[float]:
        return [at_s for at_s, send in self.sends if send.kind is MessageKind.PING]

    def later(self, delay_s: float, arrival: Answer | Send) -> None:
        heapq.heappush(self._arrivals, (self.now_s + delay_s, next(self._order), arrival))

    def _transmit(self, send: Send) -> None:
        self.sends.append((self.now_s, send))
        if not self.loses(len(self.sends), send):
            self.later(self.delay_s, send)

    def arrive(self, arrival: Answer | Send, conversation: Conversation) -> None:
        if isinstance(arrival, Send):
            for answer in self.car.receive(arrival.kind, arrival.raw):
                self.later(self.delay_s, answer)
            return
        kind, raw = arrival
        if kind is MessageKind.HELLO:
            hello = open_hello(raw, CAR)
            if isinstance(hello, Ignored):
                self.ignored.append(hello)
            elif not self.session.receive(hello, self.now_s).answered:
                self.ignored.append(Ignored.UNASKED)
            return
        result = open_result(raw, CAR, OPERATOR.number)
        if isinstance(result, Ignored):
            self.ignored.append(result)
        elif not conversation.receive(result, self.now_s):
            self.ignored.append(Ignored.UNASKED)

    def pass_time(self, to_s: float) -> None:
        self.car.session_ms += int((to_s - self.now_s) * 1000)
        self.now_s = to_s
