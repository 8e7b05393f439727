"""What the kernel picks out, and says to go on or to have stopped, comes to the same state as reading every frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hypothesis import given
from hypothesis import strategies as st

from agent.decode.decoder import Decoder
from agent.model.frame import Frame
from agent.model.reading import Quality
from agent.model.reception import GoesOn, MessageId, WatchNews
from agent.observing import Observing
from agent.profiles.schema import Profile
from agent.profiles.watches import watches
from agent.state.tracker import Tracker
from tests.property.test_heard import PAYLOADS, PROFILES

FRESHNESS_S = {
    profile.name + str(number): {
        signal.path: signal.freshness_s for message in profile.messages for signal in message.signals
    }
    for number, profile in enumerate(PROFILES)
}
SETTLING = ("settling", "jump")


@st.composite
def kernel_traffic(draw: st.DrawFn) -> list[Frame]:
    """Motion and lock in turn, each as it is for some frames before it changes."""
    at_s, frames = 20.0, []
    motion, lock = PAYLOADS[0], PAYLOADS[-1]
    flips = {motion: (0, 1 << 13, 1 << 20, 1 << 34), lock: (0, 1 << 8, 1 << 9, 1 << 21)}
    for _ in range(draw(st.integers(1, 8))):
        message = draw(st.sampled_from((motion, lock)))
        arbitration_id, is_extended, payload = message
        data = (int.from_bytes(payload) ^ draw(st.sampled_from(flips[message]))).to_bytes(len(payload))
        step_s = draw(st.sampled_from((0.1, 0.1, 0.1, 0.2, 0.6, 2.0)))
        is_cut_short = draw(st.sampled_from((False, False, False, True)))
        for _ in range(draw(st.integers(1, 12))):
            at_s += step_s
            frames.append(Frame("body", arbitration_id, data[:-1] if is_cut_short else data, at_s, is_extended))
    return frames


class _Kernel:
    """The broadcast manager: changes of wanted bits, and all it cannot watch; who has not come for its time-out."""

    def __init__(self, profile: Profile) -> None:
        self._watches = {watch.message: watch for watch in watches(profile, "body")}
        self._last: dict[MessageId, tuple[float, tuple[int, int]]] = {}
        self._silent: list[MessageId] = []
        self._changes: list[Frame] = []
        self._afresh: list[MessageId] = []

    def hear(self, frame: Frame) -> None:
        """A frame is on the bus, and time has gone on to it."""
        at_s = frame.received_at_s
        self.time(at_s)
        message = MessageId(frame.bus, frame.arbitration_id, frame.is_extended_id)
        watch = self._watches.get(message)
        if watch is None or len(watch.masks) > 1:
            self._changes.append(frame)
            return
        # Another length is a change too.
        wanted = len(frame.data), int.from_bytes(frame.data) & int.from_bytes(watch.masks[0][: len(frame.data)])
        before = self._last.get(message)
        self._last[message] = at_s, wanted
        if before is None or wanted != before[1]:
            self._changes.append(frame)
            self._afresh += watch.units_of

    def watch_afresh(self, messages: Iterable[MessageId]) -> WatchNews:
        """Begin anew with these, and with those whose units the changes last told may have changed."""
        silent = [*messages, *self._afresh]
        self._afresh = []
        for message in silent:
            self._last.pop(message, None)
        return WatchNews("body", silent)

    def time(self, now_s: float) -> None:
        for message, (at_s, _) in list(self._last.items()):
            if now_s - at_s > self._watches[message].timeout_s:
                del self._last[message]
                self._silent.append(message)

    def news(self, now_s: float) -> WatchNews:
        """All that is told by now."""
        self.time(now_s)
        silent, changes, self._silent, self._changes = self._silent, self._changes, [], []
        live = [GoesOn(message, self._watches[message].timeout_s) for message in self._last]
        return WatchNews("body", silent, now_s, changes, live)


def looks(frames: list[Frame], gathered: list[int], kernel: _Kernel) -> Iterator[tuple[list[Frame], float, WatchNews]]:
    """The frames taken together, when they are, and what the kernel says by then."""
    numbers = iter(gathered * len(frames))
    while frames:
        taken, frames = frames[: (count := next(numbers))], frames[count:]
        for frame in taken:
            kernel.hear(frame)
        now_s = taken[-1].received_at_s + (0.05 if count > 1 else 0.0)
        yield taken, now_s, kernel.news(now_s)


@given(
    st.integers(0, len(PROFILES) - 1),
    kernel_traffic(),
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.sampled_from((0.0, 0.1, 0.4, 3.0)),
)
def test_what_goes_on_is_as_fresh_as_if_it_were_read_and_what_stopped_is_not_sr_05(
    number: int, frames: list[Frame], gathered: list[int], later_s: float
) -> None:
    """No value lives longer for it, none is another, and one whose message is there is not missed."""
    profile = PROFILES[number]
    freshness_s = FRESHNESS_S[profile.name + str(number)]
    observing, kernel = Observing(profile), _Kernel(profile)
    decoder, whole = Decoder(profile), Tracker(profile)
    for taken, taken_at_s, news in looks(frames, gathered, kernel):
        for frame in taken:
            whole.fold(decoder.receive(frame))
        _, refused = observing.receive_watched(news, lambda readings, at_s: None, taken_at_s)
        names = [MessageId(each.bus, each.arbitration_id, each.is_extended_id) for each in refused]
        observing.receive_watched(kernel.watch_afresh(names), lambda readings, at_s: None, taken_at_s)
        for now_s in (taken_at_s, taken_at_s + later_s):
            ours, theirs = observing.tracker.snapshot(now_s), whole.snapshot(now_s)
            for path, fresh_s in freshness_s.items():
                mine, true = ours[path], theirs[path]
                assert mine.quality is Quality.UNKNOWN or mine.at_s <= true.at_s
                if mine.quality is Quality.OK:
                    assert (true.quality, true.value) == (Quality.OK, mine.value)
                elif true.quality is Quality.OK and now_s - true.at_s < 0.4 * fresh_s:
                    assert mine.reason in SETTLING
