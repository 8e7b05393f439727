"""Believed frames to readings under VSS paths, by the masks and shifts the profile was compiled to.

Most frames on a bus repeat the one before. Such a frame is compared with what is known, under the mask of the wanted
bits, and says no more than that its signals were seen again; of one that differs only the signals whose bits did are
decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.decode.choice import Choice, choices_of
from agent.decode.page import Page
from agent.decode.plain_page import PlainPage, is_plain
from agent.decode.screen import FrameCounts, Screen, Verdict
from agent.model.frame import Frame
from agent.model.reading import NOTHING_HEARD, Heard, Reading
from agent.profiles.schema import MessagePlan, Profile

# An extended id and a standard one of the same number are two ids; this is the kernel's CAN_EFF_FLAG.
_EXTENDED = 0x8000_0000

# Looked up once: to ask an enumeration for a member costs a tenth of decoding a frame.
_BELIEVED = Verdict.BELIEVED


class Decoder:
    """Decodes the frames of all buses of one profile.

    `counts` tells by message what came and what was refused.
    """

    def __init__(self, profile: Profile) -> None:
        self._streams: dict[str, _Stream] = {}
        self._pages: list[Page] = []
        self._by_bus: dict[str, dict[int, _Stream]] = {}
        for plan in profile.messages:
            stream = self._streams[plan.name] = _Stream(plan, first_group=len(self._pages))
            self._pages += stream.pages
            for bus in plan.buses:
                by_key = self._by_bus.setdefault(bus, {})
                by_key[_key(plan.arbitration_id, plan.is_extended_id)] = stream
        self._settling = [page for page in self._pages if page.settles]
        for plan, stream in zip(profile.messages, self._streams.values(), strict=True):
            for choice in stream.choices:
                source = self._by_bus[plan.bus][_key(choice.source.arbitration_id, choice.source.is_extended_id)]
                source.choose(choice)
        self.counts: Mapping[str, FrameCounts] = {name: stream.screen.counts for name, stream in self._streams.items()}

    def hear(self, frame: Frame) -> Heard:
        """What a frame tells; nothing if nobody wants it or it is refused.

        A group heard for the first time, after a silence longer than its tightest freshness, or from a frame older
        than the one before it is told whole, so that what became of it meanwhile does not matter.
        """
        bus, arbitration_id, data, at_s, is_extended_id, _ = frame
        try:
            stream = self._by_bus[bus][arbitration_id | _EXTENDED if is_extended_id else arbitration_id]
        except KeyError:
            return NOTHING_HEARD
        if (page := stream.only) is None:
            return stream.hear(data, at_s)
        if data == page.last and 0.0 <= at_s - page.at_s <= page.freshness_s:
            # The bytes of the last frame, which was believed: known without looking at them.
            page.at_s = at_s
            stream.counts.received += 1
            return stream.unchanged
        if stream.is_checked or len(data) != stream.length_bytes:
            return stream.hear(data, at_s)
        stream.counts.received += 1
        stream.screen.is_refused_last = False
        return page.groups, page.hear(data, at_s)

    def hear_change(self, frame: Frame) -> Heard:
        """As `hear`, of a frame that somebody picked out: those before and after it may have gone by unseen.

        So no counter is compared. Of a message that goes on coming (`goes_on`) it follows the one before, however long
        that is ago.
        """
        bus, arbitration_id, data, at_s, is_extended_id, _ = frame
        try:
            stream = self._by_bus[bus][arbitration_id | _EXTENDED if is_extended_id else arbitration_id]
        except KeyError:
            return NOTHING_HEARD
        page = stream.only
        if page is None or stream.is_checked or len(data) != stream.length_bytes:
            if bus in stream.goes_on_on:
                stream.follow(at_s)
            stream.screen.forget_count()
            heard = stream.hear(data, at_s)
            stream.screen.forget_count()
            return heard
        if at_s - page.at_s > page.freshness_s and bus in stream.goes_on_on:
            page.follow(at_s)
        stream.counts.received += 1
        stream.screen.is_refused_last = False
        return page.groups, page.hear(data, at_s)

    def goes_on(self, message: str, bus: str, *, is_so: bool) -> None:
        """From now on somebody would say if this message stopped on this bus, or nobody would any more."""
        goes_on_on = self._streams[message].goes_on_on
        (goes_on_on.add if is_so else goes_on_on.discard)(bus)

    @property
    def has_unsettled(self) -> bool:
        """Whether a value still has to stand, and is to be looked at again soon."""
        return bool(self._settling) and any(page.is_unsettled for page in self._settling)

    def seen(self, message: str, at_s: float) -> Sequence[Reading]:
        """A frame of this message came at `at_s`, unseen by us, that changed no wanted bit: what has stood by then."""
        return [reading for page in self._streams[message].pages for reading in page.seen(at_s)]

    def readings(self, groups: Iterable[int], at_s: float) -> tuple[Reading, ...]:
        """All that is known of these groups, which were just heard at `at_s`: the changed and the unchanged."""
        return tuple(reading for group in groups for reading in self._pages[group].readings(at_s))

    def receive(self, frame: Frame) -> tuple[Reading, ...]:
        """Readings of all wanted signals in a frame; none if nobody wants the frame or it is refused."""
        groups, _ = self.hear(frame)
        return self.readings(groups, frame.received_at_s)

    def message_of(self, frame: Frame) -> str | None:
        """The DBC message of a frame, None if nobody wants it."""
        stream = self._by_bus.get(frame.bus, _NOTHING).get(_key(frame.arbitration_id, frame.is_extended_id))
        return None if stream is None else stream.message

    def refused_last(self, message: str) -> bool:
        """Whether the newest frame of a message was refused; False before the first one."""
        return self._streams[message].screen.is_refused_last


def _key(arbitration_id: int, is_extended_id: bool) -> int:
    return arbitration_id | _EXTENDED if is_extended_id else arbitration_id


class _Stream:
    """All frames of one message on one bus. `pages` are its groups in their order.

    `only` is the page of a message that has no other and nothing that could make the same bytes mean something else:
    no counter (which would refuse them), nothing chosen by another message, nothing chosen for another.
    """

    def __init__(self, plan: MessagePlan, first_group: int) -> None:
        self.screen = Screen(plan)
        self.counts = self.screen.counts
        self.message = plan.name
        self.length_bytes = plan.length_bytes
        self.is_checked = plan.checksum is not None or plan.counter is not None
        choices = {signal.path: choices_of(signal) for signal in plan.signals}
        self.choices = tuple(choice for chosen in choices.values() for choice in chosen)
        self.pages = tuple(
            (PlainPage if is_plain(group) else Page)(plan, number, group, choices)
            for number, group in enumerate(plan.groups, first_group)
        )
        is_one_page = len(self.pages) == 1 and plan.selector is None and not plan.groups[0][0].selections
        self.only = self.pages[0] if is_one_page and plan.counter is None and not self.choices else None
        self.unchanged: Heard = (tuple(page.group for page in self.pages), ())
        self.goes_on_on: set[str] = set()
        self._choosing: list[Choice] = []
        self._selector = plan.selector
        self._selector_known = plan.selector_known
        self._by_selector: dict[int | None, list[Page]] = {}
        for page in self.pages:
            for value in (None,) if page.selector_values is None else sorted(page.selector_values):
                self._by_selector.setdefault(value, []).append(page)

    def choose(self, choice: Choice) -> None:
        """Frames of this message decide that choice."""
        self._choosing.append(choice)
        self.only = None

    def follow(self, at_s: float) -> None:
        """A frame of `at_s` follows those before it, though we were not told of them."""
        for page in self.pages:
            page.follow(at_s)

    def hear(self, data: bytes, at_s: float) -> Heard:
        if self.screen.judge(data, at_s) is not _BELIEVED:
            for page in self.pages:
                page.last = None
            return NOTHING_HEARD
        if len(data) > self.length_bytes:
            data = data[: self.length_bytes]
        for choice in self._choosing:
            choice.choose(data)
        present = [page for page in self._selected(data) if page.is_in(data)]
        changed = [reading for page in present for reading in page.hear(data, at_s)]
        return tuple(page.group for page in present), changed

    def _selected(self, data: bytes) -> Sequence[Page]:
        pages = self._by_selector.get(None, [])
        if self._selector is None:
            return pages
        selected = self._selector.extract(data)
        if self._selector_known is not None and selected not in self._selector_known:
            self.counts.unknown_selector += 1
        return pages + self._by_selector.get(selected, [])


_NOTHING: Mapping[int, _Stream] = {}
