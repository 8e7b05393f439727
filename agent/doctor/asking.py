"""Other programs asked for what they know: bounded in time, in one language, never through a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from agent.errors import AgentError

_WAIT_S = 10.0

# A plain user's PATH leaves these out.
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


class NotAskedError(AgentError):
    """The program is not there, did not answer in time, or failed; the text says which, in words."""


def said_by(command: Sequence[str]) -> str:
    """What a program prints; NotAskedError if it could not be asked."""
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}")
    if program is None:
        raise NotAskedError(f"there is no program {command[0]} here")
    try:
        done = subprocess.run(  # noqa: S603 - programs of the system, named by this package
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WAIT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise NotAskedError(f"{command[0]} did not answer within {_WAIT_S:g} s") from None
    except OSError as error:
        raise NotAskedError(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise NotAskedError(f"{command[0]}: {words[-1] if words else f'status {done.returncode}'}")
    return done.stdout.decode(errors="replace")
