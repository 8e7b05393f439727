"""Files a person gives the agent: configuration, profiles, keys; and the ones `provision` makes for them."""

from __future__ import annotations

import json
import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.errors import ConfigurationError

PROFILE_FILE = "profile.toml"
DATABASE_SUFFIXES = frozenset({".dbc", ".kcd", ".arxml", ".xml", ".sym", ".cdd"})
"""What cantools reads; a profile folder also holds recordings, which are no business of the loader."""

TEXT_BYTES_MAX = 1 << 20
"""A profile with several hundred signals is 100 KiB."""

DATABASE_BYTES_MAX = 32 << 20
DATABASES_MAX = 64
"""A manufacturer's whole ARXML export is some 10 MiB; a car has a dozen buses."""

DOCUMENT_BYTES_MAX = 4096
"""The protocol's bound of what roots sign (csa1 A11)."""

SEED_BYTES = 32
CAR_ID_BYTES = 8

KEY_FILE = "vehicle.key"
REQUEST_FILE = "request.json"


def read_text(path: Path) -> str:
    """Text of a UTF-8 file; ConfigurationError naming the file if it cannot be had."""
    raw = _read(path, TEXT_BYTES_MAX)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from None


def read_profile_texts(directory: Path) -> tuple[str, dict[str, bytes]]:
    """Text of `profile.toml`, and the message databases beside it by name (one that is named and missing is absent)."""
    if not directory.is_dir():
        raise ConfigurationError(f"{directory}: no such folder; expected a profile folder with {PROFILE_FILE} in it")
    text = read_text(directory / PROFILE_FILE)
    databases = sorted(path for path in directory.iterdir() if path.suffix.lower() in DATABASE_SUFFIXES)
    if len(databases) > DATABASES_MAX:
        raise ConfigurationError(f"{directory}: {len(databases)} message databases; expected at most {DATABASES_MAX}")
    return text, {path.name: _read(path, DATABASE_BYTES_MAX) for path in databases if path.is_file()}


def read_key_file(path: Path) -> bytes:
    """The 32-byte Ed25519 seed in `path`, as 64 hexadecimal digits or raw; refused if others may read it (H135)."""
    require_private(path)
    raw = _read(path, 4 * SEED_BYTES)
    if len(raw) == SEED_BYTES:
        return raw
    try:
        seed = bytes.fromhex(raw.decode("ascii"))
    except ValueError:
        seed = b""
    if len(seed) != SEED_BYTES:
        raise ConfigurationError(f"{path}: no key; expected a 32-byte seed as 64 hexadecimal digits, or raw")
    return seed


def read_document(path: Path) -> bytes:
    """The bytes of an installed trust bundle or an order of the roots; ConfigurationError if they cannot be had."""
    return _read(path, DOCUMENT_BYTES_MAX)


def require_private(path: Path) -> None:
    """ConfigurationError unless the file is its owner's alone."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"{path}: others may read or change this key (mode {stat.S_IMODE(mode):04o}); "
            f"run: chmod 600 {path}, and make a new key if anybody could have copied it"
        )


def provision(directory: Path) -> dict[str, str]:
    """Make this car's id and key V: `vehicle.key`, which never leaves the car, and `request.json` for the operator.

    Returns the request, `{"car": 16 hex digits, "public_key": 64 hex digits}`. Files that are there already are
    never overwritten: a car that has an identity keeps it (ConfigurationError).
    """
    seed = secrets.token_bytes(SEED_BYTES)
    public_key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    request = {
        "car": secrets.token_hex(CAR_ID_BYTES),
        "public_key": public_key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
    }
    if (directory / REQUEST_FILE).exists():
        raise ConfigurationError(f"{directory / REQUEST_FILE}: is there already; this car has an identity and keeps it")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(directory / KEY_FILE, seed.hex() + "\n", 0o600)
        _write_new(directory / REQUEST_FILE, json.dumps(request) + "\n", 0o644)
    except FileExistsError as error:
        raise ConfigurationError(f"{error.filename}: is there already; this car has an identity and keeps it") from None
    except OSError as error:
        raise ConfigurationError(f"{error.filename or directory}: cannot be written: {error.strerror}") from None
    return request


def _write_new(path: Path, text: str, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > bytes_max:
        raise ConfigurationError(f"{path}: larger than {bytes_max} bytes, which is more than such a file needs")
    return raw
