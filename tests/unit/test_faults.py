"""A fault names its place: the line of a value is found in every form TOML has for it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.faults import Fault, dotted, shown, syntax_fault, toml_line

TEXT = """\
title = "a [not] table = here"   # [nor.here]
dotted.key.depth = 1
'single quoted' = 1
"double.quoted" = 1

[plain]
value = 1
inline = { inner = 1, further = { innermost = 2 } }
many = [
  1,
  [2],
  { inner = 3 },
]
after_many = 2
text = \"\"\"
[operators]
value = "no key"
\"\"\"
literal = '''
[[operators]]
value = 1'''
after_text = 3

[ spaced . "and.quoted" ]  # with a comment
value = 4

[[operators]]
number = 1
[[operators.keys]]
id = "first of first"
[[operators.keys]]
id = "second of first"
[operators.keys.dates]
begin = 1

[[operators]]
number = 2
[operators.address]
street = "a"
[[operators.keys]]
id = "first of second"

[plain.below]
value = 5
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), "title = "),
        (("dotted", "key", "depth"), "dotted.key.depth = 1"),
        (("dotted", "key"), "dotted.key.depth = 1"),
        (("single quoted",), "'single quoted' = 1"),
        (("double.quoted",), '"double.quoted" = 1'),
        (("plain",), "[plain]"),
        (("plain", "value"), "value = 1"),
        (("plain", "inline", "further", "innermost"), "inline = "),
        (("plain", "many", 2, "inner"), "many = ["),
        (("plain", "after_many"), "after_many = 2"),
        (("plain", "text"), 'text = """'),
        (("plain", "after_text"), "after_text = 3"),
        (("spaced", "and.quoted", "value"), "value = 4"),
        (("operators", 0), "[[operators]]"),
        (("operators", 0, "number"), "number = 1"),
        (("operators", 0, "keys", 0, "id"), 'id = "first of first"'),
        (("operators", 0, "keys", 1, "id"), 'id = "second of first"'),
        (("operators", 0, "keys", 1, "dates", "begin"), "begin = 1"),
        (("operators", 1, "number"), "number = 2"),
        (("operators", 1, "address", "street"), 'street = "a"'),
        (("operators", 1, "keys", 0, "id"), 'id = "first of second"'),
        (("plain", "below", "value"), "value = 5"),
    ],
)
def test_line_of_a_value_is_found(path: tuple[str | int, ...], line: str) -> None:
    assert TEXT.splitlines()[toml_line(TEXT, path) - 1].startswith(line)


def test_text_of_these_tests_is_valid() -> None:
    assert tomllib.loads(TEXT)["operators"][1]["keys"] == [{"id": "first of second"}]


ROOT = Path(__file__).parents[2]
SHIPPED = sorted([*ROOT.glob("dbc/*/profile.toml"), *ROOT.glob("systemd/*.toml")])


def leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values that hold no others."""
    if not isinstance(value, dict | list):
        yield path
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(inner, (*path, key))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_value_of_the_shipped_files_is_found_on_a_line_with_its_key(file: Path) -> None:
    text = file.read_text()
    paths = list(leaves(tomllib.loads(text)))
    assert len(paths) > 5
    for path in paths:
        line = text.splitlines()[toml_line(text, path) - 1]
        assert any(f"{part} =" in line for part in path), (path, line)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("plain", "absent"), "[plain]"),
        (("operators", 1, "keys", 0, "absent"), "[[operators.keys]]"),
        (("operators", 1, "absent"), "[[operators]]"),
    ],
)
def test_value_that_is_not_there_gets_the_line_of_the_table_it_belongs_in(
    path: tuple[str | int, ...], line: str
) -> None:
    found = toml_line(TEXT, path)
    assert TEXT.splitlines()[found - 1] == line
    assert found == toml_line(TEXT, path[:-1])


def test_second_element_of_an_array_is_not_taken_for_the_first() -> None:
    lines = [toml_line(TEXT, ("operators", index)) for index in (0, 1)]
    assert lines[0] < toml_line(TEXT, ("operators", 0, "keys", 1)) < lines[1]


@pytest.mark.parametrize("path", [(), ("absent",), (0,), ("absent", "value")])
def test_path_without_any_place_has_line_zero(path: tuple[str | int, ...]) -> None:
    assert toml_line(TEXT, path) == 0


def test_only_line_feeds_end_a_line() -> None:
    """Unicode has more line ends than TOML, and editors count as TOML does."""
    text = 'a = "\u2028 \u0085"\r\nb = 1\r\n'
    assert toml_line(text, ("b",)) == 2


def test_last_line_needs_no_end() -> None:
    assert toml_line("a = 1\nb = 2", ("b",)) == 2


def test_fault_reads_as_place_problem_and_what_was_expected() -> None:
    fault = Fault("agent.toml", "broker.port", 7, "0 does not fit", "1 or more")
    assert str(fault) == "agent.toml:7: broker.port: 0 does not fit; expected 1 or more"


def test_fault_leaves_out_what_is_not_known() -> None:
    assert str(Fault("agent.toml", "", 0, "not valid TOML")) == "agent.toml: not valid TOML"


def test_path_is_written_with_dots_and_indices() -> None:
    assert dotted(("signals", 3, "unit")) == "signals[3].unit"
    assert dotted(()) == ""
    assert dotted(("cars", "a\nb")) == "cars.'a\\nb'"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("text", "'text'"),
        (1.5, "1.5"),
        (True, "True"),
        ({"secret": 1}, "a table"),
        ([1], "a list"),
        pytest.param("x" * 1000, "'" + "x" * 59, id="long"),
        pytest.param(1 << 20_000, "a number of 20001 bits", id="huge"),
    ],
)
def test_value_is_quoted_short(value: object, words: str) -> None:
    assert shown(value) == words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = = 2\n", 2),
        ("a = 1\na = 2\n", 2),
        ('line = 7, "line 9"\n', 1),
        ("a = 1\nb = ", 0),  # tomllib says "at end of document"
        pytest.param("a = " + "[" * 5000, 0, id="nested"),
        pytest.param("a = " + "9" * 5000, 0, id="long number"),
    ],
)
def test_text_that_is_no_toml_gives_a_fault_with_its_line(text: str, line: int) -> None:
    with pytest.raises((ValueError, RecursionError)) as raised:
        tomllib.loads(text)
    assert isinstance(raised.value, ValueError | RecursionError)
    fault = syntax_fault("agent.toml", raised.value)
    assert fault.line == line
    assert fault.problem.startswith("not valid TOML: ")
