"""Who may import whom, and what nobody below the edge may touch.

Each rule is a function from one module's text to its violations, so that the last tests here can show every rule a
text that breaks it: a check that cannot fail proves nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "agent"

NOUNS = {"errors", "faults", "model"}
SHAPES = NOUNS | {"profiles", "config", "config_table", "ability"}
STAGES = {"decode", "state", "policy", "uplink", "health"}
ENGINE = {
    *("engine", "commanding", "acting", "trusting", "telemetry", "bus_watch", "forwarding", "chronicle", "link_watch"),
    *("asking", "questions", "open_ends", "observing", "lookout"),
    *("pending", "power", "presence", "ledger", "answers", "replay", "returning", "session", "accounting"),
}
"""The engine and the parts it was cut into: the only modules that know more than one stage."""

BELOW_THE_EDGE = SHAPES | STAGES | {"command"} | ENGINE
CAR = BELOW_THE_EDGE | {
    "adapters",
    "supervision",
    "wiring",
    "loading",
    "starting",
    "power_off",
    "app",
    "orders",
    "enrolment",
    "acceptance",
    "provisioning",
    "doctor",
    "profile_tools",
    "cli",
}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "faults": set(),
    "model": set(),
    "profiles": NOUNS,
    "config_table": {"model"},
    "config": NOUNS | {"profiles", "config_table"},
    "ability": NOUNS | {"profiles", "config"},
    **dict.fromkeys(STAGES, SHAPES),
    # A later version runs signature check, journal and CAN transmission in a process of its own: this is the cut.
    "command": {"model"},
    **dict.fromkeys(ENGINE, BELOW_THE_EDGE),
    "adapters": {"model", "errors"},
    "provisioning": NOUNS | {"adapters", "command"},
    "acceptance": BELOW_THE_EDGE | {"adapters", "provisioning"},
    "enrolment": BELOW_THE_EDGE | {"acceptance", "orders", "provisioning"},
    "wiring": BELOW_THE_EDGE | {"adapters"},
    "loading": BELOW_THE_EDGE | {"adapters"},
    "starting": BELOW_THE_EDGE | {"adapters", "app", "loading", "wiring"},
    "supervision": {"model", "health", "adapters"},
    "power_off": {"model", "errors", "adapters"},
    "app": BELOW_THE_EDGE | {"adapters", "power_off", "supervision", "wiring"},
    "orders": BELOW_THE_EDGE | {"adapters"},
    "doctor": BELOW_THE_EDGE | {"adapters", "orders", "profile_tools"},
    "profile_tools": BELOW_THE_EDGE | {"adapters", "orders"},
    "cli": CAR,
    "__main__": CAR,
    "backend": BELOW_THE_EDGE | {"cli"},
    "bench": BELOW_THE_EDGE | {"cli", "starting", "backend"},
}
"""Part of `agent/` (folder, or file without `.py`) → parts it may import besides itself. A new part is added here."""

OUTSIDE_WORLD = {
    *("ctypes", "importlib", "random", "sched", "secrets", "time", "uuid"),
    *("fcntl", "io", "logging", "os", "pathlib", "shutil", "signal", "sqlite3", "tempfile"),
    *("asyncio", "concurrent", "multiprocessing", "select", "selectors", "subprocess", "threading"),
    *("aiomqtt", "can", "http", "mqtt5", "paho", "serial", "socket", "ssl", "urllib"),
}
"""Clock, chance, files, network, processes: whatever makes a run differ from the one before."""

CALLS_OUTSIDE = {"open", "print", "input", "eval", "exec", "__import__"}
CLOCK_READINGS = {"now", "utcnow", "today"}

IMPORTERS: dict[str, tuple[str, ...]] = {
    "cantools": ("agent/profiles/database.py", "agent/bench/"),
    "can": ("agent/adapters/", "agent/bench/"),
    "serial": ("agent/adapters/",),
    "aiomqtt": ("agent/adapters/mqtt_link.py", "agent/backend/", "agent/bench/"),
    "paho": ("agent/adapters/mqtt_link.py", "agent/backend/", "agent/bench/"),
    "matplotlib": ("agent/profile_tools/plot.py",),
    "mqtt5": ("agent/bench/",),
    "gpiod": ("agent/adapters/gpio_lines.py", "agent/doctor/relays.py"),
    "sqlite3": ("agent/adapters/",),
}
"""Libraries that can be exchanged because so few know them."""

INVENTED = "demo_"
"""Folders of `dbc/` that begin so hold cars that do not exist, whose names are nobody's."""

ORDINARY_WORDS = {"leaf"}
"""Model names that are also words of the field (an entry of VSS is a leaf): in small letters they name no car."""

IN_TWO_WORDS = {"e", "up"}
"""Words of a model's name that name no car one by one; together they do."""
TOGETHER = {"e-up", "e_up", "eup"}

DECIDES = "agent/doctor/checks/"
"""At the edge only by its folder: what doctor makes of its facts looks at nothing itself."""


def part_of(path: str) -> str:
    """`agent/decode/screen.py` → `decode`, `agent/engine.py` → `engine`."""
    return path.split("/")[1].removesuffix(".py")


