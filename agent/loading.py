"""The vehicle's profile from its folder: compiled, or at most starts recalled from what was compiled before.

The plan kept is one file beside the stores, which the agent's own user alone may write; what it may say and what not:
`profiles.recall`. Whatever is wrong with it, the profile is compiled, which takes a second or two more, and it is
written anew.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__
from agent.adapters.files import (
    PLAN_FILE,
    key_path,
    read_key_file,
    read_own,
    read_profile_texts,
    read_text,
    replace_file,
)
from agent.adapters.interface_names import interface_names
from agent.adapters.journal import write_log
from agent.command.keys import load_public_key
from agent.command.verify import KeyRecord
from agent.config import ACTIONS, Config, believe_config, parse_config
from agent.errors import ConfigurationError
from agent.faults import Fault, dotted, shown, toml_line
from agent.model.effects import Level, Log
from agent.model.quick_dataclass import dataclass
from agent.profiles.findings import expected_of

if TYPE_CHECKING:
    from agent.profiles.recall import Program, Sources
    from agent.profiles.schema import Profile

PLAN_BYTES_MAX = 4 << 20
"""A signal takes some 300 bytes; a profile's text has room for a few thousand."""

_PLAN_MODE = 0o600

_NO_END_UNIX_S = 2**53

_CHECKING = ("config.py", "config_table.py", "model/table.py")
"""What finds a configuration sound, beside the code of profiles."""


def load_profile(directory: Path) -> Profile:
    """The profile in a folder; raises ConfigurationError listing every fault."""
    return _compiled(*read_profile_texts(directory), directory)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A profile, and what to do once the stores are open and their folder is this agent's alone."""

    profile: Profile
    plan: Path
    sources: Sources
    program: Program
    is_recalled: bool

    def keep(self) -> None:
        """Write down what was compiled, for the next start. Never raises: without it that start takes longer."""
        if self.is_recalled:
            return
        from agent.profiles.recall import sealed

        content = sealed(self.profile, self.sources, self.program)
        if isinstance(content, bytes) and len(content) > PLAN_BYTES_MAX:
            content = f"it has {len(content)} bytes, more than {PLAN_BYTES_MAX}"
        try:
            if isinstance(content, bytes):
                replace_file(self.plan, content, _PLAN_MODE)
                return
            self.plan.unlink(missing_ok=True)
        except OSError as error:
            content = str(error)
        write_log(Log(Level.NOTICE, "plan_not_kept", {"file": str(self.plan), "reason": content}))


def configured_for_run(path: Path) -> tuple[Config, str, bytes, Loaded]:
    """The configuration, its text, the car's own key, and the profile; ConfigurationError listing every fault.

    A text that was found sound before, as the plan kept says, is believed: only who has the key can have sealed it.
    """
    text, directory = read_text(path), path.parent
    if (config := believe_config(text)) is not None:
        # Nothing of it is used for more than to find the key and the plan until that has spoken for it.
        with contextlib.suppress(ConfigurationError):  # told below, after the faults of the configuration
            seed = read_key_file(key_path(directory, config.car.key_file))
            found = _recalled(directory / config.car.profile, directory / config.store.directory, seed, text)
            if isinstance(found, Loaded):
                return config, text, seed, found
    config = checked_config(text, path)
    key_records(config, text, source=str(path))
    seed = read_key_file(key_path(directory, config.car.key_file))
    # One that would be believed to say something else is looked at at each start.
    vouched = text if believe_config(text) == config else ""
    loaded = load_for_run(directory / config.car.profile, directory / config.store.directory, seed, vouched)
    return config, text, seed, loaded


def load_for_run(directory: Path, store: Path, secret: bytes, config_text: str = "") -> Loaded:
    """The profile in a folder, from the plan kept in `store` if that fits; ConfigurationError listing every fault.

    `secret` is the car's own key: only who has it can have written a plan that fits. `config_text` was found sound.
    """
    found = _recalled(directory, store, secret, config_text)
    if isinstance(found, Loaded):
        return found
    reason, plan, sources, program = found
    write_log(Log(Level.INFO, "profile_compiled", {"plan": str(plan), "reason": reason}))
    return Loaded(_compiled(sources.profile_text, sources.files, directory), plan, sources, program, is_recalled=False)


