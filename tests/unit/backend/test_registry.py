"""`backend.toml` as it is made and grows."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agent.backend.keys import CarRequest, make_key
from agent.backend.registry import add_car, make_configuration
from agent.backend.settings import Operator, load_settings
from agent.errors import ConfigurationError

FIRST = CarRequest("0123456789abcdef", "11" * 32)
SECOND = CarRequest("fedcba9876543210", "22" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    key = make_key(tmp_path / "operator-2.key")
    assert make_configuration(tmp_path / "backend.toml", Operator(2, 'The "Two"', key), "operator-2.key")
    return tmp_path / "backend.toml"


def test_a_made_configuration_loads_and_grows_car_by_car(path: Path) -> None:
    assert (load_settings(path).operator.name, load_settings(path).cars) == ('The "Two"', {})
    add_car(path, "first", FIRST)
    add_car(path, "second", SECOND)
    assert [(name, car.id.hex()) for name, car in load_settings(path).cars.items()] == [
        ("first", FIRST.car),
        ("second", SECOND.car),
    ]


def test_what_a_person_wrote_stays_as_it_is(path: Path) -> None:
    path.write_text(path.read_text() + "# mine\n")
    path.chmod(0o640)
    before = path.read_text()
    add_car(path, "first", FIRST)
    assert path.read_text().startswith(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(one.name for one in path.parent.iterdir()) == ["backend.toml", "operator-2.key"]


def test_a_configuration_that_is_there_is_left_alone(path: Path) -> None:
    before = path.read_text()
    key = make_key(path.parent / "operator-3.key")
    assert not make_configuration(path, Operator(3, "", key), "operator-3.key")
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("name", "request_", "problem"),
    [
        ("first", SECOND, "there is a car named 'first' already"),
        ("again", FIRST, "the car 0123456789abcdef is there already, named 'first'"),
        ("de mo", SECOND, "is no name for a car"),
        ('x"\n[[cars]]', SECOND, "is no name for a car"),
        ("demo\n", SECOND, "is no name for a car"),
        ("", SECOND, "is no name for a car"),
    ],
)
def test_a_car_that_does_not_fit_changes_nothing(path: Path, name: str, request_: CarRequest, problem: str) -> None:
    add_car(path, "first", FIRST)
    before = path.read_text()
    with pytest.raises(ConfigurationError, match=problem):
        add_car(path, name, request_)
    assert path.read_text() == before


def test_an_inline_list_of_cars_is_not_broken(path: Path) -> None:
    path.write_text("cars = []\n" + path.read_text())
    before = path.read_text()
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        add_car(path, "first", FIRST)
    assert path.read_text() == before
