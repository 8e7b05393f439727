"""Results and reports in words for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.backend.outcome import CommandResult, Progress, Step
from agent.backend.session import Change
from agent.backend.watching import (
    ChangeReport,
    EventReport,
    LinkReport,
    Missed,
    PresenceReport,
    Report,
    ResultReport,
    StateReport,
)
from agent.command.envelope import Hello
from agent.model.command import Action, ConditionAnswer, Evidence, Executed, Reason, Stage
from agent.model.reading import Quality

# Longer than any path or value worth reading on one line.
_TEXT_LENGTH_MAX = 200

# Readings remembered to show changes only: some fleets of some hundred paths.
_REMEMBERED_MAX = 50_000

REASON_WORDS: Mapping[Reason, str] = {
    Reason.OK: "as asked",
    Reason.VERSION: "the car speaks another version of the protocol",
    Reason.WRONG_CAR: "the command was for another car",
    Reason.BAD_PARAMS: "the car does not accept the command's parameters",
    Reason.UNSUPPORTED_ACTION: "this car cannot do that",
    Reason.CID_CONFLICT: "the car knows another command by the same id",
    Reason.ROLE: "the key may not sign commands",
    Reason.TRANSPORT: "the key may not be used over this connection",
    Reason.KEY_EXPIRED: "the command key has expired",
    Reason.KEY_REVOKED: "the command key was revoked",
    Reason.ACTION_NOT_ALLOWED: "the command key may not be used for this",
    Reason.NOT_TENANT: "the car is not rented out by this operator at present",
    Reason.NO_GRANT: "no grant for this booking is stored in the car",
    Reason.OPERATOR_MISMATCH: "the command key belongs to another operator",
    Reason.WEAK_KEY: "the key is too weak",
    Reason.STALE_SESSION: "the car's agent had restarted",
    Reason.COUNTER: "a later command was there first",
    Reason.EXPIRED: "the command came too late",
    Reason.TTL_TOO_LONG: "the command was to stay valid for too long",
    Reason.CHALLENGE: "the challenge was not, or no longer, known",
    Reason.TIME_UNKNOWN: "the car does not know the time well enough",
    Reason.NOT_YET_VALID: "not valid yet",
    Reason.GRANT_EXPIRED: "the grant has expired",
    Reason.SUPERSEDED_GRANT: "a newer grant has replaced this one",
    Reason.REVOKED: "the grant was revoked",
    Reason.USES_EXHAUSTED: "the grant is used up",
    Reason.PROOF: "the holder's proof is wrong",
    Reason.ISSUER_UNKNOWN: "the car does not know who issued the grant",
    Reason.VALIDITY_TOO_LONG: "the grant is valid for longer than is allowed",
    Reason.LOCKED_OUT: "too many wrong tries; wait a minute",
    Reason.MOVING: "the car is moving",
    Reason.SPEED_UNKNOWN: "the car's speed is not known",
    Reason.IGNITION_ON: "the ignition is on",
    Reason.DOOR_OPEN: "a door is open",
    Reason.BUS_ASLEEP: "the car sleeps and could not be woken",
    Reason.LOW_12V: "the 12 V battery is low",
    Reason.PRECONDITION_STALE: "what has to be known of the car is not known freshly enough",
    Reason.RETURN_CONDITION: "a condition of the end of a rental does not hold, or this car cannot tell",
    Reason.CAN_DOWN: "the CAN interface is down",
    Reason.BUS_OFF: "the CAN controller went bus-off",
    Reason.NO_STATE_CHANGE: "the car reports its state, and that did not change",
    Reason.CONFLICTING_STATE: "the car reports contradictory states",
    Reason.TIMEOUT: "the car did not answer in time",
    Reason.SUPERSEDED: "a newer command took its place",
    Reason.NEGATIVE_ANSWER: "the car's control unit refused the request",
    Reason.BUSY: "the car is busy with another command",
    Reason.RATE_LIMITED: "too many commands in a minute",
    Reason.STORAGE: "the agent cannot store what it does",
    Reason.SHUTTING_DOWN: "the agent is shutting down",
    Reason.INTERNAL: "a fault in the agent",
}

_STAGE_WORDS: Mapping[Stage | None, str] = {
    None: "got no answer",
    Stage.ACCEPTED: "accepted",
    Stage.EXECUTING: "being carried out",
    Stage.VERIFIED: "verified",
    Stage.EXECUTED_UNVERIFIED: "sent, not verified",
    Stage.FAILED: "failed",
    Stage.REJECTED: "rejected",
    Stage.INTERRUPTED: "interrupted",
}

# Where the reason is `ok` although the end is not what was wished for.
_WHY_BY_STAGE: Mapping[Stage, str] = {
    Stage.EXECUTED_UNVERIFIED: "the car gave no feedback",
    Stage.INTERRUPTED: "the agent ended while it was at it",
}

# Actions that ask and move nothing: their one good end is the answer, which there is nothing to verify about.
_QUESTIONS: Mapping[Action, str] = {Action.REPORT: "", Action.CHECK_RETURN: ": the rental may end"}

_EXECUTED_WORDS: Mapping[Executed, str] = {
    Executed.NO: "Nothing was carried out.",
    Executed.YES: "It was carried out.",
    Executed.UNKNOWN: "Whether it was carried out is not known.",
}

_STEP_WORDS: Mapping[Step, str] = {
    Step.ASKING: "asking the car for its session",
    Step.SENT: "sent, waiting for the car",
    Step.SENT_AGAIN: "sent once more, waiting for the car",
    Step.NOT_HEARD: "nobody receives it: the car is not connected to the broker; still waiting",
    Step.ACCEPTED: "accepted by the car",
    Step.EXECUTING: "being carried out",
    Step.NEW_SESSION: "the agent had restarted; signing for its new session",
}

_CHANGE_WORDS: Mapping[Change, str] = {
    Change.RESTARTED: "has restarted",
    Change.STORE_CHANGED: "has a new store: its memory of older commands is gone",
    Change.EVENTS_WENT_BACK: "numbers its events lower than before: an OLD IMAGE of its storage is running",
}


def plain(value: object) -> str:
    """What came from outside as text for a terminal: no control characters, no line breaks, not too long."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_TEXT_LENGTH_MAX])


