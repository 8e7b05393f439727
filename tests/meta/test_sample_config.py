"""`systemd/agent.toml` shows every key of the configuration, and the defaults it shows are the program's."""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from agent.config import Config, parse_config
from agent.model.table import Table

README = Path(__file__).resolve().parents[2] / "README.md"
SAMPLE = README.parent / "systemd" / "agent.toml"


def with_pinned_operators(text: str) -> str:
    """The sample with the other of its two ways to name operators: what it says to do, done."""
    without_trust = re.sub(r"^\[trust\]\n.*?\n\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^#(?! )", "", without_trust, flags=re.MULTILINE)


def with_defaults(text: str) -> str:
    """The sample with its commented-out keys made real; `…` stands for a value that has no default."""
    return re.sub(r"^# (\w+ = (?!…))", r"\1", text, flags=re.MULTILINE)


def tables(table: Table, document: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The table and all tables in it, each with its dotted path and what the sample says of it."""
    yield path, table, document
    for name, value in ((field.name, getattr(table, field.name)) for field in fields(table)):  # type: ignore[arg-type]
        places = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else None
        said = document.get(name, {})
        for each, told in [(value, said)] if places is None else [(value[place], said[place]) for place in places]:
            if isinstance(each, Table):
                yield from tables(each, told, f"{path}{name}.")


def deviations(text: str) -> list[str]:
    """Keys the sample leaves out, and defaults it gives wrongly."""
    config = parse_config(with_defaults(text), source="sample")
    assert isinstance(config, Config), config
    found = []
    for path, table, document in tables(config, tomllib.loads(with_defaults(text))):
        for name, field in ((field.name, field) for field in fields(table)):
            if not path and name in ("trust", "operators", "relays"):
                continue  # one of the first two, and the other variant of the sample has the other, and relays
            if not path and name == "end_of_rental":
                continue  # the default is no table; the sample has one to show its keys
            is_shown = name in document or f"# {name} = …" in text
            if not is_shown:
                found.append(f"{path}{name} is not shown")
            elif field.default not in (MISSING, None) and getattr(table, name) != field.default:
                found.append(f"{path}{name} is shown as {getattr(table, name)!r}, the default is {field.default!r}")
    return found


VARIANTS = [SAMPLE.read_text(), with_pinned_operators(SAMPLE.read_text())]


def test_sample_loads_as_it_stands() -> None:
    config = parse_config(SAMPLE.read_text(), source="sample")
    assert isinstance(config, Config), config
    assert config.trust is not None


def test_sample_loads_with_operators_pinned_by_hand() -> None:
    config = parse_config(with_pinned_operators(SAMPLE.read_text()), source="sample")
    assert isinstance(config, Config), config
    assert [operator.number for operator in config.operators] == [1]


def test_configuration_of_a_single_car_on_the_front_page_is_sound() -> None:
    """Nobody writes that file for a person: it has to do as it stands."""
    (block,) = re.findall(r"```toml\n(.*?)```", README.read_text(), flags=re.DOTALL)
    sample = with_pinned_operators(SAMPLE.read_text())
    pinned = sample[sample.index("[[operators]]") : sample.index("[store]")]
    config = parse_config(textwrap.dedent(block) + pinned, source="README.md")
    assert isinstance(config, Config), config
    assert config.buses["body"].listen_only, "a car is listened to first"


@pytest.mark.parametrize("text", VARIANTS, ids=["trust", "operators"])
def test_sample_shows_every_key_with_its_default(text: str) -> None:
    assert deviations(text) == []


def without_reason(text: str) -> list[str]:
    """Keys, shown or commented out, with no words behind them and none in the lines above them."""
    found = []
    has_words = False
    for line in text.splitlines():
        if key := re.match(r"(?:# )?(\w+) = ", line):
            if not has_words and " # " not in line[2:]:
                found.append(key[1])
        else:
            # Words hold for the keys right below them, up to the next empty line or table.
            has_words = line.startswith("# ")
    return found


@pytest.mark.parametrize("text", VARIANTS, ids=["trust", "operators"])
def test_every_key_has_its_reason_beside_it(text: str) -> None:
    assert without_reason(text) == []


def test_key_without_a_reason_is_seen() -> None:
    assert without_reason("[broker]\nhost = 'a'\n# Words.\nport = 1\n\nname = ''  # words\n# size = 1\n") == [
        "host",
        "size",
    ]


def test_key_left_out_is_seen() -> None:
    assert deviations(re.sub(r"# batch_s.*\n", "", SAMPLE.read_text())) == ["reporting.batch_s is not shown"]


def test_key_of_a_relay_left_out_is_seen() -> None:
    text = with_pinned_operators(re.sub(r"## active_low = .*\n", "", SAMPLE.read_text()))
    assert deviations(text) == ["relays.active_low is not shown"]


def test_key_of_a_pinned_operator_left_out_is_seen() -> None:
    text = with_pinned_operators(re.sub(r"## name = .*\n", "", SAMPLE.read_text()))
    assert deviations(text) == ["operators.name is not shown"]


def test_wrong_default_is_seen() -> None:
    text = SAMPLE.read_text().replace("# port = 8883", "# port = 1883")
    assert deviations(text) == ["broker.port is shown as 1883, the default is 8883"]
