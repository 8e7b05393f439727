"""`.ci/setup.sh` on machines that lack something: small programs in its PATH write down what they are asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / ".ci" / "setup.sh"

TOOLS = ("bash", "cat", "cut", "env", "flock", "mkdir", "printf", "rm", "sha256sum", "touch", "chmod", "cp")

OLD_PYTHON = "exit 1  # too old, whatever is asked"
NEW_PYTHON = """
case "$*" in
*ensurepip*) [ -e "$STATE/has-venv" ] ;;
*print*) echo 3.12 ;;
*"-m venv"*) mkdir -p "${@: -1}/bin" && cp "$STATE/venv-python" "${@: -1}/bin/python" ;;
*) exit 0 ;;
esac
"""
VENV_PYTHON = '#!/bin/bash\necho "pip: $*" >>"$STATE/calls"\n[ ! -e "$STATE/pip-fails" ]\n'


class Machine:
    """A machine with only the programs a test gives it."""

    def __init__(self, folder: Path) -> None:
        self.programs, self.state, self.root = folder / "bin", folder / "state", folder / "a root"
        for path in (self.programs, self.state, self.root):
            path.mkdir()
        for name in ("pyproject.toml", "requirements.lock"):
            (self.root / name).write_text(f"# {name}\n")
        for tool in TOOLS:
            (self.programs / tool).symlink_to(self._found(tool))
        (self.state / "venv-python").write_text(VENV_PYTHON)
        (self.state / "venv-python").chmod(0o755)
        self.calls = self.state / "calls"
        self.calls.touch()

    def add(self, name: str, body: str) -> None:
        program = self.programs / name
        program.write_text(f"#!/bin/bash\n{body}\n")
        program.chmod(0o755)

    def add_apt(self, installing: str = "true") -> None:
        self.add("apt-get", f'echo "apt-get $*" >>"$STATE/calls"\ncase "$*" in install*) {installing} ;; esac')

    def become(self, user_id: int) -> None:
        self.add("id", f"echo {user_id}")

    def set_up(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", "-c", f'set -euo pipefail; root=$ROOT; source "{SCRIPT}"; ensure_venv bench,backend'],
            env={"PATH": str(self.programs), "STATE": str(self.state), "ROOT": str(self.root)},
            capture_output=True,
            text=True,
            timeout=30,
        )

    def called(self) -> list[str]:
        """What was asked of apt, sudo and pip since the last time."""
        lines = self.calls.read_text().splitlines()
        self.calls.write_text("")
        return lines

    @staticmethod
    def _found(tool: str) -> Path:
        return next(path for folder in ("/usr/bin", "/bin") if (path := Path(folder) / tool).exists())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.become(0)
    return machine


def test_a_machine_with_all_it_needs_installs_once_and_is_quick_the_second_time(machine: Machine) -> None:
    machine.add("python3.12", NEW_PYTHON)
    (machine.state / "has-venv").touch()
    first = machine.set_up()
    assert (first.returncode, first.stdout) == (0, ""), first.stderr
    assert "into .venv" in first.stderr
    calls = machine.called()
    assert calls[-1].endswith(f"--constraint {machine.root}/requirements.lock --editable {machine.root}[bench,backend]")
    second = machine.set_up()
    assert (second.returncode, second.stdout, second.stderr, machine.called()) == (0, "", "", [])


@pytest.mark.parametrize("file", ["pyproject.toml", "requirements.lock"])
def test_a_change_of_what_is_needed_installs_again(machine: Machine, file: str) -> None:
    machine.add("python3.12", NEW_PYTHON)
    (machine.state / "has-venv").touch()
    machine.set_up()
    machine.called()
    (machine.root / file).write_text("# something else\n")
    assert machine.set_up().returncode == 0
    assert machine.called()


def test_an_installation_that_fails_is_tried_again(machine: Machine) -> None:
    machine.add("python3.12", NEW_PYTHON)
    (machine.state / "has-venv").touch()
    (machine.state / "pip-fails").touch()
    assert machine.set_up().returncode == 1
    (machine.state / "pip-fails").unlink()
    assert machine.set_up().returncode == 0
    assert machine.called()[-1].startswith("pip: -m pip")


def test_without_python_it_is_installed_by_root(machine: Machine) -> None:
    machine.add_apt('cp "$STATE/new-python" "$(dirname_of_self)/python3.12"; touch "$STATE/has-venv"')
    machine.add("dirname_of_self", f'echo "{machine.programs}"')
    machine.add("python3", OLD_PYTHON)
    (machine.state / "new-python").write_text(f"#!/bin/bash\n{NEW_PYTHON}")
    (machine.state / "new-python").chmod(0o755)
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert machine.called()[0] == "apt-get install -y --no-install-recommends python3 python3-venv"


def test_a_missing_venv_module_is_installed_by_a_plain_user_through_sudo(machine: Machine) -> None:
    machine.become(1000)
    machine.add("python3.12", NEW_PYTHON)
    machine.add("sudo", 'echo "sudo" >>"$STATE/calls"; exec "$@"')
    machine.add_apt('touch "$STATE/has-venv"')
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert machine.called()[:2] == ["sudo", "apt-get install -y --no-install-recommends python3.12-venv"]


def test_package_lists_are_fetched_where_a_fresh_image_has_none(machine: Machine) -> None:
    machine.add("python3.12", NEW_PYTHON)
    machine.add(
        "apt-get",
        'echo "apt-get $1" >>"$STATE/calls"\n[ -e "$STATE/updated" ] && touch "$STATE/has-venv" || '
        '{ [ "$1" = update ] && touch "$STATE/updated"; }',
    )
    assert machine.set_up().returncode == 0
    assert machine.called()[:3] == ["apt-get install", "apt-get update", "apt-get install"]


def test_a_plain_user_without_sudo_is_told_what_root_must_do(machine: Machine) -> None:
    machine.become(1000)
    machine.add("python3.12", NEW_PYTHON)
    machine.add_apt()
    done = machine.set_up()
    assert (done.returncode, done.stdout) == (1, "")
    assert "as root: apt-get install python3.12-venv" in done.stderr
    assert machine.called() == []


def test_a_system_without_apt_or_a_new_python_is_told_what_is_needed(machine: Machine) -> None:
    machine.add("python3", OLD_PYTHON)
    done = machine.set_up()
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs Python 3.11 or newer" in done.stderr
