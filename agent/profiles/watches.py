"""From a profile to what the kernel watches for us, and what needs every frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.model.frame import BitField
from agent.model.reception import MessageId, Repeating, Watch
from agent.model.recipe import Recipe
from agent.profiles.schema import MessagePlan, Profile, SignalPlan

CLASSIC_BYTES, FD_BYTES = 8, 64

MASKS_MAX = 257
"""Kernel limit: 256 frames behind the one with the selector's mask (MAX_NFRAMES of net/can/bcm.c)."""

SELECTOR_BYTES = 8
"""Of a longer frame the kernel compares only these under the selector's mask."""

# A value that changes meanwhile is still known to be fresh when it is asked for at the end of the time-out.
TIMEOUT_SHARE = 0.5

# A page comes with the first frame of it after it was asked for: a period of its own later, which must fit in too.
REFRESH_SHARE = 0.25

REPEATED_S_MAX = 1.0
"""However long a value is fresh: its age is shown."""


def ids_of(message: MessagePlan) -> tuple[MessageId, ...]:
    """The message on each of its buses, its own first."""
    return tuple(MessageId(bus, message.arbitration_id, message.is_extended_id) for bus in message.buses)


def watches(profile: Profile, bus: str) -> tuple[Watch, ...]:
    """What the kernel can watch on `bus`. All other messages of the profile are wanted frame by frame.

    Those are: what the profile marks so; what the agent may send itself, for the kernel would give us our own frames
    too, and no frame of ours may pass for the car's (SR-04); and what has a selector that the kernel cannot follow.
    """
    sent = {MessageId(rule.bus, rule.arbitration_id, rule.is_extended_id) for rule in profile.send_list}
    (silent_after_s,) = (plan.silent_after_s for plan in profile.buses if plan.name == bus)
    found = (
        _watch(plan, message, profile, silent_after_s)
        for plan in profile.messages
        for message in ids_of(plan)
        if message.bus == bus and not plan.is_every_frame and message not in sent
    )
    return tuple(watch for watch in found if watch is not None)


def repeating(profile: Profile, bus: str) -> tuple[Repeating, ...]:
    """The messages on `bus` of which a frame that repeats the wanted bits of the last says nothing but that it came.

    Not those whose frames count one by one: with a counter, a checksum (each that is wrong is counted) or pages, of
    which each frame is wanted, whose values have to stand, or mean something by another message, or for another.
    """
    (silent_after_s,) = (plan.silent_after_s for plan in profile.buses if plan.name == bus)
    sent = {MessageId(rule.bus, rule.arbitration_id, rule.is_extended_id) for rule in profile.send_list}
    choosing = {
        MessageId(plan.bus, choice.arbitration_id, choice.is_extended_id)
        for plan in profile.messages
        for signal in plan.signals
        for choice in signal.chosen_by
    }
    return tuple(
        Repeating(
            message,
            wanted_mask(plan, plan.signals)[: plan.length_bytes],
            min(REPEATED_S_MAX, REFRESH_SHARE * min([silent_after_s, *(each.freshness_s for each in plan.signals)])),
        )
        for plan in profile.messages
        for message in ids_of(plan)
        if message.bus == bus and message not in sent and ids_of(plan)[0] not in choosing and _is_plain(plan)
    )


def _is_plain(plan: MessagePlan) -> bool:
    is_checked = plan.counter is not None or plan.checksum is not None
    return not (is_checked or plan.is_every_frame or plan.selector is not None) and not any(
        signal.selections or signal.settle or signal.chosen_by for signal in plan.signals
    )


def attended(profile: Profile, recipe: Recipe) -> tuple[MessageId, ...]:
    """The messages a command is judged by: of its preconditions and feedback, and those that these depend on."""
    paths = decisive_paths(profile, recipe)
    messages: dict[MessageId, None] = {}
    for plan in profile.messages:
        for signal in plan.signals:
            if signal.path in paths:
                messages |= dict.fromkeys(ids_of(plan))
                for choice in signal.chosen_by:
                    messages |= dict.fromkeys(
                        MessageId(bus, choice.arbitration_id, choice.is_extended_id) for bus in plan.buses
                    )
    return tuple(messages)