def _recalled(
    directory: Path, store: Path, secret: bytes, config_text: str
) -> Loaded | tuple[str, Path, Sources, Program]:
    """What is kept, if it is of these very texts; otherwise why not, and what there is to make it anew."""
    # Not for `status` and other commands that load no profile.
    from agent.profiles.recall import Program, Sources, recalled

    sources = Sources(*read_profile_texts(directory), config_text)
    plan, program = store / PLAN_FILE, Program(_program(), secret)
    try:
        found: Profile | str = recalled(read_own(plan, PLAN_BYTES_MAX), sources, program)
    except FileNotFoundError:
        found = "there is none yet"
    except OSError as error:
        found = str(error)
    if isinstance(found, str):
        return found, plan, sources, program
    return Loaded(found, plan, sources, program, is_recalled=True)


def load_config(path: Path) -> tuple[Config, str]:
    """The configuration and its text; raises ConfigurationError listing every fault."""
    text = read_text(path)
    return checked_config(text, path), text


def checked_config(text: str, path: Path) -> Config:
    """The configuration in a text read from `path`; raises ConfigurationError listing every fault."""
    config = parse_config(text, source=str(path))
    if isinstance(config, list):
        raise ConfigurationError(listed(config))
    return config


def interface_faults(config: Config, text: str, *, source: str) -> list[Fault]:
    """Interfaces of which python-can knows none by their name; `run` finds out when it opens them."""
    known = interface_names()
    places = {("buses", name, "interface"): bus.interface for name, bus in config.buses.items()}
    return [
        Fault(
            source,
            dotted(path),
            toml_line(text, path),
            f"python-can has no interface {shown(given)}",
            expected_of(known, given),
        )
        for path, given in places.items()
        if given not in known
    ]


def listed(faults: Sequence[Fault]) -> str:
    """Faults for a person, with their number."""
    count = f"{len(faults)} fault" + ("s" if len(faults) != 1 else "")
    return "\n".join([count, *(f"  {fault}" for fault in faults)])


def _compiled(text: str, files: Mapping[str, bytes], directory: Path) -> Profile:
    from agent.profiles.parse import parse_profile  # pulls in cantools, which most starts need not wait for

    profile = parse_profile(text, files, source=str(directory / "profile.toml"))
    if isinstance(profile, list):
        raise ConfigurationError(listed(profile))
    return profile


def _program() -> str:
    """Version, interpreter, and the code that checks and compiles: a checkout is changed without a new version."""
    code = sha256()
    folder = Path(__file__).parent
    for path in sorted([*(folder / "profiles").glob("*.py"), *(folder / name for name in _CHECKING)]):
        code.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"{__version__} {sys.version} {code.hexdigest()}"


def key_records(config: Config, text: str, *, source: str) -> dict[bytes, KeyRecord]:
    """The operators' keys by id; raises ConfigurationError for weak keys and ids that are not their key's."""
    records: dict[bytes, KeyRecord] = {}
    faults: list[Fault] = []
    for index, operator in enumerate(config.operators):
        for position, table in enumerate(operator.command_keys):
            where = ("operators", index, "command_keys", position)
            raw = bytes.fromhex(table.public_key)
            public_key = load_public_key(raw)
            if public_key is None:
                path = (*where, "public_key")
                problem = "is not a proper Ed25519 public key"
                faults.append(Fault(source, dotted(path), toml_line(text, path), problem, "what keys show prints"))
                continue
            if sha256(raw).digest()[:4].hex() != table.id:
                path = (*where, "id")
                wanted = sha256(raw).digest()[:4].hex()
                faults.append(Fault(source, dotted(path), toml_line(text, path), "is not this key's id", wanted))
                continue
            no_end = table.not_after_unix_s is None
            records[bytes.fromhex(table.id)] = KeyRecord(
                kid=bytes.fromhex(table.id),
                operator=operator.number,
                public_key=public_key,
                actions=frozenset(ACTIONS[word] for word in table.actions),
                not_before_unix_s=table.not_before_unix_s,
                not_after_unix_s=_NO_END_UNIX_S if no_end else int(table.not_after_unix_s or 0),
            )
    if faults:
        raise ConfigurationError(listed(faults))
    return records
