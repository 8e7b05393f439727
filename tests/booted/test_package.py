"""What is in the packages: each processor's own libraries for either Debian, at the locked versions, and no question.

That a package works when installed is seen on booted systems, which are x86-64; of the other this is all there is.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import agent
from tests.booted.conftest import Package, build
from tests.booted.system import ROOT

pytestmark = [pytest.mark.booted, pytest.mark.timeout(600)]

MACHINES = {"amd64": ("x86_64", 62), "arm64": ("aarch64", 183)}
"""Debian's name → the wheels' name, and ELF's number (elf.h, EM_*)."""

PYTHONS = ("3.11", "3.13")
SCRIPTS = {"postinst", "prerm", "postrm"}
LOCKED = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
OURS = "carshare-agent"


class Unpacked:
    """A package's files under `tree`, and what was said of it."""

    def __init__(self, arch: str, package: Path, tree: Path) -> None:
        self.arch, self.package, self.tree = arch, package, tree
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        self.control = dict(
            re.findall(r"^([A-Z][A-Za-z-]+): (.*)$", (tree / "DEBIAN/control").read_text(), re.MULTILINE)
        )

    def libraries(self, python: str) -> Path:
        return self.tree / f"usr/lib/carshare-agent/lib/python{python}/site-packages"

    def distributions(self, python: str) -> dict[str, PathDistribution]:
        found = map(PathDistribution, self.libraries(python).glob("*.dist-info"))
        return {canonicalize_name(each.metadata["Name"]): each for each in found}

    def machines(self) -> Iterator[tuple[Path, int]]:
        """Every program and library of machine code, with the number of its processor."""
        for path in self.tree.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF":
                yield path, struct.unpack_from("<H", path.read_bytes(), 18)[0]