def imports(source: str, path: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported, wherever in the module; relative imports are resolved."""
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def against_direction(path: str, source: str) -> Iterator[str]:
    part = part_of(path)
    if part == "__init__":
        return
    if part not in MAY_IMPORT:
        yield f"{path}: {part} has no place in the order of imports; give it one in MAY_IMPORT"
        return
    for line, name in imports(source, path):
        root, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if root == "agent" and target not in MAY_IMPORT[part] | {part, "", "__version__"}:
            yield f"{path}:{line}: {part} must not import {name}"


def against_isolation(path: str, source: str) -> Iterator[str]:
    if part_of(path) not in BELOW_THE_EDGE and not path.startswith(DECIDES):
        return
    for line, name in imports(source, path):
        if name.split(".")[0] in OUTSIDE_WORLD and not name.startswith("pathlib.Pure"):
            yield f"{path}:{line}: below the edge nothing imports {name}"
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in CALLS_OUTSIDE:
                yield f"{path}:{node.lineno}: below the edge nothing calls {name}()"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="datetime" | "date"), attr=name)) if (
                name in CLOCK_READINGS
            ):
                yield f"{path}:{node.lineno}: below the edge nothing reads a clock ({name}())"


def against_importers(path: str, source: str) -> Iterator[str]:
    for line, name in imports(source, path):
        library = name.split(".")[0]
        if library in IMPORTERS and not path.startswith(IMPORTERS[library]):
            yield f"{path}:{line}: {library} is imported by {', '.join(IMPORTERS[library])} only"


def brand_words() -> set[str]:
    """Words of the names of real cars, from the folders of `dbc/`."""
    folders = [
        folder.name for folder in (ROOT / "dbc").iterdir() if folder.is_dir() and not folder.name.startswith(INVENTED)
    ]
    return {word for folder in folders for word in folder.split("_")} - IN_TWO_WORDS | TOGETHER


def against_brands(path: str, source: str, words: set[str]) -> Iterator[str]:
    """Vehicles are data: general code that knows a car by name has a special case that belongs into its profile."""
    # As a word by itself, or as one in snake_case or CamelCase.
    pattern = re.compile(
        rf"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?i:{'|'.join(map(re.escape, sorted(words)))})(?![a-z])"
    )
    for number, line in enumerate(source.splitlines(), 1):
        for found in pattern.findall(line) if words else ():
            if found not in ORDINARY_WORDS:
                yield f"{path}:{number}: names a car ({found})"


def violations(path: str, source: str) -> list[str]:
    return [
        *against_direction(path, source),
        *against_isolation(path, source),
        *against_importers(path, source),
        *against_brands(path, source, brand_words()),
    ]


MODULES = sorted(file.relative_to(ROOT).as_posix() for file in AGENT.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES)
def test_module_keeps_to_the_architecture(path: str) -> None:
    assert violations(path, (ROOT / path).read_text()) == []


def test_every_part_in_the_order_of_imports_exists() -> None:
    assert MAY_IMPORT.keys() - {part_of(path) for path in MODULES} == set()


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("agent/decode/screen.py", "from agent.state.tracker import Tracker", "decode must not import"),
        ("agent/decode/screen.py", "from agent import engine", "decode must not import agent.engine"),
        ("agent/decode/screen.py", "from ..state import tracker", "decode must not import agent.state"),
        ("agent/decode/screen.py", "def f():\n    import agent.app", "decode must not import agent.app"),
        ("agent/command/verify.py", "from agent.config import Config", "command must not import"),
        ("agent/adapters/broker.py", "from agent.uplink.wire import Topics", "adapters must not import"),
        ("agent/engine.py", "from agent.adapters import clock", "engine must not import"),
        ("agent/app.py", "from agent.bench.car import VirtualCar", "app must not import"),
        ("agent/backend/link.py", "from agent.adapters.broker import Broker", "backend must not import"),
        ("agent/bench/car.py", "from agent.app import App", "bench must not import"),
        ("agent/odds.py", "", "has no place in the order of imports"),
        ("agent/state/tracker.py", "import time", "nothing imports time"),
        ("agent/state/tracker.py", "import os.path", "nothing imports os.path"),
        ("agent/policy/permits.py", "from random import choice", "nothing imports random.choice"),
        ("agent/uplink/wire.py", "if TYPE_CHECKING:\n    import asyncio", "nothing imports asyncio"),
        ("agent/profiles/parse.py", "text = open('profile.toml').read()", "nothing calls open()"),
        ("agent/doctor/checks/bus.py", "import socket", "nothing imports socket"),
        ("agent/uplink/wire.py", "at = datetime.now(UTC)", "nothing reads a clock"),
        ("agent/decode/decoder.py", "import cantools", "cantools is imported by"),
        ("agent/app.py", "import can", "can is imported by"),
        ("agent/cli.py", "from aiomqtt import Client", "aiomqtt is imported by"),
        ("agent/adapters/store.py", "import paho.mqtt.client", "paho is imported by"),
    ],
)
def test_violation_is_seen(path: str, source: str, complaint: str) -> None:
    assert [each for each in violations(path, source) if complaint in each]


@pytest.mark.parametrize(
    "text", ["if name == 'acme_rocket':", "ROCKET_SOC = 3", "# as on the Acme", "class AcmeRules: ..."]
)
def test_name_of_a_car_is_seen(text: str) -> None:
    assert list(against_brands("agent/decode/screen.py", text, {"acme", "rocket"}))


def test_word_that_only_contains_the_name_of_a_car_is_none() -> None:
    assert not list(against_brands("agent/decode/screen.py", "rockets = acmes", {"acme", "rocket"}))
