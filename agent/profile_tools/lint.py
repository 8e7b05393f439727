"""A profile folder looked at harder than `check` does: DBC files line by line, and what a recording never says."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import PurePath

from agent.faults import Fault, toml_line
from agent.profile_tools.coverage import Coverage
from agent.profile_tools.dbc_lint import lint_dbc
from agent.profile_tools.remark import Remark, Severity
from agent.profile_tools.traffic import id_text
from agent.profiles.database import MessageDatabase
from agent.profiles.schema import MessagePlan, Profile, SignalPlan

_NUMBERS = ("float", "int", "uint")


def lint_files(folder: str, files: Mapping[str, bytes]) -> list[Remark]:
    """Remarks on the message databases of a folder: a DBC line by line, the other formats message by message."""
    remarks: list[Remark] = []
    for name, content in files.items():
        source = str(PurePath(folder) / name)
        is_dbc = name.lower().endswith(".dbc")
        remarks += lint_dbc(source, name, content) if is_dbc else _lint_other(source, name, content)
    return remarks


def lint_profile(source: str, text: str, profile: Profile) -> list[Remark]:
    """Remarks on a profile that `check` finds sound."""
    remarks = []
    places = _places(text)
    for message in profile.messages:
        for signal in message.signals:
            if _is_unbounded(signal):
                problem = "neither min nor max nor invalid: whatever the bits hold is told as the truth"
                fault = Fault(
                    source, signal.path, places.get(signal.path, 0), problem, "what the car sends before it knows"
                )
                remarks.append(Remark(Severity.WARNING, fault))
    return remarks


def lint_heard(source: str, text: str, found: Coverage) -> list[Remark]:
    """Remarks on a profile and recordings of its car: ids that are never heard, and those that are something else."""
    places = _places(text)

    def remark(severity: Severity, plan: MessagePlan, problem: str, expected: str) -> Remark:
        key = f"{plan.bus} {id_text(plan.arbitration_id, is_extended_id=plan.is_extended_id)} {plan.name}"
        line = min((places[signal.path] for signal in plan.signals if signal.path in places), default=0)
        return Remark(severity, Fault(source, key, line, problem, expected))

    state = "another id or bus, or a log of that state of the car"
    remarks = [remark(Severity.WARNING, plan, "never heard in the log", state) for plan in found.never_heard()]
    for mismatch in found.mismatches():
        problem = f"mismatch ({mismatch.kind}): {mismatch.problem}"
        remarks.append(remark(Severity.FAULT, mismatch.plan, problem, "frames of this car"))
    return remarks


def _places(text: str) -> dict[str, int]:
    """The line of each signal's path in a profile."""
    signals = tomllib.loads(text).get("signals", [])
    return {table.get("path", ""): toml_line(text, ("signals", index, "path")) for index, table in enumerate(signals)}


def _is_unbounded(signal: SignalPlan) -> bool:
    if signal.choices is not None or not signal.datatype.startswith(_NUMBERS) or signal.field.length == 1:
        return False
    has_limits = signal.minimum is not None or signal.maximum is not None
    return not (has_limits or signal.invalid_raw or signal.invalid_ranges)


def _lint_other(source: str, name: str, content: bytes) -> list[Remark]:
    database = MessageDatabase.load({name: content})
    if isinstance(database, list):
        return [
            Remark(Severity.FAULT, Fault(source, fault.key, fault.line, fault.problem, fault.expected))
            for fault in database
        ]
    return [
        Remark(Severity.FAULT, Fault(source, message, 0, oddity))
        for message in database.messages
        for oddity in database.oddities(message)
    ]
