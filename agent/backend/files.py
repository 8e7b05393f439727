"""Files of the operator's folder: new ones never take the place of old ones, changed ones change as a whole."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path

from agent.errors import ConfigurationError

SECRET_MODE = 0o600
OPEN_MODE = 0o644


def read_file(path: Path, bytes_max: int) -> bytes:
    """Content of a file of at most `bytes_max` bytes; ConfigurationError naming it if it cannot be had."""
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > bytes_max:
        raise ConfigurationError(f"{path}: larger than {bytes_max} bytes, which is more than such a file needs")
    return raw


def read_object(path: Path, bytes_max: int) -> dict[str, object]:
    """The JSON object in a file."""
    raw = read_file(path, bytes_max)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: expected a JSON object")
    return document


def require_own(path: Path) -> None:
    """ConfigurationError unless the private key in `path` is its owner's alone (H135)."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise ConfigurationError(
            f"the key file {path} can be read or changed by others (mode {mode:04o}); mend it with: chmod 600 {path}"
        )


def write_new(path: Path, content: bytes, mode: int = OPEN_MODE) -> None:
    """Write and sync a file that is not there yet, making its folder; ConfigurationError if it is there."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise ConfigurationError(f"{path}: is there already, and is not overwritten; move it away first") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one, and a full disk leaves the old one. The mode stays."""
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else OPEN_MODE
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(mode)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None
