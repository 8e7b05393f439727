"""What is to be said of numbers that did not come in their turn: for a program, and for a person."""

from __future__ import annotations

from agent.backend.completeness import GivenUp, Missing, NewStore, Notice, Numbered
from agent.backend.numbering import Arrival


def notice_document(notice: Notice, received_at_unix_s: float) -> dict[str, object] | None:
    """One line of `watch --json`; None for a record that came in its turn, which is told by itself."""
    document: dict[str, object] = {"received_at_unix_s": round(received_at_unix_s, 3)}
    match notice:
        case Missing(car, first, last, is_unsure):
            return {**document, "type": "missing", "car": car, "first": first, "last": last, "is_unsure": is_unsure}
        case GivenUp(car, first, last, was_missing):
            fate = {"first": first, "last": last, "was_missing": was_missing}
            return {**document, "type": "given_up", "car": car, **fate}
        case NewStore(car, first):
            return {**document, "type": "new_store", "car": car, "first": first}
        case Numbered(record, Arrival.AFTER_ALL):
            return {**document, "type": "after_all", "car": record.heading.car, "sequence": record.sequence}
        case Numbered():
            return None


def notice_words(notice: Notice) -> str | None:
    """The same for a person."""
    match notice:
        case Missing(car, first, last, is_unsure):
            doubt = "; some may have been given up by the car" if is_unsure else ""
            return f"{car} {_records(first, last)} MISSING so far{doubt}"
        case GivenUp(car, first, last, was_missing):
            withdrawn = "; they are not missing" if was_missing else ""
            return f"{car} {_records(first, last)} given up by the car, or never any{withdrawn}"
        case NewStore(car, first):
            return f"{car} has a new store: its records are numbered from {first} on"
        case Numbered(record, Arrival.AFTER_ALL):
            return f"{record.heading.car} record {record.sequence} has come after all"
        case Numbered():
            return None


def _records(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"