def wanted_mask(plan: MessagePlan, signals: Iterable[SignalPlan], fields: Iterable[BitField] = ()) -> bytes:
    """The bits of these signals, and of the multiplexers that decide about them; counters and checksums are not in it.

    As long as a whole payload of the message's kind.
    """
    mask = 0
    for signal in signals:
        mask |= signal.field.mask
        for selection in signal.selections:
            mask |= selection.field.mask
    for field in fields:
        mask |= field.mask
    return mask.to_bytes(_size_bytes(plan), "little")


def _watch(plan: MessagePlan, watched: MessageId, profile: Profile, silent_after_s: float) -> Watch | None:
    """None if the kernel cannot watch the message."""
    if plan.length_bytes > _size_bytes(plan):
        return None
    dependent = list(_choosing(plan, profile))
    chooser_fields = [field for _, field in dependent]
    # What chooses within its own message has changed with the frame that is given.
    units_of = tuple(dict.fromkeys(message for message, _ in dependent if message != watched))
    # A bus whose only message is slow must not seem asleep between two proofs that it is not.
    limit_s = min([silent_after_s, *(signal.freshness_s for signal in plan.signals)])
    if plan.selector is not None:
        # What is there under several values of the selector, or chooses under all of them, would have to be
        # compared with the frame before, and the kernel compares with the one before under the same value.
        masks = None if dependent else _page_masks(plan, plan.selector)
        if masks is None:
            return None
        return Watch(watched, plan.is_fd, masks, 0.0, refresh_s=REFRESH_SHARE * limit_s)
    if any(signal.selections for signal in plan.signals):
        return None
    timeout_s = TIMEOUT_SHARE * limit_s
    throttle_s = 0.0 if dependent else min(_throttle_s(plan, profile), timeout_s)
    mask = wanted_mask(plan, plan.signals, chooser_fields)
    return Watch(watched, plan.is_fd, (mask,), timeout_s, throttle_s, units_of=units_of)


def _size_bytes(plan: MessagePlan) -> int:
    return FD_BYTES if plan.is_fd else CLASSIC_BYTES


def _page_masks(plan: MessagePlan, selector: BitField) -> tuple[bytes, ...] | None:
    """The selector's bits, then a mask for each of its values under which something is wanted; None if the kernel
    cannot follow them."""
    pages: dict[int, list[SignalPlan]] = {}
    for signal in plan.signals:
        if signal.selector_values is None or len(signal.selector_values) != 1:
            return None
        (value,) = signal.selector_values
        pages.setdefault(value, []).append(signal)
    if len(pages) >= MASKS_MAX or selector.mask >> 8 * SELECTOR_BYTES:
        return None
    selector_mask = selector.mask.to_bytes(_size_bytes(plan), "little")
    masks = [selector_mask]
    for value, signals in pages.items():
        wanted = wanted_mask(plan, signals)
        masks.append(selector.insert(bytes(a & ~b for a, b in zip(wanted, selector_mask, strict=True)), value))
    return tuple(masks)


def _choosing(plan: MessagePlan, profile: Profile) -> Iterator[tuple[MessageId, BitField]]:
    """Messages with a signal whose unit or validity a signal of this one chooses, and the field that does."""
    for other in profile.messages:
        for signal in other.signals:
            for choice in signal.chosen_by:
                if ids_of(plan)[0] == MessageId(other.bus, choice.arbitration_id, choice.is_extended_id):
                    yield from ((each, choice.field) for each in ids_of(other))


def _throttle_s(plan: MessagePlan, profile: Profile) -> float:
    """How long changes may be gathered: of what is told no oftener, is no event, and is no part of a decision.

    And of what does not have to stand: gathered, what comes and goes could look as if it stood.
    """
    decisive = {path for condition in profile.return_conditions for path in profile.sources_of(condition.path)}
    decisive.update(*(decisive_paths(profile, recipe) for recipe in profile.recipes.values()))
    # A derived state that is an event is one as soon as an input of it changes.
    decisive.update(*(derived.inputs for derived in profile.derived if derived.report.is_event))
    if any(signal.report.is_event or signal.settle or signal.path in decisive for signal in plan.signals):
        return 0.0
    least_s = (
        min([signal.report.interval_s_min, *(pace.interval_s_min for pace in signal.report.paces.values())])
        for signal in plan.signals
    )
    return min(least_s, default=0.0)


def decisive_paths(profile: Profile, recipe: Recipe) -> set[str]:
    """What a command is judged by, derived states as their inputs."""
    asked = [*(each.path for each in recipe.preconditions), *(each.path for each in recipe.feedback)]
    return {source for path in asked for source in profile.sources_of(path)}
