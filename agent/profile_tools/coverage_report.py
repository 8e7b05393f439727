"""What coverage found, as lines for a person and as one document for a program."""

from __future__ import annotations

from collections.abc import Iterator

from agent.decode.overheard import ANSWERED
from agent.profile_tools.coverage import Coverage, MessageSeen, Mismatch, PollSeen, SignalSeen
from agent.profile_tools.traffic import FrameId, Rhythm, id_text, lengths_text, period_text, table
from agent.profiles.schema import MessagePlan


def document(found: Coverage, logs: list[str]) -> dict[str, object]:
    """All of it; ids as hexadecimal text, times in seconds."""
    return {
        "profile": found.profile.name,
        "logs": logs,
        "frames": found.frames,
        "duration_s": round(found.duration_s, 6),
        "messages": [_message(seen) for seen in found.messages.values()],
        "signals": [_signal(seen) for seen in found.signals.values()],
        "polls": [_poll(seen) for seen in found.polls.values()],
        "unknown_ids": [
            {**_unknown(key, rhythm), "is_on_send_list": key in found.sent}
            for key, rhythm in sorted(found.unknown.items())
        ],
        "mismatches": [_mismatch(mismatch) for mismatch in found.mismatches()],
    }


def lines(found: Coverage) -> Iterator[str]:
    """Messages, signals, what the profile has no word for, and last what does not fit."""
    yield f"{found.profile.name}: {found.frames} frames in {found.duration_s:.1f} s"
    yield ""
    rows: list[tuple[str, ...]] = [("bus", "id", "message", "frames", "period", "bytes", "refused")]
    rows += [_message_row(seen) for seen in found.messages.values()]
    yield from table(rows)
    yield ""
    yield from table([("path", "ok", "not ok", "values"), *map(_signal_row, found.signals.values())])
    if any(seen.counts for seen in found.polls.values()):
        yield ""
        rows_asked: list[tuple[str, ...]] = [("bus", "id", "answers to", "answered", "refused")]
        rows_asked += [_poll_row(seen) for seen in found.polls.values()]
        yield from table(rows_asked)
        yield ""
        answered = [signal for seen in found.polls.values() if seen.counts for signal in seen.signals]
        yield from table([("path, as answered", "ok", "not ok", "values"), *map(_signal_row, answered)])
    if found.unknown:
        yield ""
        yield f"{len(found.unknown)} ids that the profile has no word for:"
        rows_unknown = [("bus", "id", "frames", "period", "bytes", "")]
        for key, rhythm in sorted(found.unknown.items()):
            length, period = lengths_text(rhythm.lengths), period_text(rhythm.period_s)
            note = "the agent's own request" if key in found.sent else ""
            rows_unknown.append((key.bus, str(key), str(rhythm.frames), period, length, note))
        yield from table(rows_unknown)
    for mismatch in found.mismatches():
        plan = mismatch.plan
        yield ""
        yield f"MISMATCH ({mismatch.kind}) {mismatch.bus} {_id(plan)} {plan.name}: {mismatch.problem}"
        yield "    the id means something else on this car, or the profile is wrong: believe none of its values"


def _id(plan: MessagePlan) -> str:
    return id_text(plan.arbitration_id, is_extended_id=plan.is_extended_id)


def _refused(seen: MessageSeen) -> dict[str, int]:
    counts = seen.counts
    return {"length": counts.refused_length, "checksum": counts.refused_checksum, "counter": counts.refused_counter}


def _message(seen: MessageSeen) -> dict[str, object]:
    return {
        "bus": seen.plan.bus,
        "id": _id(seen.plan),
        "message": seen.plan.name,
        **_rhythm(seen.rhythm),
        "refused": _refused(seen),
        "unknown_multiplexer": seen.counts.unknown_selector,
    }


def _poll(seen: PollSeen) -> dict[str, object]:
    return {
        "bus": seen.plan.bus,
        "id": id_text(seen.plan.response_id, is_extended_id=seen.plan.is_extended_id),
        "poll": seen.plan.name,
        "answered": seen.counts[ANSWERED],
        "refused": _not_answered(seen),
        "signals": [_signal(signal) for signal in seen.signals],
    }


def _poll_row(seen: PollSeen) -> tuple[str, ...]:
    identifier = id_text(seen.plan.response_id, is_extended_id=seen.plan.is_extended_id)
    refused = ", ".join(f"{why} {count}" for why, count in _not_answered(seen).items())
    return (seen.plan.bus, identifier, seen.plan.name, str(seen.counts[ANSWERED]), refused)


def _not_answered(seen: PollSeen) -> dict[str, int]:
    return {str(why): count for why, count in sorted(seen.counts.items()) if why != ANSWERED}


def _rhythm(rhythm: Rhythm) -> dict[str, object]:
    lengths = {str(length): count for length, count in sorted(rhythm.lengths.items())}
    return {"frames": rhythm.frames, "period_s": rhythm.period_s, "lengths": lengths}


def _signal(seen: SignalSeen) -> dict[str, object]:
    return {
        "path": seen.path,
        "message": seen.message,
        "unit": seen.unit,
        "ok": seen.ok,
        "not_ok": dict(sorted(seen.not_ok.items())),
        "min": seen.low,
        "max": seen.high,
        "values": list(seen.values),
    }


def _unknown(key: FrameId, rhythm: Rhythm) -> dict[str, object]:
    return {"bus": key.bus, "id": str(key), **_rhythm(rhythm)}


def _mismatch(mismatch: Mismatch) -> dict[str, object]:
    plan = mismatch.plan
    place = {"bus": mismatch.bus, "id": _id(plan), "message": plan.name}
    return {**place, "kind": mismatch.kind, "problem": mismatch.problem}


def _message_row(seen: MessageSeen) -> tuple[str, ...]:
    plan, rhythm = seen.plan, seen.rhythm
    if not rhythm.frames:
        return (plan.bus, _id(plan), plan.name, "never heard", "", "", "")
    refused = ", ".join(f"{what} {count}" for what, count in _refused(seen).items() if count)
    period, length = period_text(rhythm.period_s), lengths_text(rhythm.lengths)
    return (plan.bus, _id(plan), plan.name, str(rhythm.frames), period, length, refused)


def _signal_row(seen: SignalSeen) -> tuple[str, ...]:
    not_ok = ", ".join(f"{reason} {count}" for reason, count in sorted(seen.not_ok.items()))
    if seen.low is not None and seen.high is not None:
        unit = "" if seen.unit is None else f" {seen.unit}"
        values = f"{seen.low:.10g} to {seen.high:.10g}{unit}" if seen.low != seen.high else f"{seen.low:.10g}{unit}"
    else:
        values = ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in seen.values)
    return (seen.path, str(seen.ok), not_ok, values)
