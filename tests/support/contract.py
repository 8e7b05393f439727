"""What a car may publish, as `agent/asyncapi.yaml` has it, and a watch over everything the agent publishes in a test.

The watch stands where messages leave: at `Pending`, which every message of the engine goes through (in simulated worlds
too), at the last will, and on the wire of the bench's broker and of every tap at Mosquitto, where QoS, retain flag and
expiry are what was really sent.  Agents in processes of their own are watched as well (`watched/sitecustomize.py`).
What it finds fails the test that made it (`tests/conftest.py`).

    python -m tests.support.contract FOLDER

asks whether each message of the contract was published by some process that noted in FOLDER what it saw.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import yaml

import agent
from agent.adapters.broker import Broker
from agent.bench.broker import BenchBroker
from agent.bench.broker_wire import Publication
from agent.pending import Pending

CONTRACT_FILE = Path(agent.__file__).parent / "asyncapi.yaml"
"""Beside the code under test, which may be the wheel's."""
DRAFT = "http://json-schema.org/draft-07/schema#"
FINDINGS_MAX = 20
"""Of one test; a thousand messages with the same fault are told by the first of them."""

_LEVELS = {"operator": "(?:0|[1-9][0-9]*)", "car": "[0-9a-f]{16}"}

Validator = Callable[[object], object]
BreachError = fastjsonschema.JsonSchemaValueException


@dataclass(frozen=True, slots=True)
class Direction:
    """One topic in one direction: how it is sent, and the schema of each message by its name."""

    topic: re.Pattern[str]
    qos: int
    is_retained: bool
    expiry_s_max: int | None
    is_json: bool
    messages: Mapping[str, Mapping[str, Any]]


@cache
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CONTRACT_FILE.read_text())
    return loaded


@cache
def sent_by_car() -> Mapping[str, Direction]:
    """Last level of the topic → what the car may send there."""
    return {name: direction for action, name, direction in _directions() if action == "send"}


@cache
def validator(schema: str) -> Validator:
    """The check of one schema of the contract by its name; it raises BreachError."""
    root = {"$schema": DRAFT, "$ref": f"#/components/schemas/{schema}", "components": document()["components"]}
    compiled: Validator = fastjsonschema.compile(root)
    return compiled


def fault(
    topic: str, payload: bytes, *, is_retained: bool, expiry_s: int | None = None, qos: int | None = None
) -> str | None:
    """What is wrong with a message of the car, None if nothing; `qos` None where it is not known."""
    kind = topic.rpartition("/")[2]
    direction = sent_by_car().get(kind)
    if direction is None or not direction.topic.fullmatch(topic):
        return f"{topic}: no topic that a car sends to"
    if is_retained is not direction.is_retained:
        return f"{topic}: retained is {is_retained}, not {direction.is_retained}"
    if qos not in (None, direction.qos):
        return f"{topic}: QoS {qos}, not {direction.qos}"
    if expiry_s is not None and (direction.expiry_s_max is None or expiry_s > direction.expiry_s_max):
        return f"{topic}: message expiry {expiry_s} s, not {direction.expiry_s_max}"
    return _fault_of_json(direction, topic, payload) if direction.is_json else _fault_of_bytes(kind, topic, payload)


def _fault_of_json(direction: Direction, topic: str, payload: bytes) -> str | None:
    try:
        told = json.loads(payload)
    except ValueError as error:
        return f"{topic}: not JSON ({error}): {payload[:80]!r}"
    kind = told.get("kind") if isinstance(told, dict) else None
    if not isinstance(kind, str) or kind not in direction.messages:
        return f"{topic}: no message of kind {kind!r}"
    try:
        validator(kind)(told)
    except BreachError as error:
        return f"{topic}: {kind}: {error.message} in {payload.decode()}"
    _seen.add(kind)
    return None


def _fault_of_bytes(kind: str, topic: str, payload: bytes) -> str | None:
    """An envelope is looked into by `agent.command.envelope`; here it has to be one by its size."""
    schema = document()["components"]["schemas"]["envelope"]
    if not schema["minLength"] <= len(payload) <= schema["maxLength"]:
        return f"{topic}: {len(payload)} bytes, not {schema['minLength']} to {schema['maxLength']}"
    _seen.add(kind)
    return None


def _directions() -> list[tuple[str, str, Direction]]:
    """(send or receive, last level of the topic, how) of every operation."""
    found = []
    for operation in document()["operations"].values():
        name = operation["channel"]["$ref"].rpartition("/")[2]
        channel = document()["channels"][name]
        mqtt = operation["bindings"]["mqtt"]
        messages = {kind: document()["components"]["messages"][kind] for kind in channel["messages"]}
        pattern = re.sub(r"\{(\w+)\}", lambda level: _LEVELS[level[1]], channel["address"])
        is_json = not any("contentType" in message for message in messages.values())
        expiry_s_max = mqtt.get("messageExpiryInterval")
        direction = Direction(re.compile(pattern), mqtt["qos"], mqtt["retain"], expiry_s_max, is_json, messages)
        found.append((operation["action"], name, direction))
    return found