def progress_words(progress: Progress) -> str:
    return f"{progress.car}: {_STEP_WORDS[progress.step]} …"


def result_words(result: CommandResult, *, is_heard: bool = True) -> str:
    """The end of a command; `is_heard` False if the broker last said that the car does not listen."""
    action = result.action.name.lower().replace("_", " ")
    is_answer = result.action in _QUESTIONS and result.stage is Stage.EXECUTED_UNVERIFIED
    preposition = "in" if result.is_verified or is_answer else "after"
    stage = "answered" if is_answer else _STAGE_WORDS[result.stage]
    head = f"{result.car}: {action} {stage} {preposition} {_span(result.answered_in_s)}"
    if is_answer:
        head += _QUESTIONS[result.action]
    elif result.stage is not None and result.reason is not None:
        head += _because(result.stage, result.reason)
    head += "."
    if not (result.is_verified or is_answer):
        head += " " + _EXECUTED_WORDS[result.executed]
    if result.stage is None and not is_heard:
        head += " The car is not connected to the broker."
    if result.is_degraded:
        head += " The agent's store is broken: it could not write down what it did."
    if result.stage is None and result.cid is not None:
        head += f" Command {result.cid.hex()}."
    lines = [*map(evidence_words, result.evidence), *map(condition_words, result.conditions)]
    return "\n".join([head, *("  " + line for line in lines)])


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1.0 else f"{seconds * 1000:.0f} ms"


def _because(stage: Stage, reason: Reason) -> str:
    if reason is Reason.OK:
        return f": {_WHY_BY_STAGE[stage]}" if stage in _WHY_BY_STAGE else ""
    return f": {REASON_WORDS[reason]} ({reason.name.lower()})"


def evidence_words(evidence: Evidence) -> str:
    value = plain(evidence.value) if evidence.quality is Quality.OK else evidence.quality.value
    return f"{plain(evidence.path)} = {value} ({evidence.age_ms} ms old, {plain(evidence.message)})"


def condition_words(each: ConditionAnswer) -> str:
    """One condition of the end of a rental."""
    words = f"{each.condition.name.lower().replace('_', ' ')}: {each.answer.name.lower()}"
    if each.value is not None:
        words += f", {plain(each.value)}"
    return words if each.age_ms is None else f"{words} ({each.age_ms} ms old)"


