"""A backend in a simulated world: the pure parts of `agent.backend`, joined as `agent.backend.client` joins them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from agent.backend.commands import Conversation, Send, Signer
from agent.backend.outcome import CommandResult
from agent.backend.reception import Ignored, open_hello, open_result
from agent.backend.session import CarSession
from agent.backend.settings import Operator
from agent.command.envelope import Hello, MessageKind, Result
from agent.model.command import Action
from tests.support.pair import CAR
from tests.support.world_broker import Taken
from tests.support.world_keys import THE_CAR

if TYPE_CHECKING:
    from tests.support.world import World

TRIES_MAX: Final = 2
"""How often a person lets the backend repeat one wish that certainly was not carried out."""


@lru_cache(maxsize=512)
def opened_hello(raw: bytes) -> Hello | Ignored:
    """`open_hello`, which is a function of the bytes alone: four stations need not check one signature four times."""
    return open_hello(raw, THE_CAR)


@lru_cache(maxsize=512)
def opened_result(raw: bytes) -> Result | Ignored:
    """`open_result` likewise."""
    return open_result(raw, THE_CAR, 1)


@dataclass(slots=True, eq=False)
class Wish:
    """What a person wants of the car; it may take several commands, of which at most one moves the car."""

    action: Action
    tries: int = 0
    cids: list[bytes] = field(default_factory=list)


class Station:
    """One backend process with a key, a session mapping, and clocks of its own that run a little wrong."""

    def __init__(self, world: World, name: str, operator: Operator) -> None:
        self._world = world
        self.name = name
        self.operator = operator
        self.signer = Signer(operator, CAR)
        self.session = CarSession(operator.kid)
        self.wishes: dict[Conversation, Wish] = {}
        self.due_s = float("inf")
        self.wall_offset_s = 1.7e9 + world.chance.uniform(-0.05, 0.05)
        self._boot_offset_s = world.chance.uniform(0.0, 1e6)
        self._rate = 1.0 + world.chance.uniform(-80e-6, 80e-6)

    def clock_s(self) -> float:
        """This backend's own boot clock."""
        return self._world.now_s * self._rate + self._boot_offset_s

    def wish(self, wish: Wish) -> None:
        """Have the car do something, as `Backend.command` does."""
        wish.tries += 1
        # Now and then a person waits for seconds only; then the command's deadline is as near.
        wait_s = self._world.chance.choice((None, None, None, 6.0, 1.5))
        conversation = Conversation(
            "demo",
            wish.action,
            self.signer,
            self.session,
            draw=self._world.chance.randbytes,
            now_s=self.clock_s(),
            wait_s=wait_s,
        )
        self.wishes[conversation] = wish
        self._world.judge.asked(conversation, wish, wait_s)
        self.advance()

    def receive(self, kind: str, raw: bytes, is_retained: bool) -> None:
        """Everything the broker delivers passes here."""
        world = self._world
        if is_retained:
            return
        if kind == MessageKind.HELLO:
            hello = opened_hello(raw)
            if isinstance(hello, Ignored):
                world.count(f"backend ignored {hello.value} hello")
                return
            before = self.session.mapping(self.clock_s())
            world.judge.changed(hello.sid, before, self.session.receive(hello, self.clock_s()).changes)
            world.mark("hello received", raw, self.name)
            if (mapping := self.session.mapping(self.clock_s())) is not None and mapping is not before:
                world.judge.session_mapped(mapping)
            if hello.nonce is None:
                self.hurry()
        else:
            result = opened_result(raw)
            if isinstance(result, Ignored):
                world.count(f"backend ignored {result.value} result")
                return
            world.mark("result received", raw, self.name)
            if not any(conversation.receive(result, self.clock_s()) for conversation in self.wishes):
                return  # the real one wakes everybody, and nobody finds anything to do
        self.advance()

    def hurry(self) -> None:
        """The car, or the link, has just come back."""
        for conversation in self.wishes:
            conversation.hurry(self.clock_s())
        self.due_s = self._world.now_s
        self._world.note_stations_due()

    def advance(self) -> None:
        """Whatever is due now in all conversations."""
        for conversation in tuple(self.wishes):
            self._advance(conversation)
        now_s = self._world.now_s
        timers_s = (conversation.next_timer() for conversation in self.wishes)
        due_s = min(timers_s, default=float("inf"))
        # The way back through the clock's rate may end a hair too early.
        self.due_s = max((due_s - self._boot_offset_s) / self._rate, now_s + 1e-6)
        self._world.note_stations_due()

    def _advance(self, conversation: Conversation) -> None:
        unix_ms = int((self._world.now_s + self.wall_offset_s) * 1000)
        for step in conversation.advance(self.clock_s(), unix_ms):
            if isinstance(step, Send):
                self._hand_over(conversation, step)
            elif isinstance(step, CommandResult):
                self._end(conversation, step)

    def _hand_over(self, conversation: Conversation, send: Send) -> None:
        world = self._world
        world.mark(f"{self.name} sends {send.kind}", send.raw)
        taken = world.broker.take_from_station(send.kind, send.raw)
        if taken is Taken.NOT_CONNECTED:
            conversation.not_sent(send, self.clock_s())
            return
        if send.kind is MessageKind.CMD:
            world.judge.sent_command(self.wishes[conversation], conversation, send.raw)
        if taken is Taken.NOBODY_THERE:
            conversation.not_heard()

    def _end(self, conversation: Conversation, result: CommandResult) -> None:
        world, wish = self._world, self.wishes.pop(conversation)
        world.mark("answered", repr((result.cid, result.stage, result.reason, result.executed)).encode(), result)
        world.count(f"answer {result.outcome}")
        world.judge.ended(conversation, result)
        world.script.answered()
        if result.may_repeat and wish.tries < TRIES_MAX and not world.is_calm and world.chance.random() < 0.4:
            world.after(world.chance.uniform(0.5, 4.0), self.wish, wish)
