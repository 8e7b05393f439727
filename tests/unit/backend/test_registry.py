"""`backend.toml` as it is made and grows."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.backend.keys import CarRequest, make_key
from agent.backend.registry import add_car, make_configuration, revoke_car, use_key
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


def test_revoking_a_car_touches_nothing_else(path: Path) -> None:
    add_car(path, "first", FIRST)
    add_car(path, "second", SECOND)
    path.write_text(path.read_text() + "# mine\n")
    before = path.read_text().splitlines()
    revoke_car(path, "second")
    added = [line for line in path.read_text().splitlines() if line not in before]
    assert added == ["revoked = true"]
    settings = load_settings(path)
    assert list(settings.cars) == ["first"]
    assert [car.id.hex() for car in settings.revoked] == [SECOND.car]


def test_a_name_may_belong_to_one_car_and_to_any_number_of_revoked_ones(path: Path) -> None:
    for number in range(3):
        public_key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key().public_bytes_raw()
        add_car(path, "demo", CarRequest(f"{number:016x}", public_key.hex()))
        revoke_car(path, "demo")
    add_car(path, "demo", FIRST)
    settings = load_settings(path)
    assert settings.car("demo").id.hex() == FIRST.car
    assert [car.name for car in settings.revoked] == ["demo"] * 3
    path.write_text(path.read_text().replace("revoked = true", "revoked = false", 1))
    with pytest.raises(ConfigurationError, match="'demo' stands here twice"):
        load_settings(path)


@pytest.mark.parametrize("key", ["id", "public_key"])
def test_the_identity_of_a_revoked_car_is_never_taken_again(path: Path, key: str) -> None:
    add_car(path, "first", FIRST)
    revoke_car(path, "first")
    again = CarRequest(FIRST.car, SECOND.public_key) if key == "id" else CarRequest(SECOND.car, FIRST.public_key)
    with pytest.raises(ConfigurationError, match="named 'first'"):
        add_car(path, "second", again)


@pytest.mark.parametrize("name", ["second", "first"])
def test_only_a_car_that_is_there_can_be_revoked(path: Path, name: str) -> None:
    add_car(path, "first", FIRST)
    revoke_car(path, "first")
    before = path.read_text()
    with pytest.raises(ConfigurationError, match=f"no car named '{name}' that could be revoked"):
        revoke_car(path, name)
    assert path.read_text() == before


def test_another_key_is_put_in_use_and_nothing_else_changes(path: Path) -> None:
    key = make_key(path.parent / "command-2.key")
    before = path.read_text()
    use_key(path, "command-2.key")
    assert load_settings(path).operator.key.private_bytes_raw() == key.private_bytes_raw()
    assert path.read_text() == before.replace("operator-2.key", "command-2.key")


def test_a_key_that_is_not_there_is_not_put_in_use(path: Path) -> None:
    before = path.read_text()
    with pytest.raises(ConfigurationError, match="there is no key file"):
        use_key(path, "command-2.key")
    assert path.read_text() == before


def test_a_file_written_in_another_way_is_left_to_a_person(path: Path) -> None:
    text = (
        'operator = {number = 2, key_file = "operator-2.key"}\nbroker = {host = "localhost"}\n'
        f'cars = [{{name = "first", id = "{FIRST.car}", public_key = "{FIRST.public_key}"}}]\n'
    )
    path.write_text(text)
    assert list(load_settings(path).cars) == ["first"]
    make_key(path.parent / "command-2.key")
    with pytest.raises(ConfigurationError, match="change it by hand"):
        revoke_car(path, "first")
    with pytest.raises(ConfigurationError, match="change it by hand"):
        use_key(path, "command-2.key")
    assert path.read_text() == text
