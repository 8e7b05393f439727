"""DBC files with random layouts, for the laws that hold for every one of them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from agent.profiles import vss

NUMBER_PATHS = [path for path, entry in vss.PATHS.items() if entry.datatype in ("float", "double")]

CAN_FD_LENGTHS = (12, 16, 20, 24, 32, 48, 64)

_SCALES = ("1", "0.1", "0.01", "0.5", "2", "-1", "0.03125", "1e-3", "0.005", "12.5", "-0.25", "1e-07")
_INNER_PAGES = (0, 1)
_OFFSETS = ("0", "-40", "0.5", "-0.05", "100", "-819.2")


@dataclass(frozen=True)
class RandomSignal:
    """One line of a DBC. `page` is its multiplexer value (None: always there), `inner` that of the one below."""

    name: str
    start: int
    length: int
    is_little_endian: bool
    is_signed: bool
    is_float: bool
    scale: str
    offset: str
    page: int | None
    inner: int | None

    def line(self, unit: str) -> str:
        mark = f" m{self.page if self.inner is None else self.inner}" if self.page is not None else ""
        sign = "-" if self.is_signed else "+"
        return (
            f" SG_ {self.name}{mark} : {self.start}|{self.length}@{int(self.is_little_endian)}{sign}"
            f' ({self.scale},{self.offset}) [0|0] "{unit}" Agent'
        )


@dataclass(frozen=True)
class RandomMessage:
    """One message with its multiplexers: `Page` in the first byte, `Inner` in the second."""

    frame_id: int
    is_extended_id: bool
    length_bytes: int
    signals: tuple[RandomSignal, ...]

    def dbc(self, units: dict[str, str]) -> str:
        """A DBC of this message; `units` by signal."""
        dbc_id = self.frame_id | 0x80000000 if self.is_extended_id else self.frame_id
        lines = ['VERSION ""', "NS_ :", "BS_:", "BU_: Car Agent", "", f"BO_ {dbc_id} Message: {self.length_bytes} Car"]
        values = []
        pages = sorted({signal.page for signal in self.signals if signal.page is not None})
        inner_pages = sorted(
            {signal.page for signal in self.signals if signal.page is not None and signal.inner is not None}
        )
        if pages:
            lines.append(' SG_ Page M : 0|8@1+ (1,0) [0|0] "" Agent')
        if inner_pages:
            lines.append(f' SG_ Inner m{inner_pages[0]}M : 8|8@1+ (1,0) [0|0] "" Agent')
            values.append(f"SG_MUL_VAL_ {dbc_id} Inner Page {_ranges(inner_pages)};")
        for signal in self.signals:
            lines.append(signal.line(units.get(signal.name, "")))
            if inner_pages and signal.page is not None:
                above, value = ("Page", signal.page) if signal.inner is None else ("Inner", signal.inner)
                values.append(f"SG_MUL_VAL_ {dbc_id} {signal.name} {above} {value}-{value};")
        lines += ["", *values, ""]
        for signal in self.signals:
            if signal.is_float:
                lines.append(f"SIG_VALTYPE_ {dbc_id} {signal.name} : {1 if signal.length == 32 else 2};")
        return "\n".join(lines) + "\n"


def random_profile(message: RandomMessage) -> tuple[str, str]:
    """A profile that wants every signal of the message, and its DBC, `random.dbc`."""
    paths = dict(zip([signal.name for signal in message.signals], NUMBER_PATHS, strict=False))
    dbc = message.dbc({name: vss.PATHS[path].unit or "" for name, path in paths.items()})
    text = 'format = 1\nname = "random"\ntitle = "Random"\nvss = "6.0"\n[buses.body]\ndbc = ["random.dbc"]\n'
    text += "bitrate_bps = 500_000\nfd = true\nsilent_after_s = 1.0\n"
    for name, path in paths.items():
        text += f'[[signals]]\npath = "{path}"\nmessage = "Message"\nsignal = "{name}"\nfreshness_s = 1.0\n'
    return text, dbc


def _ranges(pages: list[int]) -> str:
    return ", ".join(f"{page}-{page}" for page in pages)


@st.composite
def random_messages(draw: st.DrawFn) -> RandomMessage:
    """A message of up to eight signals that do not overlap where they can be present together."""
    length_bytes = draw(st.one_of(st.integers(1, 8), st.sampled_from(CAN_FD_LENGTHS)))
    depth = draw(st.sampled_from(range(min(3, length_bytes))))
    is_extended_id = draw(st.booleans())
    signals: list[RandomSignal] = []
    taken: dict[tuple[int | None, int | None], set[int]] = {}
    for index in range(draw(st.integers(3, 10))):
        page = draw(st.sampled_from((None, 0, 1, 2))) if depth else None
        inner = draw(st.sampled_from((None, 0, 1))) if depth == 2 and page in _INNER_PAGES else None
        signal = draw(_signals(f"Signal{index}", length_bytes, depth, (page, inner)))
        bits = _bits(signal)
        if any(bits & other for where, other in taken.items() if _may_meet(where, (page, inner))):
            continue
        taken.setdefault((page, inner), set()).update(bits)
        signals.append(signal)
    frame_id = draw(st.integers(0, (1 << 29) - 1 if is_extended_id else (1 << 11) - 1))
    return RandomMessage(frame_id, is_extended_id, length_bytes, tuple(signals))


@st.composite
def _signals(
    draw: st.DrawFn, name: str, length_bytes: int, depth: int, place: tuple[int | None, int | None]
) -> RandomSignal:
    size_bits = 8 * (length_bytes - depth)
    is_float = size_bits >= 32 and draw(st.sampled_from((True, False, False, False)))
    if is_float:
        length = draw(st.sampled_from((32, 64) if size_bits >= 64 else (32,)))
    else:
        length = draw(st.integers(1, min(draw(st.sampled_from((4, 12, 16, 33, 64))), size_bits)))
    from_left = 8 * depth + draw(st.integers(0, size_bits - length))
    is_little_endian = draw(st.booleans())
    start = from_left if is_little_endian else 8 * (from_left // 8) + 7 - from_left % 8
    return RandomSignal(
        name=name,
        start=start,
        length=length,
        is_little_endian=is_little_endian,
        is_signed=draw(st.booleans()),
        is_float=is_float,
        scale=draw(st.sampled_from(_SCALES)),
        offset=draw(st.sampled_from(_OFFSETS)),
        page=place[0],
        inner=place[1],
    )


def _bits(signal: RandomSignal) -> set[int]:
    """The bits a signal takes, counted as Intel counts them."""
    if signal.is_little_endian:
        return set(range(signal.start, signal.start + signal.length))
    from_left = 8 * (signal.start // 8) + 7 - signal.start % 8
    return {8 * (bit // 8) + 7 - bit % 8 for bit in range(from_left, from_left + signal.length)}


def _may_meet(one: tuple[int | None, int | None], other: tuple[int | None, int | None]) -> bool:
    """Whether signals of two places in the tree of multiplexers can be present in one frame."""
    if one[0] is None or other[0] is None:
        return True
    if one[1] is not None and other[1] is not None:
        return one[1] == other[1]  # there is one inner multiplexer, whatever page it is on
    if one[1] is not None or other[1] is not None:
        return {one[0], other[0]} <= set(_INNER_PAGES)
    return one[0] == other[0]
