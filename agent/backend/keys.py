"""Keys on disk: the operator's command key C, and the cars' requests that name their vehicle key V."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from agent.command.keys import load_public_key
from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass

# What a new key may ask for. Driving is never among them unasked: a person has to add it in the car's own file.
ACTIONS = ("unlock", "lock", "report")

# A seed is 64 characters and a line end, a request about 150; the rest is room for comments nobody needs.
_KEY_FILE_BYTES_MAX = 256
_REQUEST_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class CarRequest:
    """What `carshare-agent provision` writes for the operator: the car's id and its public key, both in hex."""

    car: str
    public_key: str


def key_id(public_key: Ed25519PublicKey) -> bytes:
    """The first 4 bytes of SHA-256 of the raw public key."""
    return hashlib.sha256(raw_public(public_key)).digest()[:4]


def raw_public(public_key: Ed25519PublicKey) -> bytes:
    """The 32 bytes of a public key."""
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def make_key(path: Path) -> Ed25519PrivateKey:
    """Make a key and write its seed to a new file that only the owner can read; never overwrites one."""
    key = Ed25519PrivateKey.generate()
    store_key(path, key)
    return key


def store_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write the seed of a key to a new file that only the owner can read; never overwrites one."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"{path}: is there already, and a key is never overwritten; show it with: carshare-backend keys show"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_key(path: Path) -> Ed25519PrivateKey:
    """The key whose seed (64 hex digits) is in `path`; `ConfigurationError` if others may read that file."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_KEY_FILE_BYTES_MAX)
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no key file {path}; make one with: carshare-backend keys new DIR --operator NUMBER"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise ConfigurationError(
            f"the key file {path} can be read or changed by others (mode {mode:04o}); mend it with: chmod 600 {path}"
        )
    if not re.fullmatch(rb"[0-9a-fA-F]{64}\s*", text):
        raise ConfigurationError(f"the key file {path} does not hold a key; expected 64 hexadecimal digits")
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.decode()))


def read_request(path: Path) -> CarRequest:
    """A car's request; keys beyond `car` and `public_key` are for others and not read."""
    try:
        with path.open("rb") as file:
            raw = file.read(_REQUEST_BYTES_MAX)
        document = json.loads(raw)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f'{path}: expected a JSON object with "car" and "public_key"')
    if "car" not in document and "csr" in document:
        raise ConfigurationError(
            f"{path}: this car has no id yet, the fleet gives it one: carshare-backend enroll {path.name} --name NAME; "
            "for a car without a fleet provision it with --standalone"
        )
    problems = [
        f"{path}: {key}: {_shown(document, key)}; expected {digits} hexadecimal digits in lower case"
        for key, digits in (("car", 16), ("public_key", 64))
        if not _is_hex(document.get(key), digits)
    ]
    if not problems and load_public_key(bytes.fromhex(document["public_key"])) is None:
        problems.append(
            f"{path}: public_key: is no proper Ed25519 public key; the file is damaged, or not what carshare-agent "
            "provision wrote: do not register the car, and fetch it again"
        )
    if problems:
        raise ConfigurationError("\n".join(problems))
    return CarRequest(document["car"], document["public_key"])


def car_table(name: str, request: CarRequest) -> str:
    """The table that makes a car known in `backend.toml`."""
    return f'[[cars]]\nname = "{name}"\nid = "{request.car}"\npublic_key = "{request.public_key}"\n'


def operator_table(number: int, name: str, public_key: Ed25519PublicKey, actions: Iterable[str] = ACTIONS) -> str:
    """The table that makes this operator's key known in a car's `agent.toml`, for these actions."""
    listed = ", ".join(f'"{action}"' for action in actions)
    return (
        "[[operators]]\n"
        f"number = {number}\n"
        f"name = {toml_text(name)}\n\n"
        "[[operators.command_keys]]\n"
        f'id = "{key_id(public_key).hex()}"\n'
        f'public_key = "{raw_public(public_key).hex()}"\n'
        f"actions = [{listed}]\n"
    )


def toml_text(text: str) -> str:
    """A printable text as a TOML string: JSON's escapes of quotes and backslashes are TOML's too."""
    return json.dumps(text, ensure_ascii=False)


def _is_hex(value: object, digits: int) -> bool:
    return isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{digits}}}", value) is not None


def _shown(document: dict[str, object], key: str) -> str:
    return f"{document[key]!r:.80} does not fit" if key in document else "missing"
