"""SR-05 in a simulated world: what the agent tells is held against what the car truly sent, and when."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.model.command import Evidence
from agent.model.frame import Frame
from agent.model.reading import Quality, Value
from tests.support.pair import vehicle
from tests.support.world_car import DERIVED, Truth, is_true, remembered_messages
from tests.support.world_trace import BrokenRuleError

# Documents and results give times in whole milliseconds.
ROUNDING_S: Final = 0.0021

# A frame of a rolling counter that jumped may have been refused, and the one after it too.
NEWEST_MAX: Final = 3

# A minute of the busiest message.
REMEMBERED_MAX: Final = 600

SPEED: Final = "Vehicle.Speed"
LOCKED: Final = "Vehicle.Carshare.CentralLock.IsLocked"
DRIVE_ENABLED: Final = "Vehicle.Carshare.IsDriveEnabled"
IGNITION: Final = "Vehicle.LowVoltageSystemState"

# MotionStatus, LockStatus and DriveStatus have a rolling counter in the low half of their second byte; after so long
# any number is a new beginning.
_COUNTER_RESET_S: Final = {0x130: 0.5, 0x1F1: 0.5, 0x1F3: 1.0}


@dataclass(frozen=True, slots=True)
class Heard:
    """One frame that reached the agent, sent at `at_s` and taken in at `heard_at_s`."""

    heard_at_s: float
    at_s: float
    truth: Truth


class Truths:
    """Every believable frame that reached the agent lately, by the first path of its page."""

    def __init__(self) -> None:
        profile, _ = vehicle()
        self._freshness_s = {
            signal.path: signal.freshness_s for message in profile.messages for signal in message.signals
        }
        self._freshness_s |= {
            path: min(self._freshness_s[each] for each in inputs) for path, (inputs, _) in DERIVED.items()
        }
        self._messages = remembered_messages()
        self._pages: dict[str, str] = {}
        self._log: dict[str, deque[Heard]] = {}
        self._counters: dict[int, tuple[int, float]] = {}
        self.stood_at_s = float("-inf")
        self.off_at_s = float("-inf")
        """When the newest word on the ignition was sent, if it was "off"."""
        self.checked = 0

    def started(self) -> None:
        """A new process knows no last counter."""
        self._counters.clear()

    def heard(self, frame: Frame, now_s: float) -> Heard | None:
        """A frame reaches the engine; returns it if it is to be believed."""
        truth = self._messages.truth(frame)
        if truth is None:
            return None
        if (reset_s := _COUNTER_RESET_S.get(frame.arbitration_id)) is not None:
            counter = frame.data[1] & 0xF
            last = self._counters.get(frame.arbitration_id)
            self._counters[frame.arbitration_id] = counter, frame.received_at_s
            if last is not None and last[0] == counter and frame.received_at_s - last[1] < reset_s:
                return None  # the same number twice: a frozen sender
        page = next(iter(truth))
        log = self._log.get(page)
        if log is None:
            log = self._log[page] = deque(maxlen=REMEMBERED_MAX)
            self._pages.update(dict.fromkeys(truth, page))
        heard = Heard(now_s, frame.received_at_s, truth)
        log.append(heard)
        if page == SPEED and truth[SPEED] == 0.0:
            self.stood_at_s = frame.received_at_s
        elif IGNITION in truth:
            self.off_at_s = frame.received_at_s if truth[IGNITION] == "OFF" else float("-inf")
        return heard

    def check_document(self, payload: bytes, started_s: float) -> None:
        """A `state` or `evt` document of the session that began at `started_s`."""
        document: dict[str, Any] = json.loads(payload)
        readings = document.get("readings", {})
        now_s = started_s + document["session_ms"] / 1000
        rows: Iterable[tuple[str, Mapping[str, Any]]] = (
            readings.items() if isinstance(readings, dict) else ((row["path"], row) for row in readings)
        )
        is_history = document["kind"] == "event"
        for path, row in rows:
            if row["quality"] == "ok" and is_history:
                self._check_history(path, row["value"], now_s - row["age_s"])
            elif row["quality"] == "ok":
                self._check(path, row["value"], now_s - row["age_s"], now_s)
            elif row["value"] is not None:
                raise BrokenRuleError(f"SR-05: {path} is {row['quality']} and has the value {row['value']}")

    def _check(self, path: str, value: Value, at_s: float, now_s: float) -> None:
        """`value` was the newest the car had sent, `at_s`, and fresh enough to be told at `now_s`."""
        self.checked += 1
        if now_s - at_s <= self._freshness_s[path] + ROUNDING_S:
            seen = 0
            for heard in reversed(self._log.get(self._pages.get(path, ""), ())):
                if heard.heard_at_s > now_s + ROUNDING_S:
                    continue
                if abs(heard.at_s - at_s) <= ROUNDING_S and is_true(path, value, heard.truth[path]):
                    return
                # What was heard in the very millisecond may have come before or after.
                seen += heard.heard_at_s < now_s - ROUNDING_S
                if seen >= NEWEST_MAX:
                    break
        raise BrokenRuleError(f"SR-05: {path} = {value} of {at_s:.3f} told at {now_s:.3f}; {self._last_words(path)}")

    def _check_history(self, path: str, value: Value, at_s: float) -> None:
        """An event tells what happened `at_s`, perhaps long ago; it was fresh when the agent learned of it."""
        self.checked += 1
        log = self._log.get(self._pages.get(path, ""), deque())
        if not any(
            abs(heard.at_s - at_s) <= ROUNDING_S
            and heard.heard_at_s - heard.at_s <= self._freshness_s[path] + ROUNDING_S
            and is_true(path, value, heard.truth[path])
            for heard in reversed(log)
        ):
            raise BrokenRuleError(f"SR-05: event {path} = {value} of {at_s:.3f}; {self._last_words(path)}")

    def check_evidence(self, pieces: Iterable[Evidence], now_s: float) -> None:
        """Evidence of a result made at `now_s`: true when its frame was sent, however long ago."""
        for piece in pieces:
            if piece.quality is not Quality.OK:
                if piece.value is not None:
                    raise BrokenRuleError(f"SR-05: evidence {piece}")
                continue
            self.checked += 1
            at_s = now_s - piece.age_ms / 1000
            log = self._log.get(self._pages.get(piece.path, ""), deque())
            if log and len(log) == REMEMBERED_MAX and at_s < log[0].at_s:
                continue
            if not any(
                abs(heard.at_s - at_s) <= ROUNDING_S and is_true(piece.path, piece.value, heard.truth[piece.path])
                for heard in reversed(log)
            ):
                raise BrokenRuleError(f"SR-05: evidence {piece} at {now_s:.3f}; {self._last_words(piece.path)}")

    def _last_words(self, path: str) -> str:
        log = list(self._log.get(self._pages.get(path, ""), ()))[-5:]
        return "the car said " + ", ".join(f"{heard.truth[path]} at {heard.at_s:.3f}" for heard in log)
