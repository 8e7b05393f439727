"""What control units say to requests of ISO 14229 (UDS) and ISO 14230 (KWP 2000), in one ISO-TP frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agent.model.frame import Frame, SendRule
from agent.model.quick_dataclass import dataclass

POSITIVE: Final = 0x40
"""What a positive answer adds to the service it answers."""
NEGATIVE: Final = 0x7F
BUSY_REPEAT_REQUEST: Final = 0x21
RESPONSE_PENDING: Final = 0x78
"""Response codes that are no refusals: "ask again", and "wait for it"."""

SESSION_CONTROL: Final = 0x10
TESTER_PRESENT: Final = 0x3E

_CODES: Final[Mapping[int, str]] = {
    0x10: "general_reject",
    0x11: "service_not_supported",
    0x12: "sub_function_not_supported",
    0x13: "wrong_length",
    0x21: "busy_repeat_request",
    0x22: "conditions_not_correct",
    0x24: "request_sequence_error",
    0x31: "request_out_of_range",
    0x33: "security_access_denied",
    0x35: "invalid_key",
    0x72: "general_programming_failure",
    0x78: "response_pending",
    0x7E: "sub_function_not_in_this_session",
    0x7F: "service_not_in_this_session",
    0x80: "service_not_in_this_session",
    0x88: "vehicle_speed_too_high",
}


def code_word(code: int) -> str:
    """The standards' own word for a negative answer's code; its number for one that they leave to the maker."""
    return _CODES.get(code, f"code_{code:02x}")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and how its positive answer begins.

    `address` precedes all that the control unit sends (ISO-TP's extended addressing; else empty).  The answer is waited
    for `answer_s`, and the next request for `pause_s` after it.
    """

    frame: Frame
    response_id: int
    address: bytes
    service: int
    positive: bytes
    answer_s: float
    pause_s: float

    @property
    def acts(self) -> bool:
        """Whether it may move something: a session is opened and held without that."""
        return self.service not in (SESSION_CONTROL, TESTER_PRESENT)

    @property
    def send_rule(self) -> SendRule:
        """To the last bit: there is nothing in the frame that is computed when it is sent (SR-01)."""
        frame = self.frame
        mask = bytes([0xFF]) * len(frame.data)
        return SendRule(frame.bus, frame.arbitration_id, frame.is_extended_id, frame.is_fd, frame.data, mask)

    def is_from_unit(self, frame: Frame) -> bool:
        """Whether this frame may be its answer, by bus and identifier."""
        mine = (self.frame.bus, self.response_id, self.frame.is_extended_id, False)
        return (frame.bus, frame.arbitration_id, frame.is_extended_id, frame.is_fd) == mine