def hello_words(car: str, hello: Hello | None, answered_in_s: float) -> str:
    """The answer to a ping."""
    if hello is None:
        return f"{car}: no answer within {_span(answered_in_s)}."
    return (
        f"{car}: answered in {_span(answered_in_s)}. "
        f"Session {hello.sid.hex()}, {hello.session_ms / 1000:.0f} s old; event {hello.event_sequence}; "
        f"store {hello.store_id.hex()}; clock {hello.clock_trust.name.lower()}; bundle {hello.versions[0]}."
    )


# Of a record: what stands elsewhere in the line, or is for programs.
_NOT_IN_WORDS = frozenset(
    {"v", "kind", "event", "seq", "sid", "session_ms", "time_unix_s", "clock_trust", "historical"}
    | {"vss", "readings", "context"}
)


def _presence_words(is_online: bool, end: str | None) -> str:
    if end == "asleep":
        return "asleep, its computer switched off for the sake of the 12 V battery"
    return "online" if is_online else "stopped by somebody" if end == "stopped" else "OFFLINE"


class ReportWords:
    """Reports as lines; a reading is shown when it differs from what was shown of it before."""

    def __init__(self) -> None:
        self._shown: dict[tuple[str, str], str] = {}

    def lines(self, report: Report) -> list[str]:
        match report:
            case StateReport(car, document, True):
                # What the broker kept says how the car was when it said so, which may be long ago (SR-05).
                return [f"{car} {line} [as last told; may be old]" for line in self._document_lines(car, document)]
            case StateReport(car, document) | EventReport(car, document):
                return [f"{car} {line}" for line in self._document_lines(car, document)]
            case PresenceReport(car, is_online, sid, end):
                return [f"{car} is {_presence_words(is_online, end)}, session {sid.hex()}"]
            case ResultReport(car, result):
                head = f"{car} command {result.cid.hex()[:8]} {_STAGE_WORDS[result.stage]}"
                head += _because(result.stage, result.reason)
                lines = [*map(evidence_words, result.evidence), *map(condition_words, result.conditions)]
                return [head, *(f"{car}   {line}" for line in lines)]
            case ChangeReport(car, change):
                return [f"{car} {_CHANGE_WORDS[change]}"]
            case LinkReport(is_connected, detail):
                return ["connected to the broker" if is_connected else f"connection lost: {plain(detail)}"]
            case Missed(count):
                return [f"{count} reports were missed: they came faster than they were read"]

    def _document_lines(self, car: str, document: Mapping[str, object]) -> Iterator[str]:
        kind, readings = document.get("kind"), document.get("readings")
        if kind not in ("state", "readings"):
            word = document.get("event") if kind == "event" else kind
            rest = (f"{plain(key)}={plain(value)}" for key, value in document.items() if key not in _NOT_IN_WORDS)
            yield " ".join([f"event {plain(word)}", *rest])
        rows = readings.items() if isinstance(readings, dict) else _paths(readings)
        for path, reading in rows:
            if not isinstance(reading, dict):
                continue
            shown = _reading_words(reading)
            if self._shown.get((car, path)) == shown:
                continue
            if len(self._shown) >= _REMEMBERED_MAX:
                self._shown.clear()
            self._shown[car, path] = shown
            yield f"{plain(path)} {shown}"


def _paths(readings: object) -> Iterator[tuple[str, object]]:
    for reading in readings if isinstance(readings, list) else ():
        if isinstance(reading, dict):
            yield str(reading.get("path")), reading


def _reading_words(reading: Mapping[str, object]) -> str:
    """A value only if it is `ok` (SR-05); otherwise the quality, why, and apart from it what was last known."""
    unit = f" {plain(reading['unit'])}" if reading.get("unit") else ""
    quality = reading.get("quality")
    if quality == Quality.OK.value:
        return plain(reading.get("value")) + unit
    words = plain(quality)
    if reading.get("reason"):
        words += f" ({plain(reading['reason'])})"
    if reading.get("last_value") is not None:
        words += f", last {plain(reading['last_value'])}{unit}"
    return words
