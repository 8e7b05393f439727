"""What must not be in a package: keys of the tests, hooks of debuggers. `systemd/build-deb` asks first."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "systemd/check_release.py"
LIBRARIES = "usr/lib/carshare-agent/lib/python3.11/site-packages"
SEED = bytes(range(32))
"""The operator's key of `vectors/envelopes.json`, which everybody knows."""

PEM = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
-----END PRIVATE KEY-----
"""


def said_of(package: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, CHECK, package], capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """A small package with this file beside what every package has."""

    def make(name: str, content: bytes) -> Path:
        files = {
            f"{LIBRARIES}/agent/cli.py": b"from agent import app\n",
            f"{LIBRARIES}/agent/PROTOCOL.md": SEED.hex().encode(),
            f"{LIBRARIES}/cryptography/_rust.so": SEED,
            name: content,
        }
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(text)
        return tmp_path

    return make


def test_a_package_without_either_passes(package: Callable[[str, bytes], Path]) -> None:
    assert said_of(package("usr/share/carshare-agent/dbc/demo/profile.toml", b"")) == (0, "")


@pytest.mark.hazard("H137")
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("etc/agent.toml", b"public_key = '" + SEED.hex().encode() + b"'", "test's key, seed of envelopes.json"),
        ("etc/agent.toml", SEED.hex().upper().encode(), "test's key"),
        ("etc/agent.toml", base64.b64encode(SEED), "test's key"),
        ("etc/bundle.cose", b"\x58\x20" + SEED, "test's key"),
        (
            "etc/agent.toml",
            b"03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
            "public of envelopes.json",
        ),
        ("usr/share/carshare-agent/tls.key", PEM.encode(), "private key"),
        (f"{LIBRARIES}/agent/engine.py", b"def f() -> None:\n    breakpoint()\n", "engine.py:2: has a debugger's hook"),
        (f"{LIBRARIES}/agent/engine.py", b"def f() -> None:\n    import pdb\n", "hook, pdb"),
        (f"{LIBRARIES}/agent/engine.py", b"from debugpy import listen\n", "hook, debugpy"),
        (f"{LIBRARIES}/agent/engine.py", b"import sys\nsys.settrace(None)\n", "hook, settrace"),
        (f"{LIBRARIES}/sitecustomize.py", b"", "would run unasked"),
        (f"{LIBRARIES}/hook.pth", b"import os", "would run unasked"),
        (f"{LIBRARIES}/tests/conftest.py", b"", "tests: is for tests alone"),
        (f"{LIBRARIES}/agent/conftest.py", b"", "conftest.py: would run"),
    ],
)
def test_a_planted_key_or_hook_fails_the_build(
    package: Callable[[str, bytes], Path], name: str, content: bytes, said: str
) -> None:
    status, errors = said_of(package(name, content))
    assert (status, errors.count("error: ")) == (1, 1), errors
    assert said in errors


@pytest.mark.hazard("H137")
def test_what_this_tree_ships_has_neither() -> None:
    """The files of the wheel and the package, as they lie here; the libraries are seen when a package is built."""
    for folder in ("agent", "dbc", "systemd"):
        assert said_of(ROOT / folder) == (0, ""), folder


@pytest.mark.hazard("H137")
def test_no_package_is_written_before_it_was_asked_about() -> None:
    lines = (ROOT / "systemd/build-deb").read_text().splitlines()
    (asks,) = [number for number, line in enumerate(lines) if "check_release.py" in line]
    (writes,) = [number for number, line in enumerate(lines) if line.startswith("dpkg-deb")]
    assert lines[asks] == '"$python" "$root/systemd/check_release.py" "$package"'
    assert asks < writes
    assert "set -euo pipefail" in lines
