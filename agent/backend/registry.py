"""Changing `backend.toml`: the file made along with a key, and a car added to it."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from agent.backend.keys import CarRequest, car_table, toml_text
from agent.backend.settings import CAR_NAME_PATTERN, Operator, parse_settings, read_text
from agent.errors import ConfigurationError

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

    `ConfigurationError` if the name or the car is there already, or the file would not be valid afterwards.
    """
    if not re.fullmatch(CAR_NAME_PATTERN, name):
        raise ConfigurationError(f"{name!r} is no name for a car; expected letters, digits, '-', '_' and '.', up to 64")
    text = read_text(path)
    cars = parse_settings(text, path).cars
    if name in cars:
        raise ConfigurationError(f"{path}: there is a car named {name!r} already; choose another name, or remove it")
    for known in cars.values():
        if known.id.hex() == request.car:
            raise ConfigurationError(f"{path}: the car {request.car} is there already, named {known.name!r}")
    longer = text.rstrip("\n") + "\n\n" + car_table(name, request)
    parse_settings(longer, path)
    _replace(path, longer)


def _replace(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, and a full disk leaves the old one."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(path.stat().st_mode & 0o777)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None
