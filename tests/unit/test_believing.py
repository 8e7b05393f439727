"""A configuration found sound is believed at the next start, to the byte, and nothing is loaded to check it again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.bench.choices import CanChoice
from agent.bench.setup import make_folder
from agent.errors import ConfigurationError
from agent.loading import configured_for_run

ROOT = Path(__file__).resolve().parents[2]

NOT_BEFORE_THE_FIRST_VALUE = (
    *("cantools", "can", "serial", "aiomqtt", "paho"),
    *("pydantic", "pydantic_core", "annotated_types", "importlib.metadata"),
    *("cryptography.x509", "cryptography.hazmat.primitives.serialization", "gpiod"),
    *("agent.profiles.database", "agent.profiles.parse", "agent.adapters.mqtt_link", "agent.adapters.power_supervisor"),
    *("agent.doctor.examination", "agent.acceptance", "agent.provisioning", "agent.backend"),
)
"""Libraries, and modules of ours, that an ordinary start on SocketCAN does without until it has its first value."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `agent.toml` of a car that has been started once."""
    can = CanChoice("body", "socketcan", "vcan0", "")
    folder = tmp_path_factory.mktemp("car") / "bench"
    files = make_folder(
        folder, profile=ROOT / "dbc" / "demo_hatchback", can=can, broker_host="127.0.0.1", broker_port=1883
    )
    (files.agent_toml.parent / "store").mkdir()
    configured_for_run(files.agent_toml)[3].keep()
    return files.agent_toml


@pytest.fixture
def edited(kept: Path) -> Iterator[Path]:
    """The same, to be changed."""
    text = kept.read_bytes()
    yield kept
    kept.write_bytes(text)


def test_what_was_started_before_is_believed_and_says_the_same(kept: Path) -> None:
    config, text, seed, loaded = configured_for_run(kept)
    assert loaded.is_recalled
    plan = loaded.plan.read_bytes()
    loaded.plan.unlink()
    again = configured_for_run(kept)
    loaded.plan.write_bytes(plan)
    loaded.plan.chmod(0o600)
    assert not again[3].is_recalled
    assert again[:3] == (config, text, seed)
    assert again[3].profile == loaded.profile


def test_an_ordinary_start_does_without_what_it_does_not_need(kept: Path) -> None:
    """Each by name: the whole program is loaded, and what a start makes of its files."""
    program = (
        "import sys; from pathlib import Path; import agent.cli, agent.app;"
        "from agent.loading import configured_for_run;"
        f"assert configured_for_run(Path({str(kept)!r}))[3].is_recalled;"
        f"print([name for name in {NOT_BEFORE_THE_FIRST_VALUE!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


@given(place=st.integers(0, 10_000), byte=st.integers(1, 127))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_with_a_byte_changed_it_is_checked_again(edited: Path, place: int, byte: int) -> None:
    text = bytearray(kept_text(edited))
    text[place % len(text)] ^= byte
    edited.write_bytes(text)
    try:
        assert not configured_for_run(edited)[3].is_recalled
    except ConfigurationError:
        pass
    finally:
        edited.write_bytes(kept_text(edited))


_KEPT: dict[Path, bytes] = {}


def kept_text(path: Path) -> bytes:
    """As it was when it was first asked for."""
    return _KEPT.setdefault(path, path.read_bytes())


def test_faults_are_told_though_a_plan_is_kept(edited: Path) -> None:
    text = edited.read_text()
    edited.write_text(text.replace("batch_s = ", "batch_s = 100").replace("[car]", "[car]\nname = 5"))
    with pytest.raises(ConfigurationError, match=r"2 faults\n.*car.name.*\n.*reporting.batch_s"):
        configured_for_run(edited)


def test_faults_come_before_a_key_that_is_not_there(edited: Path) -> None:
    text = edited.read_text()
    edited.write_text(text.replace('"vehicle.key"', '"nobodys.key"').replace("keep_alive_s = 5", "keep_alive_s = 0"))
    with pytest.raises(ConfigurationError, match=r"broker\.keep_alive_s"):
        configured_for_run(edited)


def test_only_the_cars_own_key_vouches_for_it(kept: Path) -> None:
    key = kept.parent / "vehicle.key"
    before = key.read_bytes()
    key.write_bytes(before.strip()[::-1])
    try:
        assert not configured_for_run(kept)[3].is_recalled
    finally:
        key.write_bytes(before)
