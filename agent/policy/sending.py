"""The first of two checks of what may be sent (SR-01): the engine's, by the profile's send list.

The second is the adapter's own, of CAN or of relays, written without knowledge of this one, so that no single fault
opens both.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.frame import Frame, SendRule
from agent.model.pulse import Pulse


def may_be_asked(asked: Frame | Pulse, rules: Iterable[SendRule], pulses: Iterable[Pulse]) -> bool:
    """Whether exactly this frame, or exactly this pulse with its line and its times, is on the profile's send list."""
    return asked in pulses if isinstance(asked, Pulse) else is_on_send_list(asked, rules)


def is_on_send_list(frame: Frame, rules: Iterable[SendRule]) -> bool:
    """Whether some rule allows exactly this frame; no rule, no frame."""
    return any(_allows(rule, frame) for rule in rules)


def _allows(rule: SendRule, frame: Frame) -> bool:
    return (
        frame.bus == rule.bus
        and frame.arbitration_id == rule.arbitration_id
        and frame.is_extended_id == rule.is_extended_id
        and frame.is_fd == rule.is_fd
        and len(frame.data) == len(rule.value) == len(rule.mask)
        and all(
            byte & mask == value & mask for byte, value, mask in zip(frame.data, rule.value, rule.mask, strict=True)
        )
    )
