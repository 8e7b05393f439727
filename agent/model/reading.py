"""A reading: what is known of one VSS path at one time."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

Value = bool | int | float | str


class Quality(StrEnum):
    """How far a reading may be believed (SR-05): only an `ok` reading has a value."""

    OK = "ok"
    STALE = "stale"
    INVALID = "invalid"
    UNKNOWN = "unknown"


# Looked up once, for they are asked for with nearly every reading: to ask an enumeration for one costs ten times as
# much.
OK: Final = Quality.OK
STALE: Final = Quality.STALE
INVALID: Final = Quality.INVALID
UNKNOWN: Final = Quality.UNKNOWN


class Reading(NamedTuple):
    """One VSS path at one time; a tuple, because made for every signal that changes it costs a third of a dataclass.

    `value` is None unless `quality` is ok; `reason` is None when it is.  `at_s` is the boot time of the frame
    the reading comes from (of the finding, where no frame came); `message` names that frame's DBC message, or the poll.
    Reasons: `invalid_marker`, `out_of_range`, `no_meaning` (a value table without an entry), `not_received`,
    `never_received`, `refused` (frames came and failed length, checksum or counter), `unit_unknown`,
    `condition_unknown` and `condition_unmet` (another signal says whether this one counts, and was not seen, or says
    no), `settling` (it has not stood for long enough), `jump` (likewise, after a step that is too large); and of what
    is asked for, those of `decode.answer.Unanswered`, where a reading that grew old or never came has one.
    """

    path: str
    value: Value | None
    unit: str | None
    at_s: float
    quality: Quality
    reason: str | None = None
    message: str = ""


Heard = tuple[tuple[int, ...], Sequence[Reading]]
"""What one believed frame tells: the signals of these groups (numbers in `Profile.groups`) were seen again at its time,
and only of the second member's paths is anything new to be said; all others stand as they were read before."""

NOTHING_HEARD: Heard = ((), ())
