"""Every reader of strangers' bytes under inputs of all kinds: what was found before, and what hypothesis finds now.

The same targets are run for as long as one likes, led by the branches they take: `python -m tests.fuzz.run`.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.command.scan import Limits
from tests.fuzz.intake import Intake, edit, edited
from tests.fuzz.target_envelope import LIMITS, check_scan
from tests.fuzz.targets import CORPUS_BYTES_MAX, TARGETS, Target

EXAMPLES = {"decoder": 150, "envelope": 300, "documents": 150, "profile": 120, "logs": 200}
"""So many that each target takes some five seconds on one processor."""


@cache
def starts(target: Target) -> tuple[bytes, ...]:
    return (*(data for _, data in target.seeds()), *(path.read_bytes() for path in target.kept()))


@st.composite
def inputs(draw: st.DrawFn, target: Target) -> bytes:
    """Bytes of any kind, tokens in a row, a known input with pieces replaced, one known input joined to another."""
    known = st.sampled_from(starts(target))
    pieces = st.sampled_from(target.tokens) | st.binary(max_size=12)
    edits = st.lists(st.builds(edit, st.integers(0, 0xFFFF), st.integers(0, 12), pieces), min_size=1, max_size=4)
    how = draw(st.integers(0, 9))
    if how == 0:
        return draw(st.binary(max_size=200))
    if how == 1:
        return draw(known)[:3] + b"".join(draw(st.lists(st.sampled_from(target.tokens), min_size=1, max_size=8)))
    if how == 2:
        head, tail = draw(known), draw(known)
        return head[: draw(st.integers(0, len(head)))] + tail[draw(st.integers(0, len(tail))) :]
    return edited(draw(known), Intake(b"".join(draw(edits))))[: target.bytes_max * 8]


@pytest.mark.parametrize("name", TARGETS)
def test_target_bears_whatever_hypothesis_makes_up(name: str) -> None:
    """SR-01, SR-03, SR-05: H2, H11, H12 and their like, for every subject that reads what a stranger wrote."""
    target = TARGETS[name]
    run = target.run

    @given(inputs(target))
    @settings(max_examples=EXAMPLES[name], deadline=None, suppress_health_check=list(HealthCheck))
    def bears(data: bytes) -> None:
        run(data)

    bears()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_was_found_before_are_borne(name: str) -> None:
    target = TARGETS[name]
    run = target.run
    for where, data in target.seeds():
        try:
            run(data)
        except Exception as error:
            error.add_note(f"seed {where}")
            raise
    for path in target.kept():
        try:
            run(path.read_bytes())
        except Exception as error:
            error.add_note(f"to see it again: python -m tests.fuzz.run {name} --input {path}")
            raise


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept_is_small(name: str) -> None:
    kept = TARGETS[name].kept()
    assert kept, "a target whose corpus is empty was never searched"
    assert sum(path.stat().st_size for path in kept) <= CORPUS_BYTES_MAX


@st.composite
def items_in_any_form(draw: st.DrawFn, depth: int = 3) -> bytes:
    """One item of CBOR, of a kind and in a form that is allowed or is not, mostly the former."""
    major = draw(st.sampled_from((0, 0, 1, 2, 3, 4, 5, 5) if depth else (0, 1, 2, 3)))
    if draw(st.integers(0, 15)) == 0:
        return draw(st.sampled_from(TARGETS["envelope"].tokens))
    if major < 2:
        return _head(draw, major, draw(st.sampled_from((0, 1, 23, 24, 255, 256, 65_536, 1 << 32, (1 << 63) - 1))))
    count = draw(st.integers(0, 3))
    if major == 2:
        return _head(draw, major, count) + bytes(count)
    if major == 3:
        return _head(draw, major, count) + draw(st.sampled_from((b"abc", b"\xc3\xa4c", b"\xff\xfec")))[:count]
    if major == 4:
        return _head(draw, major, count) + b"".join(draw(items_in_any_form(depth - 1)) for _ in range(count))
    pairs = (draw(st.integers(0, 30)) for _ in range(count))
    keys = sorted(pairs) if draw(st.booleans()) else list(pairs)
    inner = (_head(draw, 0, key) + draw(items_in_any_form(depth - 1)) for key in keys)
    return _head(draw, major, count) + b"".join(inner)


def _head(draw: st.DrawFn, major: int, argument: int) -> bytes:
    """A head in its shortest form, now and then in a longer one."""
    shortest = next(width for width in (0, 1, 2, 4, 8) if argument < (24 if width == 0 else 1 << 8 * width))
    width = draw(st.sampled_from([shortest] * 12 + [one for one in (1, 2, 4, 8) if one > shortest]))
    if width == 0:
        return bytes([major << 5 | argument])
    return bytes([major << 5 | 24 + (1, 2, 4, 8).index(width)]) + argument.to_bytes(width, "big")


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(items_in_any_form(), st.sampled_from(LIMITS))
def test_scan_and_second_reader_agree_on_items_in_every_form(raw: bytes, limits: Limits) -> None:
    """H6 to H15: what one of them reads the other reads as the same, and both refuse the same."""
    check_scan(raw, limits)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", *arguments], capture_output=True, text=True, timeout=100
    )


def test_command_runs_one_input(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"\x00\x00\x40")
    done = command("envelope", "--input", str(tmp_path / "input"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing wrong" in done.stdout


def test_command_searches_or_says_what_is_missing() -> None:
    """atheris is no part of the development environment; where it is installed, it is tried for a second."""
    done = command("envelope", "--seconds", "1")
    if importlib.util.find_spec("atheris") is None:
        assert done.returncode == 2
        assert "pip install" in done.stderr
    else:
        assert done.returncode == 0, done.stderr


def test_command_refuses_what_is_no_target() -> None:
    done = command("brakes")
    assert done.returncode == 2
    assert "decoder" in done.stderr
