"""What a check comes to."""

from __future__ import annotations

from enum import StrEnum

from agent.model.quick_dataclass import dataclass


class Verdict(StrEnum):
    """`fault`: the car does not work, or not safely. `unknown`: it could not be found out, and the finding says why."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its name, how it came out, what was found, and what to do (empty: nothing)."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def ok(name: str, found: str) -> Finding:
    return Finding(name, Verdict.OK, found)


def warning(name: str, found: str, advice: str) -> Finding:
    return Finding(name, Verdict.WARNING, found, advice)


def fault(name: str, found: str, advice: str) -> Finding:
    return Finding(name, Verdict.FAULT, found, advice)


def unknown(name: str, why: str, advice: str = "") -> Finding:
    return Finding(name, Verdict.UNKNOWN, why, advice)
