"""Whatever stands in `agent.toml`, it is a configuration or a list of faults, never an exception (H136)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.config import Config, parse_config
from tests.unit.test_config import MINIMAL

# Pieces of TOML that mean something somewhere, and some that mean nothing anywhere.
PIECES = st.sampled_from(
    [
        *"\"'[]{}=.#\n\0",
        *('"""', "[[", "]]", "\\n", "\\u0000", "0x", "nan", "1e999", "true", "9" * 40, "-1", "1979-05-27"),
        *("[car]", "[[operators]]", "[reporting]", 'id = ""', "batch_s = ", "number = ", '"a\\nb" = 1'),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The shortest right configuration with a stretch of it replaced."""
    begin = draw(st.integers(0, len(MINIMAL)))
    end = draw(st.integers(begin, min(len(MINIMAL), begin + 40)))
    return MINIMAL[:begin] + draw(TEXTS) + MINIMAL[end:]


@given(damaged() | TEXTS)
def test_any_text_is_a_configuration_or_faults_with_a_place_in_it(text: str) -> None:
    parsed = parse_config(text, source="agent.toml")
    if isinstance(parsed, Config):
        return
    assert parsed
    assert all(0 <= fault.line <= text.count("\n") + 1 for fault in parsed)
    assert all("\n" not in str(fault) for fault in parsed)
