"""What a draft found: a table, JSON, and a first DBC in which nothing has a name that would pretend to know more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.profile_tools.draft import BitRange, Draft, Findings, IdSeen
from agent.profile_tools.traffic import FrameId, lengths_text, period_text, table

_EXTENDED = 0x8000_0000
_CYCLE_TIME_MS_MAX = 3_600_000
"""The agent believes no longer cycle time of a DBC."""


def lines(draft: Draft) -> Iterator[str]:
    """A table with a line for each id."""
    rows = [("bus", "id", "frames", "period", "bytes", "changing bits", "counter", "checksum", "constant bytes")]
    for key, seen in sorted(draft.ids.items()):
        found = seen.findings()
        rows.append(
            (
                key.bus or "-",
                str(key),
                str(seen.rhythm.frames),
                period_text(seen.rhythm.period_s),
                lengths_text(seen.rhythm.lengths),
                " ".join(f"{mask:02X}" for mask in found.changing) or "-",
                ", ".join(map(str, found.counters)),
                "" if found.checksum is None else f"byte {found.checksum[0]} {found.checksum[1]}",
                " ".join(f"{byte}:{value:02X}" for byte, value in found.constant.items()),
            )
        )
    yield from table(rows)


def documents(draft: Draft) -> Iterator[dict[str, object]]:
    """One for each id; `changing` is a mask for each byte in hexadecimal."""
    for key, seen in sorted(draft.ids.items()):
        found = seen.findings()
        yield {
            "bus": key.bus,
            "id": str(key),
            "frames": seen.rhythm.frames,
            "period_s": seen.rhythm.period_s,
            "lengths": {str(length): count for length, count in sorted(seen.rhythm.lengths.items())},
            "changing": bytes(found.changing).hex().upper(),
            "counters": [{"byte": each.byte, "bit": each.shift, "length": each.length} for each in found.counters],
            "checksum": None if found.checksum is None else {"byte": found.checksum[0], "algorithm": found.checksum[1]},
            "constant": {str(byte): value for byte, value in found.constant.items()},
        }


def dbc_text(ids: Mapping[FrameId, IdSeen]) -> str:
    """A DBC with a message for each id of one bus: counters and checksums as found, every other changing byte as it is.

    Bytes that never change are left out and named in a comment; the cycle time is the one that was heard.
    """
    messages, comments, cycle_times = [], [], []
    for key, seen in sorted(ids.items()):
        number = key.arbitration_id | (_EXTENDED if key.is_extended_id else 0)
        found = seen.findings()
        name = f"Id{str(key)[2:]}"
        signals = [_signal(label, bits) for label, bits in _named(found)]
        messages.append("\n".join([f"BO_ {number} {name}: {found.length_bytes} Vector__XXX", *signals]))
        comments += [f'CM_ BO_ {number} "{_comment(seen, found)}";']
        if (period_s := seen.rhythm.period_s) is not None and 0 < (ms := round(period_s * 1000)) <= _CYCLE_TIME_MS_MAX:
            cycle_times.append(f'BA_ "GenMsgCycleTime" BO_ {number} {ms};')
    head = ['VERSION ""', "", "NS_ :", "", "BS_:", "", "BU_:", ""]
    attribute = ['BA_DEF_ BO_ "GenMsgCycleTime" INT 0 3600000;', 'BA_DEF_DEF_ "GenMsgCycleTime" 0;']
    return "\n".join([*head, "\n\n".join(messages), "", *comments, "", *attribute, *cycle_times, ""])


def _named(found: Findings) -> Iterator[tuple[str, BitRange]]:
    """Names that say where and not what: `Byte3`, `Byte3Bits4To7`, `Counter1` and `Checksum7` by their bytes."""
    counters = {counter.byte: counter for counter in found.counters}
    for byte, mask in enumerate(found.changing):
        if found.checksum is not None and byte == found.checksum[0]:
            yield f"Checksum{byte}", BitRange(byte, 0, 8)
            continue
        if (counter := counters.get(byte)) is None:
            if mask:
                yield f"Byte{byte}", BitRange(byte, 0, 8)
            continue
        yield f"Counter{byte}", counter
        for shift, end in ((0, counter.shift), (counter.shift + counter.length, 8)):
            rest = BitRange(byte, shift, end - shift)
            if rest.length and mask & rest.mask:
                label = f"Bits{shift}To{end - 1}" if rest.length > 1 else f"Bit{shift}"
                yield f"Byte{byte}{label}", rest


def _signal(name: str, bits: BitRange) -> str:
    top = (1 << bits.length) - 1
    return f' SG_ {name} : {bits.byte * 8 + bits.shift}|{bits.length}@1+ (1,0) [0|{top}] "" Vector__XXX'


def _comment(seen: IdSeen, found: Findings) -> str:
    words = [f"Drafted from {seen.rhythm.frames} frames; no meaning is known."]
    if len(seen.rhythm.lengths) > 1:
        words.append(f"Lengths seen: {lengths_text(seen.rhythm.lengths)} bytes.")
    if found.checksum is not None:
        words.append(f"Byte {found.checksum[0]} fits {found.checksum[1]}.")
    if found.constant:
        words.append(
            "Never changed: " + ", ".join(f"byte {at} = 0x{value:02X}" for at, value in found.constant.items()) + "."
        )
    return " ".join(words)
