"""What of a bus's frames the event loop is to have: each that counts, and of the other messages the newest.

Most frames repeat what their message said last.  Each is compared with that, under the mask of the wanted bits, before
anything else is done with it.  One that repeats it takes the place of the one before, and every so often the newest is
given like any other frame, so that the age of an unchanged value is right.  One that says something new goes on at
once, or, of a message that is patient, takes that place too and is given the next time the loop looks.  While a
command is under way every frame goes on by itself.

One reader, a thread of its own or not, calls what is marked as its own; the event loop the rest.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from agent.adapters.can_raw import Message
from agent.model.reception import Repeating

if TYPE_CHECKING:
    from agent.adapters.can_conflation import MessageKey
    from agent.adapters.can_source import FrameCounts

# Looked up once: used for nearly every frame.
_bits_of = int.from_bytes

_FORGOTTEN = -1  # no frame's bits


class Known:
    """What the frames of one message said last, and the newest of them, if it has not gone on by itself.

    The reader's own: `content`, `bits` (none of a mask that leaves nothing out), `latest` with its `at_s`, and `count`,
    how many took that place.  The loop's: `told` (the newest it was given from there), `counted`, `due_at_s`.
    """

    __slots__ = (
        *("key", "is_extended_id", "is_patient", "length_bytes", "mask", "every_s"),
        *("content", "bits", "latest", "at_s", "count", "is_news"),
        *("told", "counted", "due_at_s"),
    )

    def __init__(self, repeating: Repeating, *, is_patient: bool) -> None:
        message = repeating.message
        self.key: MessageKey = message.arbitration_id, message.is_extended_id
        self.is_extended_id = message.is_extended_id
        self.is_patient = is_patient
        self.length_bytes = len(repeating.mask)
        self.mask = int.from_bytes(repeating.mask, "little")
        self.every_s = repeating.every_s
        self.content: bytes | bytearray | None = None
        self.bits = _FORGOTTEN
        self.latest: Message | None = None
        self.told: Message | None = None
        self.is_news = False
        self.count = self.counted = 0
        self.at_s = self.due_at_s = 0.0

    def is_said_again(self, data: bytes | bytearray) -> bool:
        """Whether the wanted bits are those of the last frame, though its bytes are not."""
        return _bits_of(data, "little") & self.mask == self.bits and len(data) >= self.length_bytes

    def compare_with(self, data: bytes | bytearray) -> None:
        """This was said last."""
        self.content, self.bits = data, _bits_of(data, "little") & self.mask

    def forget(self) -> None:
        """The next frame says something new, whatever it is."""
        self.content, self.bits = None, _FORGOTTEN


class Sieve:
    """The frames of one bus: data frames with one of the `wanted` ids; of `repeating` messages those that do not.

    `patient` are the ids of which the loop need have only what is newest when it looks; none waits by more than
    `interval_s` longer than it may (0: none waits).
    """

    def __init__(
        self,
        counts: FrameCounts,
        wanted: Collection[MessageKey],
        repeating: Sequence[Repeating] = (),
        patient: Collection[MessageKey] = (),
    ) -> None:
        self._counts = counts
        self._wanted = frozenset(wanted)
        numbers = Counter(number for number, _ in self._wanted)
        found = (Known(each, is_patient=_key(each) in patient) for each in repeating if _key(each) in self._wanted)
        # A number wanted in both formats is passed on always: to tell the two apart would cost with every frame.
        self._all = {each.key[0]: each for each in found if numbers[each.key[0]] == 1}
        self._known: Mapping[int, Known] = self._all
        self._look_at_s = 0.0
        # None is later by more than half its time.
        self.interval_s = 0.5 * min((each.every_s for each in self._all.values()), default=0.0)
        self.is_each_wanted = False
        self.news: deque[Known] = deque()

    # --- the reader's -------------------------------------------------------------------------------------------

    def keeps(self, message: Message, at_s: float) -> bool:
        """Whether a frame that arrived at `at_s` or later need not go on by itself; there may be `news` then."""
        if (known := self._known.get(message.arbitration_id)) is None:
            return False
        data = message.data
        is_said_again = data == known.content or known.is_said_again(data)
        if len(data) != message.dlc or message.is_extended_id is not known.is_extended_id or message.is_error_frame:
            return False
        if not is_said_again:
            if len(data) < known.length_bytes:
                return False  # refused, each by itself: what it says changes nothing, whatever it is given before
            known.compare_with(data)
            if not known.is_patient:
                # Before it goes on: what it has overtaken must not be given after it.
                known.latest = None
                return False
        # In this order: what the loop finds may not be counted yet, but never the other way round.
        known.at_s, known.latest = at_s, message
        known.count += 1
        if not is_said_again and not known.is_news:
            known.is_news = True
            self.news.append(known)
        return True

    def passes(self, message: Message) -> bool:
        """Whether the loop is to have a frame that is not kept; the others are counted."""
        if message.is_error_frame:
            # Whatever is heard after it says more than its content: that the controller is back.
            self.forget()
            return True
        if not message.is_rx:
            return True
        if message.is_remote_frame or (message.arbitration_id, message.is_extended_id) not in self._wanted:
            self._counts.unwanted += 1
            return False
        if len(message.data) != message.dlc:
            self._counts.garbled += 1  # a serial line cut short: the rest of the frame is missing
            return False
        return True

    def forget(self) -> None:
        """Let the next frame of each message say something new."""
        for known in self._all.values():
            known.forget()

    def lost(self, message: Message) -> None:
        """A frame that went on did not arrive: the next one of its message is not compared with it."""
        if (known := self._known.get(message.arbitration_id)) is not None:
            known.forget()

    def resume(self) -> None:
        """All that went on by itself has arrived: if not each frame is wanted any more, keep some from now on."""
        if not self.is_each_wanted and self._known is _NOTHING:
            self.forget()
            self._known = self._all
            if self.is_each_wanted:  # since a moment ago
                self._known = _NOTHING

    # --- the loop's ---------------------------------------------------------------------------------------------

    def want_each(self, *, is_each_wanted: bool) -> None:
        """Whether every frame is to go on by itself from now on."""
        self.is_each_wanted = is_each_wanted
        if is_each_wanted:
            self._known = _NOTHING

    def take_news(self, now_s: float) -> list[tuple[Message, float]]:
        """The newest frame of each message that said something new, with its time."""
        found, news = [], self.news
        while news:
            known = news.popleft()
            known.is_news = False
            latest = known.latest
            if latest is not None and latest is not known.told:
                found.append((latest, known.at_s))
                known.told, known.due_at_s = latest, now_s + known.every_s
                known.counted += 1
        return found

    def due(self, now_s: float, *, is_all: bool) -> Sequence[tuple[Known, Message, float]]:
        """What repetitions are to be given now, or all there are, unless `take_due` finds them overtaken."""
        if now_s < self._look_at_s and not is_all:
            return ()
        self._look_at_s = now_s + self.interval_s
        return [
            (known, latest, known.at_s)
            for known in self._all.values()
            if (is_all or now_s >= known.due_at_s) and (latest := known.latest) is not None and latest is not known.told
        ]

    def take_due(self, due: Sequence[tuple[Known, Message, float]], now_s: float) -> list[tuple[Message, float]]:
        """Of what was `due` what has not been overtaken since, by a frame that may have gone on and not arrived yet."""
        found = [each for each in due if each[0].latest is each[1] is not each[0].told]
        for known, latest, _ in found:
            known.told, known.due_at_s = latest, now_s + known.every_s
            known.counted += 1
        return [(latest, at_s) for _, latest, at_s in found]

    def count_left_out(self, counts: Counter[MessageKey]) -> None:
        """Add the frames that gave way to a newer one since this was asked last."""
        for known in self._all.values():
            new = known.count - known.counted
            if new and (latest := known.latest) is not None and latest is not known.told:
                new -= 1
            if new > 0:
                counts[known.key] += new
                known.counted += new


def _key(repeating: Repeating) -> MessageKey:
    return repeating.message.arbitration_id, repeating.message.is_extended_id


_NOTHING: Mapping[int, Known] = {}
