"""One remark of `profile lint`: a fault in a file, or something a person should look at."""

from __future__ import annotations

from enum import StrEnum

from agent.faults import Fault
from agent.model.quick_dataclass import dataclass


class Severity(StrEnum):
    """A fault makes something of the profile wrong or lost; a warning may be meant so."""

    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Remark:
    severity: Severity
    fault: Fault

    def __str__(self) -> str:
        return f"{self.severity}: {self.fault}"

    def as_document(self) -> dict[str, object]:
        """For a program: severity, file, line, key, problem, expected."""
        fault = self.fault
        return {
            "severity": self.severity.value,
            "file": fault.source,
            "line": fault.line,
            "key": fault.key,
            "problem": fault.problem,
            "expected": fault.expected,
        }
