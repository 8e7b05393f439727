"""Changing `backend.toml`: the file made along with a key, and a car added to it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.backend.files import replace
from agent.backend.keys import CarRequest, car_table, raw_public, toml_text
from agent.backend.settings import CAR_NAME_PATTERN, Operator, load_settings, parse_settings, read_text
from agent.errors import ConfigurationError
from agent.faults import toml_line

_EXAMPLE = Path(__file__).parent / "backend.example.toml"


def example_text() -> str:
    """The sample configuration: every key with its default, unit and reason."""
    return _EXAMPLE.read_text(encoding="utf-8")


def make_configuration(path: Path, operator: Operator, key_file: str) -> bool:
    """Write a first `backend.toml` for a loopback broker; False if there is one already, which is left alone."""
    text = (
        "# Written by `carshare-backend keys new`. `carshare-backend sample` explains every key.\n\n"
        f"[operator]\nnumber = {operator.number}\nname = {toml_text(operator.name)}\n"
        f"key_file = {toml_text(key_file)}\n\n"
        '[broker]\nhost = "127.0.0.1"\nport = 1883\n'
    )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def add_car(path: Path, name: str, request: CarRequest) -> None:
    """Make a car known under `name`: its table is appended to `backend.toml`, which is replaced as a whole.

    `ConfigurationError` if the car is no new one, or the file would not be valid afterwards.
    """
    require_new_car(path, name, request)
    longer = read_text(path).rstrip("\n") + "\n\n" + car_table(name, request)
    parse_settings(longer, path)
    replace(path, longer.encode())


def require_new_car(path: Path, name: str, request: CarRequest) -> None:
    """`ConfigurationError` if the name is none or is taken, or id or key are those of a car that is or was there."""
    if not re.fullmatch(CAR_NAME_PATTERN, name):
        raise ConfigurationError(f"{name!r} is no name for a car; expected letters, digits, '-', '_' and '.', up to 64")
    settings = load_settings(path)
    if name in settings.cars:
        raise ConfigurationError(f"{path}: there is a car named {name!r} already; choose another name, or remove it")
    for known in (*settings.cars.values(), *settings.revoked):
        if known.id.hex() == request.car:
            raise ConfigurationError(f"{path}: the car {request.car} is there already, named {known.name!r}")
        if raw_public(known.public_key).hex() == request.public_key:
            raise ConfigurationError(
                f"{path}: this vehicle key is that of the car {known.id.hex()}, named {known.name!r}; "
                "provision the car anew, so that it makes a key of its own"
            )


def revoke_car(path: Path, name: str) -> None:
    """Mark the car of that name as revoked: its table stays, so that its id and key are known and never taken again."""
    text = read_text(path)
    cars = tomllib.loads(text).get("cars", [])
    index = next((i for i, car in enumerate(cars) if car["name"] == name and not car.get("revoked")), None)
    if index is None:
        raise ConfigurationError(f"{path}: there is no car named {name!r} that could be revoked")
    lines = text.splitlines(keepends=True)
    lines.insert(toml_line(text, ("cars", index)), "revoked = true\n")
    _change(path, text, "".join(lines), lambda document: document["cars"][index].update(revoked=True))


def use_key(path: Path, key_file: str) -> None:
    """Have the backend sign with another command key from now on."""
    text = read_text(path)
    lines = text.splitlines(keepends=True)
    lines[toml_line(text, ("operator", "key_file")) - 1] = f"key_file = {toml_text(key_file)}\n"
    _change(path, text, "".join(lines), lambda document: document["operator"].update(key_file=key_file))


def _change(path: Path, before: str, after: str, wanted: Callable[[dict[str, Any]], None]) -> None:
    """Replace the file if its new text says what is `wanted` and nothing else: TOML can be written in many ways."""
    expected = tomllib.loads(before)
    wanted(expected)
    try:
        is_as_wanted = tomllib.loads(after) == expected
    except tomllib.TOMLDecodeError:
        is_as_wanted = False
    if not is_as_wanted:
        raise ConfigurationError(
            f"{path}: is not written as this command writes it, so it is left alone; change it by hand: "
            "revoked = true in the car's [[cars]] table, or key_file in [operator]"
        )
    parse_settings(after, path)
    replace(path, after.encode())
