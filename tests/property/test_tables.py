"""`believed` gives the table that `checked` gives of whatever `checked` takes; pydantic is the oracle.

That is all that is asked of it: it sees texts alone that were found sound before.
"""

from __future__ import annotations

import contextlib
import copy
import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.config import Config, believe_config, parse_config
from agent.model.table import believed, checked
from agent.profiles.toml_model import ProfileTable
from tests.meta.test_sample_config import VARIANTS, with_defaults
from tests.profiles import shipped

DOCUMENTS: list[tuple[Any, dict[str, Any]]] = [
    *((Config, tomllib.loads(text)) for text in (*VARIANTS, *map(with_defaults, VARIANTS))),
    *((ProfileTable, tomllib.loads(shipped.profile_text(vehicle))) for vehicle in shipped.VEHICLES),
]

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70_000),
    st.sampled_from([1 << 63, 1 << 64, 10**30, -1]),
    st.floats(),
    st.text(max_size=6),
    st.lists(st.integers() | st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_what_is_sound_is_believed_as_it_was_checked(number: int) -> None:
    kind, document = DOCUMENTS[number]
    assert believed(kind, document) == checked(kind, document)


@pytest.mark.parametrize("text", VARIANTS)
def test_a_sound_configuration_is_believed_as_it_was_parsed(text: str) -> None:
    config = parse_config(text, source="agent.toml")
    assert isinstance(config, Config)
    assert believe_config(text) == config


@given(st.data())
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_one_value_changed_it_is_checked_and_believed_alike_or_checking_refuses(drawn: st.DataObject) -> None:
    kind, sound = drawn.draw(st.sampled_from(DOCUMENTS))
    document = copy.deepcopy(sound)
    _change(document, drawn)
    try:
        table = checked(kind, document)
    except ValidationError:
        with contextlib.suppress(TypeError):
            believed(kind, document)  # a bound it does not look at
        return
    assert believed(kind, document) == table


@pytest.mark.parametrize(
    "text",
    ["", "car = 5", "[car]\nid = 5", "[[car]]", "x = ", "[buses.a]\nchannel = []", "a = " + "[" * 3000],
)
def test_what_is_no_configuration_is_not_believed(text: str) -> None:
    assert believe_config(text) is None


def _change(document: dict[str, Any], drawn: st.DataObject) -> None:
    """Somewhere in it: a value is another, is gone, or stands under a key that nobody knows."""
    holder: Any = document
    while True:
        key = drawn.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        if not isinstance(holder[key], dict | list) or not holder[key] or drawn.draw(st.integers(0, 5)) == 0:
            break
        holder = holder[key]
    match drawn.draw(st.sampled_from(["another", "gone", "unknown"])):
        case "another":
            holder[key] = drawn.draw(VALUES)
        case "gone":
            del holder[key]
        case _ if isinstance(holder, dict):
            holder[drawn.draw(st.text(max_size=4))] = holder[key]
