"""Files a person gives the agent: configuration, profiles, keys; and how new ones are written beside them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agent.errors import ConfigurationError

PROFILE_FILE = "profile.toml"
DATABASE_SUFFIXES = frozenset({".dbc", ".kcd", ".arxml", ".xml", ".sym", ".cdd"})
"""What cantools reads; a profile folder also holds recordings, which are no business of the loader."""

PLAN_FILE = "profile.plan"
"""Beside the stores: what was compiled of the profile at an earlier start (`loading`)."""

TEXT_BYTES_MAX = 1 << 20
"""A profile with several hundred signals is 100 KiB."""

DATABASE_BYTES_MAX = 32 << 20
DATABASES_MAX = 64
"""A manufacturer's whole ARXML export is some 10 MiB; a car has a dozen buses."""

DOCUMENT_BYTES_MAX = 4096
"""The protocol's bound of what roots sign (csa1 A11)."""

SEED_BYTES = 32

_CREDENTIAL_MODE = stat.S_IRUSR | stat.S_IRGRP


def read_text(path: Path) -> str:
    """Text of a UTF-8 file; ConfigurationError naming the file if it cannot be had."""
    raw = read_bytes(path, TEXT_BYTES_MAX)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from None


def read_profile_texts(directory: Path) -> tuple[str, dict[str, bytes]]:
    """Text of `profile.toml`, and the message databases beside it by name (one that is named and missing is absent)."""
    try:
        names = sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(
            f"{directory}: no such folder; expected a profile folder with {PROFILE_FILE} in it"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{directory}: {error.strerror}; expected a profile folder to read") from None
    text = read_text(directory / PROFILE_FILE)
    databases = [path for path in names if path.suffix.lower() in DATABASE_SUFFIXES]
    if len(databases) > DATABASES_MAX:
        raise ConfigurationError(f"{directory}: {len(databases)} message databases; expected at most {DATABASES_MAX}")
    return text, {path.name: read_bytes(path, DATABASE_BYTES_MAX) for path in databases if path.is_file()}


def read_key_file(path: Path) -> bytes:
    """The 32-byte Ed25519 seed in `path`, as 64 hexadecimal digits or raw; refused if others may read it (H135)."""
    require_private(path)
    raw = read_bytes(path, 4 * SEED_BYTES)
    if len(raw) == SEED_BYTES:
        return raw
    try:
        seed = bytes.fromhex(raw.decode("ascii"))
    except ValueError:
        seed = b""
    if len(seed) != SEED_BYTES:
        raise ConfigurationError(f"{path}: no key; expected a 32-byte seed as 64 hexadecimal digits, or raw")
    return seed


def key_path(directory: Path, name: str) -> Path:
    """Where the key file `name` of a configuration in `directory` is: beside it, or among systemd's credentials.

    systemd (`LoadCredential=`, `LoadCredentialEncrypted=`) says where it put them in `CREDENTIALS_DIRECTORY`; the
    folder is no secret, and a key beside the configuration is taken first, so that the environment cannot replace it.
    """
    beside = directory / name
    credentials = _credentials_directory()
    if credentials is None or Path(name).name != name or beside.exists() or not (credentials / name).exists():
        return beside
    return credentials / name


def read_document(path: Path) -> bytes:
    """The bytes of an installed trust bundle or an order of the roots; ConfigurationError if they cannot be had."""
    return read_bytes(path, DOCUMENT_BYTES_MAX)


def require_private(path: Path) -> None:
    """ConfigurationError unless the file is its owner's alone (H135).

    A credential may be readable by its group too (0440): where systemd lets the service user in by an access list,
    the list's mask stands in the place of the group. It must then be root's or this user's own.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    mode = stat.S_IMODE(status.st_mode)
    is_credential = path.parent == _credentials_directory() and status.st_uid in (0, os.geteuid())
    if is_credential and mode & ~_CREDENTIAL_MODE == 0:
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"{path}: others may read or change this key (mode {mode:04o}); "
            f"run: chmod 600 {path}, and make a new key if anybody could have copied it"
        )


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Write and sync a file that is not there yet; FileExistsError if it is, OSError if it cannot be written."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Put a file in the place of another, or of none: after a power cut the one is there or the other, whole.

    OSError if it cannot be done; the file before is left then.
    """
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    write_new(draft, content, mode)
    draft.rename(path)
    sync_directory(path.parent)


def read_own(path: Path, bytes_max: int) -> bytes:
    """Content of a plain file that this user alone may read and change; OSError saying what stands against it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise OSError("it is not a plain file of this user's own")
        if stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            raise OSError(f"others may read or change it (mode {stat.S_IMODE(status.st_mode):04o})")
        raw = file.read(bytes_max + 1)
    if len(raw) > bytes_max:
        raise OSError(f"it is larger than {bytes_max} bytes")
    return raw


def sync_directory(directory: Path) -> None:
    """Make the names of new files durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _credentials_directory() -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) if folder else None


def read_bytes(path: Path, bytes_max: int) -> bytes:
    """Content of a file of at most `bytes_max` bytes; ConfigurationError naming it if it cannot be had."""
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
