"""A profile compiled before, recalled: what is received from a sealed text, what is sent compiled anew at each start.

The text holds message plans, which say where values lie in what the car sends, and nothing of what the agent may send:
recipes and the send list are made of `profile.toml` and its DBC files every time (SR-01), by `plain_dbc`.  It is sealed
with a key made of the car's own, so that only who holds that can have written it, and bound to the program and to
every input byte.  A text is sealed only after it was seen to give the very profile that cantools gave.
"""

from __future__ import annotations

import hmac
import json
import tomllib
from collections.abc import Mapping, Sequence
from hashlib import sha256

from agent.model.quick_dataclass import dataclass
from agent.model.table import believed
from agent.profiles.assembly import assemble
from agent.profiles.findings import Findings
from agent.profiles.lookup import Lookup
from agent.profiles.message_rules import compile_rules
from agent.profiles.plain_dbc import PlainMessages
from agent.profiles.plan_text import as_json, from_json, text_of
from agent.profiles.schema import MessagePlan, Profile
from agent.profiles.toml_model import ProfileTable

FORMAT = 3

_HEAD = f"carshare-agent plan {FORMAT} ".encode()
_SEAL_CHARS = 64
_KEY_LABEL = b"carshare-agent plan cache"


@dataclass(frozen=True, slots=True)
class Sources:
    """What a profile is compiled from: `profile.toml` and the files beside it (content by name).

    And the text of `agent.toml`, which is no part of it: that it was found sound is sealed in the same place.
    """

    profile_text: str
    files: Mapping[str, bytes]
    config_text: str = ""

    def digests(self) -> dict[str, str]:
        """SHA-256 of each, in hexadecimal digits."""
        texts = {"profile.toml": self.profile_text, "agent.toml": self.config_text}
        profile = {name: sha256(text.encode()).hexdigest() for name, text in texts.items()}
        return profile | {f"file {name}": sha256(content).hexdigest() for name, content in self.files.items()}


@dataclass(frozen=True, slots=True)
class Program:
    """Who compiles: `name` says program and interpreter to the last bit, `secret` is the car's own key."""

    name: str
    secret: bytes

    def seal(self, body: bytes) -> bytes:
        """64 hexadecimal digits that nobody without the secret can make."""
        key = hmac.digest(self.secret, _KEY_LABEL, "sha256")
        return hmac.digest(key, body, "sha256").hex().encode()


def sealed(profile: Profile, sources: Sources, program: Program) -> bytes | str:
    """The text to keep of a profile that was compiled from `sources`; or why there can be none, in words."""
    try:
        messages = as_json(profile.messages)
        document = {"program": program.name, "inputs": sources.digests(), "messages": messages}
        body = text_of(document).encode()
        read = from_json(json.loads(body)["messages"])
    except ValueError as error:
        return f"a plan cannot be written down: {error}"
    if text_of(as_json(read)) != text_of(messages):
        return "a plan written down is not read as it was"
    if _assembled(sources, read) != profile:
        return "without cantools its messages, or the frames to be sent, are not the same"
    return _HEAD + program.seal(body) + b"\n" + body


def recalled(content: bytes, sources: Sources, program: Program) -> Profile | str:
    """The profile of which `sealed` made `content`; or in words why it must be compiled anew. Never raises."""
    head, _, body = content.partition(b"\n")
    if not hmac.compare_digest(head, _HEAD + program.seal(body)):
        return "it is damaged, of another format, or not this car's"
    try:
        document = json.loads(body)
        if document["program"] != program.name:
            return "another version of the program wrote it"
        if document["inputs"] != sources.digests():
            return "the profile's files have changed, or agent.toml"
        profile = _assembled(sources, from_json(document["messages"]))
    except (ValueError, TypeError, KeyError) as error:
        return f"it holds what it should not: {error}"
    return profile or "the frames to be sent cannot be read without cantools"


def _assembled(sources: Sources, messages: Sequence[MessagePlan]) -> Profile | None:
    """The profile with these messages, all else compiled without cantools; None if that cannot be done."""
    try:
        # That it is sound the seal says: by its digest it is the text that was compiled.
        tables = believed(ProfileTable, tomllib.loads(sources.profile_text))
    except (ValueError, TypeError, RecursionError):
        return None
    findings = Findings(sources.profile_text, "")
    lookup = Lookup(tables.buses, sources.files, findings, PlainMessages.load)
    sending = [*tables.wake.values(), *tables.actions.values()]
    sent = {frame.message for table in sending if table is not None for frame in table.frames}
    rules = compile_rules([row for row in tables.messages if row is not None and row.message in sent], lookup)
    profile = assemble(tables, rules, messages, lookup)
    return None if findings else profile
