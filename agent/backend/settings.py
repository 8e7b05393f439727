"""`backend.toml` as values, or every fault in it at once."""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from agent.backend.keys import key_id, read_key
from agent.command.keys import load_public_key
from agent.config import HexCar, HexKey
from agent.errors import ConfigurationError
from agent.faults import Fault, dotted, toml_line
from agent.model.quick_dataclass import dataclass

# Names are typed on a command line and stand in file names and log lines.
CAR_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

# A fleet of 10,000 cars comes to about 2 MB; anything above that is not this file.
FILE_BYTES_MAX = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Operator:
    """Who signs: operator number and command key C; `kid` is the first 4 bytes of SHA-256 of its public key."""

    number: int
    name: str
    key: Ed25519PrivateKey

    @property
    def kid(self) -> bytes:
        return key_id(self.key.public_key())


@dataclass(frozen=True, slots=True)
class Car:
    """A car by the name people use for it: its 8-byte id and the public half of its vehicle key V."""

    name: str
    id: bytes
    public_key: Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """The MQTT broker. Without `ca_file` the connection is plain, which only a loopback address may be."""

    host: str
    port: int
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    keep_alive_s: int = 30


@dataclass(frozen=True, slots=True)
class Settings:
    """All a backend needs. `cars` is by name; those `revoked` are neither believed nor asked for anything."""

    operator: Operator
    broker: BrokerAddress
    cars: Mapping[str, Car]
    revoked: tuple[Car, ...] = ()

    def car(self, name: str) -> Car:
        """The car of that name; `ConfigurationError` naming the known ones if there is none."""
        if (car := self.cars.get(name)) is not None:
            return car
        if any(car.name == name for car in self.revoked):
            raise ConfigurationError(f"The car {name!r} was revoked: nothing it says is believed any more.")
        close = difflib.get_close_matches(name, self.cars, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigurationError(f"There is no car named {name!r}.{hint} {_known(tuple(self.cars))}")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _OperatorTable(_Table):
    number: int = Field(ge=1, le=2**31 - 1)
    name: str = Field(default="", max_length=200)
    key_file: str = Field(min_length=1)


class _BrokerTable(_Table):
    host: str = Field(min_length=1)
    port: int = Field(default=8883, ge=1, le=65535)
    ca_file: str | None = Field(default=None, min_length=1)
    certificate_file: str | None = Field(default=None, min_length=1)
    key_file: str | None = Field(default=None, min_length=1)
    keep_alive_s: int = Field(default=30, ge=5, le=1200)


class _CarTable(_Table):
    name: str = Field(pattern=CAR_NAME_PATTERN)
    id: HexCar
    public_key: HexKey
    revoked: bool = False


class _File(_Table):
    operator: _OperatorTable
    broker: _BrokerTable
    cars: list[_CarTable] = Field(default=[], max_length=10_000)


def load_settings(path: Path) -> Settings:
    """Read and check `backend.toml`; `ConfigurationError` with every fault, one a line.

    File names in it are relative to the folder it lies in.
    """
    return parse_settings(read_text(path), path)


def read_text(path: Path) -> str:
    """The configuration as text; `ConfigurationError` if there is none or it is no text."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        if len(raw) > FILE_BYTES_MAX:
            raise ConfigurationError(f"{path}: larger than {FILE_BYTES_MAX} bytes; this is no backend.toml")
        return raw.decode()
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: there is no such configuration. Name one with --config, "
            "or make one with: carshare-backend fleet init DIR --operator NUMBER"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 text (byte {error.start})") from None


def parse_settings(text: str, path: Path) -> Settings:
    """The settings in a TOML text; `path` is named in the faults, its folder is where relative files are."""
    source, folder = str(path), path.parent
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(Fault(source, "", _line_in(str(error)), f"not valid TOML: {error}"))) from None
    file, faults = _tables(document, text, source)
    faults += _cross_faults(document, text, source)
    key, key_fault = _operator_key(document, folder)
    if key_fault:
        where = ("operator", "key_file")
        faults.append(Fault(source, dotted(where), toml_line(text, where), key_fault))
    if file is None or key is None or faults:
        raise ConfigurationError("\n".join(map(str, sorted(faults, key=lambda fault: fault.line))))
    return Settings(
        Operator(file.operator.number, file.operator.name, key),
        _address(file.broker, folder),
        {car.name: _car(car) for car in file.cars if not car.revoked},
        tuple(_car(car) for car in file.cars if car.revoked),
    )


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine: a loopback address, or the name every resolver maps to one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tables(document: Mapping[str, object], text: str, source: str) -> tuple[_File | None, list[Fault]]:
    try:
        return _File.model_validate(document), []
    except ValidationError as error:
        return None, [_fault(detail, text, source) for detail in error.errors()]


def _fault(detail: ErrorDetails, text: str, source: str) -> Fault:
    path, kind = tuple(detail["loc"]), detail["type"]
    if kind == "extra_forbidden":
        return Fault(source, dotted(path), toml_line(text, path), "unknown key", _close_keys(path))
    if kind == "missing":
        return Fault(source, dotted(path), toml_line(text, path[:-1]), "missing", "a value; there is no default")
    given = detail.get("input")
    shown = f"{given!r:.60}" if isinstance(given, str | int | float | bool) else type(given).__name__
    return Fault(source, dotted(path), toml_line(text, path), f"{shown} does not fit", detail["msg"])


def _close_keys(path: tuple[str | int, ...]) -> str:
    tables: dict[str | int, type[_Table]] = {"operator": _OperatorTable, "broker": _BrokerTable, "cars": _CarTable}
    table = _File if len(path) == 1 else tables[path[0]]
    known = list(table.model_fields)
    return "one of " + ", ".join(difflib.get_close_matches(str(path[-1]), known, n=2) or known)


def _cross_faults(document: Mapping[str, object], text: str, source: str) -> list[Fault]:
    """What spans more than one key; read from the raw document, so that it is told along with the rest."""
    faults = []

    def add(path: tuple[str | int, ...], problem: str, expected: str) -> None:
        faults.append(Fault(source, dotted(path), toml_line(text, path), problem, expected))

    broker = document.get("broker")
    if isinstance(broker, dict):
        if ("certificate_file" in broker) != ("key_file" in broker):
            add(("broker",), "certificate_file and key_file go together", "both or none")
        if "ca_file" not in broker:
            host = broker.get("host")
            if "certificate_file" in broker:
                add(("broker",), "certificate_file without ca_file", "the CA file that signed the broker's certificate")
            elif isinstance(host, str) and not is_loopback(host):
                add(("broker", "host"), f"a plain connection to {host!r:.60}", "ca_file (TLS), or a loopback address")
    for index, key in _improper_keys(document.get("cars")):
        add(("cars", index, "public_key"), f"{key} is no proper Ed25519 public key", "what the car's request.json says")
    for key, index, value in _repeated(document.get("cars")):
        add(("cars", index, key), f"{value!r:.60} stands here twice", f"a distinct {key} for each car")
    return faults


def _repeated(cars: object) -> Iterator[tuple[str, int, str]]:
    for key in ("name", "id"):
        seen: set[str] = set()
        for index, car in enumerate(cars if isinstance(cars, list) else ()):
            value = car.get(key) if isinstance(car, dict) else None
            # A car that was revoked and provisioned anew is another car, which may well be called the same.
            is_history = key == "name" and isinstance(car, dict) and car.get("revoked") is True
            if isinstance(value, str) and not is_history:
                if value in seen:
                    yield key, index, value
                seen.add(value)


def _improper_keys(cars: object) -> Iterator[tuple[int, str]]:
    """Keys in the right form that no car can have: under some, one signature would fit many messages (H25)."""
    for index, car in enumerate(cars if isinstance(cars, list) else ()):
        key = car.get("public_key") if isinstance(car, dict) else None
        if isinstance(key, str) and re.fullmatch(r"[0-9a-f]{64}", key) and load_public_key(bytes.fromhex(key)) is None:
            yield index, key


def _operator_key(document: Mapping[str, object], folder: Path) -> tuple[Ed25519PrivateKey | None, str]:
    operator = document.get("operator")
    name = operator.get("key_file") if isinstance(operator, dict) else None
    if not isinstance(name, str) or not name:
        return None, ""
    try:
        return read_key(folder / name), ""
    except ConfigurationError as error:
        return None, str(error)


def _address(table: _BrokerTable, folder: Path) -> BrokerAddress:
    ca_file, certificate_file, key_file = (
        None if name is None else folder / name for name in (table.ca_file, table.certificate_file, table.key_file)
    )
    return BrokerAddress(table.host, table.port, ca_file, certificate_file, key_file, table.keep_alive_s)


def _car(table: _CarTable) -> Car:
    public_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(table.public_key))
    return Car(table.name, bytes.fromhex(table.id), public_key)


def _known(names: Sequence[str]) -> str:
    if not names:
        return "None is registered yet: carshare-backend enroll REQUEST.json --name NAME"
    shown = ", ".join(names[:20])
    return f"Known: {shown}" + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _line_in(message: str) -> int:
    words = message.replace(",", " ").replace(")", " ").split()
    return int(words[words.index("line") + 1]) if "line" in words else 0