@pytest.fixture(scope="module", params=list(MACHINES))
def unpacked(request: pytest.FixtureRequest, package: Package, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    arch = str(request.param)
    built = package() if arch == "amd64" else build(arch)
    return Unpacked(arch, built, tmp_path_factory.mktemp(arch) / "tree")


def test_it_is_called_what_it_is(unpacked: Unpacked) -> None:
    assert unpacked.package.name == f"carshare-agent_{agent.__version__}_{unpacked.arch}.deb"
    told = {key: unpacked.control[key] for key in ("Package", "Version", "Architecture")}
    assert told == {"Package": OURS, "Version": agent.__version__, "Architecture": unpacked.arch}


def test_it_needs_nothing_but_python_and_systemd(unpacked: Unpacked) -> None:
    """Of Python the versions that it has libraries for, and no other between."""
    assert unpacked.control["Depends"].split(", ") == [
        *("python3 (>= 3.11)", "python3 (<< 3.12) | python3 (>= 3.13)", "python3 (<< 3.14)", "systemd (>= 252)"),
    ]


def test_every_piece_of_machine_code_is_for_its_processor(unpacked: Unpacked) -> None:
    name, number = MACHINES[unpacked.arch]
    found = dict(unpacked.machines())
    assert {path.relative_to(unpacked.tree): machine for path, machine in found.items() if machine != number} == {}
    for python in PYTHONS:
        code = [path for path in found if path.is_relative_to(unpacked.libraries(python))]
        assert len(code) >= 6
        other = "313" if python == "3.11" else "311"
        assert not [path for path in code if f"cpython-{other}" in path.name]
        tags = [line for each in unpacked.distributions(python).values() for line in wheel_tags(each)]
        assert {tag for tag in tags if not tag.endswith(("-none-any", f"_{name}"))} == set()
        assert {tag for tag in tags if re.match(r"cp3[0-9]+-cp", tag)} == {
            tag for tag in tags if tag.startswith(f"cp{python.replace('.', '')}-cp")
        }


def wheel_tags(distribution: PathDistribution) -> list[str]:
    return re.findall(r"^Tag: (\S+)$", distribution.read_text("WHEEL") or "", re.MULTILINE)


def test_its_libraries_are_all_it_asks_for_at_the_locked_versions(unpacked: Unpacked) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(line) for line in (*project["dependencies"], *project["optional-dependencies"]["relay"])]
    for python in PYTHONS:
        found = {name: each.version for name, each in unpacked.distributions(python).items()}
        assert found.pop(OURS) == agent.__version__
        assert found == {name: LOCKED[name] for name in found}
        assert {canonicalize_name(each.name) for each in asked} <= found.keys() | {OURS}
        needed = {
            canonicalize_name(requirement.name)
            for each in unpacked.distributions(python).values()
            for requirement in map(Requirement, each.requires or ())
            if requirement.marker is None
            or requirement.marker.evaluate(
                {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
            )
        }
        assert needed <= found.keys() | {OURS}


def test_it_asks_nothing_and_comes_with_no_script_but_three(unpacked: Unpacked) -> None:
    """debconf asks by `config` and `templates`; a script could by `read`."""
    assert {path.name for path in (unpacked.tree / "DEBIAN").iterdir()} == SCRIPTS | {"control", "md5sums"}
    for name in SCRIPTS:
        text = (unpacked.tree / "DEBIAN" / name).read_text()
        assert text == (ROOT / "systemd/debian" / name).read_text()
        assert not re.search(r"debconf|\bdb_|\bread\b|/dev/tty|dialog|whiptail", text)


def test_it_brings_unit_networks_profiles_and_samples_as_they_lie_here(unpacked: Unpacked) -> None:
    pairs = {
        "usr/lib/systemd/system": [*(ROOT / "systemd").glob("*.service")],
        "usr/lib/systemd/network": [*(ROOT / "systemd/network").iterdir()],
        "usr/share/doc/carshare-agent/examples": [ROOT / "systemd/agent.toml", *(ROOT / "systemd/drop-ins").iterdir()],
    }
    for folder, sources in pairs.items():
        shipped = {path.name: path.read_bytes() for path in (unpacked.tree / folder).iterdir()}
        assert shipped == {path.name: path.read_bytes() for path in sources}, folder
    profiles = unpacked.tree / "usr/share/carshare-agent/dbc"
    assert {path.parent.name for path in profiles.glob("*/profile.toml")} == {
        path.parent.name for path in (ROOT / "dbc").glob("*/profile.toml")
    }


def test_nothing_lies_outside_usr_or_belongs_to_another_than_root(unpacked: Unpacked) -> None:
    said = subprocess.run(["dpkg-deb", "--contents", unpacked.package], capture_output=True, text=True, check=True)
    for line in said.stdout.splitlines():
        mode, owner, _, _, _, path = line.split(maxsplit=5)
        assert owner == "root/root", line
        assert path == "./" or path.startswith("./usr/"), line
        assert mode.startswith("l") or "w" not in mode[4:], line
        assert "s" not in mode.removeprefix("s"), line
        assert "__pycache__" not in path, line


def test_the_agent_in_it_is_this_trees(unpacked: Unpacked) -> None:
    """And none that was kept of an earlier build."""
    here = {path.relative_to(ROOT): path.read_bytes() for path in (ROOT / "agent").rglob("*.py")}
    for python in PYTHONS:
        folder = unpacked.libraries(python)
        assert {path.relative_to(folder): path.read_bytes() for path in (folder / "agent").rglob("*.py")} == here


def test_it_does_not_say_where_it_was_built(unpacked: Unpacked) -> None:
    """Same sources, same bytes."""
    assert not [*unpacked.tree.rglob("direct_url.json")]


def test_every_file_is_in_its_sums(unpacked: Unpacked) -> None:
    listed = dict(line.split("  ", 1)[::-1] for line in (unpacked.tree / "DEBIAN/md5sums").read_text().splitlines())
    files = [path for path in (unpacked.tree / "usr").rglob("*") if path.is_file() and not path.is_symlink()]
    assert listed == {
        str(path.relative_to(unpacked.tree)): hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in files
    }