# --- the watch ------------------------------------------------------------------------------------------------------

_findings: list[str] = []
_seen: set[str] = set()
_file: Path | None = None

WATCHED = Path(__file__).resolve().parent / "watched"


def kinds_seen() -> frozenset[str]:
    """Kinds (of envelopes: topics) that were published in this process, and were right."""
    return frozenset(_seen)


def findings_file() -> Path:
    """Where processes started by tests note what they find."""
    return Path(os.environ["CONTRACT_FINDINGS"])


def have_others_watched(folder: Path) -> None:
    """Every agent that is started from here on, as a process of its own, notes in `folder` what it finds."""
    os.environ["CONTRACT_FINDINGS"] = str(folder / "findings")
    paths = [str(WATCHED), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


def take_findings() -> list[str]:
    """What was wrong since the last time, here and in processes of their own."""
    found = _findings[:]
    _findings.clear()
    if "CONTRACT_FINDINGS" in os.environ and findings_file().exists():
        found += findings_file().read_text().splitlines()
        findings_file().unlink()
    return found


def write_kinds_seen(folder: Path) -> None:
    """Leave what this process saw in `folder`, for `main`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{os.getpid()}.seen").write_text("".join(f"{kind}\n" for kind in sorted(_seen)))


def note(topic: str, payload: bytes, *, is_retained: bool, expiry_s: int | None = None, qos: int | None = None) -> None:
    """Look at a message of a car; what is wrong with it is found by `take_findings`."""
    if len(_findings) < FINDINGS_MAX:
        found = fault(topic, payload, is_retained=is_retained, expiry_s=expiry_s, qos=qos)
        if found is not None and found not in _findings:
            _findings.append(found)
            if _file is not None:
                with _file.open("a") as file:
                    file.write(found.replace("\n", " ") + "\n")


def note_on_wire(topic: str, payload: bytes, *, is_retained: bool, expiry_s: int | None, qos: int) -> None:
    """The same for what a broker saw, on topics of the car alone: anybody may have said the rest."""
    if topic.startswith("v1/") and topic.rpartition("/")[2] in sent_by_car():
        note(topic, payload, is_retained=is_retained, expiry_s=expiry_s, qos=qos)


def watch(file: Path | None = None) -> None:
    """Look at everything from now on, in this process; what is found is written to `file` too."""
    global _file  # noqa: PLW0603 - one watch in one process
    _file = file
    # Now, and not at the first message: a test may be measuring memory then.
    for direction in sent_by_car().values():
        for kind in direction.messages if direction.is_json else ():
            validator(kind)
    publish, publish_tracked = Pending.publish, Pending.publish_tracked
    begin, route = Broker.__init__, BenchBroker.route

    def watched_publish(
        self: Pending, topic: str, payload: bytes, *, is_retained: bool = False, expiry_s: int | None = None
    ) -> None:
        note(topic, payload, is_retained=is_retained, expiry_s=expiry_s)
        publish(self, topic, payload, is_retained=is_retained, expiry_s=expiry_s)

    def watched_tracked(self: Pending, topic: str, payload: bytes, *, is_retained: bool = False) -> int:
        note(topic, payload, is_retained=is_retained)
        return publish_tracked(self, topic, payload, is_retained=is_retained)

    def watched_begin(self: Broker, *arguments: Any, will: tuple[str, bytes], **others: Any) -> None:
        note(*will, is_retained=True)
        begin(self, *arguments, will=will, **others)

    def watched_route(self: BenchBroker, publication: Publication) -> Any:
        sent = publication.source
        note_on_wire(
            publication.topic,
            bytes(sent.payload or b""),
            is_retained=sent.retain,
            expiry_s=sent.message_expiry_interval,
            qos=int(sent.qos),
        )
        return route(self, publication)

    Pending.publish = watched_publish  # type: ignore[method-assign]
    Pending.publish_tracked = watched_tracked  # type: ignore[method-assign]
    Broker.__init__ = watched_begin  # type: ignore[method-assign]
    BenchBroker.route = watched_route  # type: ignore[method-assign]


def main(folder: Path) -> int:
    """Exit status 0 if every message that a car sends was seen."""
    seen = {kind for file in folder.glob("*.seen") for kind in file.read_text().split()}
    wanted = {
        kind if direction.is_json else name for name, direction in sent_by_car().items() for kind in direction.messages
    }
    sys.stdout.write(
        f"{len(wanted & seen)} of {len(wanted)} messages of agent/asyncapi.yaml were published by a test\n"
    )
    if missing := sorted(wanted - seen):
        sys.stdout.write(f"never: {', '.join(missing)}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
