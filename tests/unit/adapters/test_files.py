from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.adapters.files import DATABASES_MAX, key_path, read_key_file, read_profile_texts, read_text
from agent.errors import ConfigurationError

SEED = bytes(range(32))


def key_file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_text_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("\ufeffgrüßt".encode())
    assert read_text(tmp_path / "a") == "grüßt"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b"one\ntwo\n\xff\n"), ":3: not UTF-8"),
        (lambda path: path.write_bytes(bytes((1 << 20) + 1)), "larger than 1048576 bytes"),
    ],
)
def test_text_that_cannot_be_had_is_a_fault_of_the_configuration(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "agent.toml"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=words) as fault:
        read_text(path)
    assert str(path) in str(fault.value)


def test_a_profile_is_its_toml_and_the_databases_beside_it(tmp_path: Path) -> None:
    (tmp_path / "profile.toml").write_text("format = 1")
    (tmp_path / "vehicle.dbc").write_bytes(b"VERSION")
    (tmp_path / "OTHER.KCD").write_bytes(b"<x/>")
    (tmp_path / "drive.log").write_bytes(b"(0.0) body 123#00")
    (tmp_path / "folder.dbc").mkdir()
    assert read_profile_texts(tmp_path) == ("format = 1", {"vehicle.dbc": b"VERSION", "OTHER.KCD": b"<x/>"})


def test_a_profile_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        read_profile_texts(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"profile\.toml: no such file"):
        read_profile_texts(tmp_path)


def test_a_profile_has_a_bounded_number_of_databases_sr_09(tmp_path: Path) -> None:
    (tmp_path / "profile.toml").write_text("")
    for number in range(DATABASES_MAX + 1):
        (tmp_path / f"{number}.dbc").touch()
    with pytest.raises(ConfigurationError, match="65 message databases"):
        read_profile_texts(tmp_path)


@pytest.mark.parametrize(
    "content", [SEED, SEED.hex().encode(), SEED.hex().upper().encode() + b"\n", b" " + SEED.hex().encode()]
)
def test_a_key_is_read_raw_or_in_hex(tmp_path: Path, content: bytes) -> None:
    assert read_key_file(key_file(tmp_path / "vehicle.key", content)) == SEED


@pytest.mark.parametrize(
    "content", [b"", SEED[:31], SEED + b"\n", SEED.hex().encode()[:-2], b"z" * 64, "ü".encode() * 32]
)
def test_what_is_no_key_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="no key"):
        read_key_file(key_file(tmp_path / "vehicle.key", content))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o601, 0o644, 0o777])
def test_a_key_others_may_touch_is_refused_with_the_remedy_h135(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path / "vehicle.key", SEED, mode)
    with pytest.raises(ConfigurationError) as fault:
        read_key_file(path)
    assert f"mode {mode:04o}" in str(fault.value)
    assert f"chmod 600 {path}" in str(fault.value)


def test_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"vehicle\.key: cannot be read: No such file"):
        read_key_file(tmp_path / "vehicle.key")


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which systemd puts what `LoadCredential=` names."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600])
def test_a_key_is_read_from_systemds_credentials(tmp_path: Path, credentials: Path, mode: int) -> None:
    key_file(credentials / "vehicle.key", SEED, mode)
    path = key_path(tmp_path, "vehicle.key")
    assert path == credentials / "vehicle.key"
    assert read_key_file(path) == SEED


def test_a_key_beside_the_configuration_is_taken_first(tmp_path: Path, credentials: Path) -> None:
    """Whoever sets the environment cannot put another key in its place."""
    key_file(credentials / "vehicle.key", bytes(32))
    key_file(tmp_path / "vehicle.key", SEED)
    assert read_key_file(key_path(tmp_path, "vehicle.key")) == SEED


@pytest.mark.parametrize("name", ["keys/vehicle.key", "./vehicle.key", "../vehicle.key", "/etc/vehicle.key"])
def test_only_a_bare_name_is_looked_for_among_credentials(tmp_path: Path, credentials: Path, name: str) -> None:
    key_file(credentials / "vehicle.key", SEED)
    assert key_path(tmp_path, name) == tmp_path / name


@pytest.mark.hazard("H134")
def test_a_credential_that_is_missing_is_told_by_the_path_a_person_knows(tmp_path: Path, credentials: Path) -> None:
    path = key_path(tmp_path, "vehicle.key")
    with pytest.raises(ConfigurationError, match=r"vehicle\.key: cannot be read: No such file"):
        read_key_file(path)
    assert path == tmp_path / "vehicle.key"


@pytest.mark.hazard("H135")
@pytest.mark.parametrize("mode", [0o444, 0o460, 0o640, 0o644, 0o604])
def test_a_credential_others_may_touch_is_refused_all_the_same(tmp_path: Path, credentials: Path, mode: int) -> None:
    key_file(credentials / "vehicle.key", SEED, mode)
    with pytest.raises(ConfigurationError, match=f"mode {mode:04o}"):
        read_key_file(key_path(tmp_path, "vehicle.key"))


@pytest.mark.hazard("H135")
def test_a_plain_file_may_not_have_the_mode_of_a_credential(tmp_path: Path, credentials: Path) -> None:
    with pytest.raises(ConfigurationError, match="mode 0440"):
        read_key_file(key_file(tmp_path / "vehicle.key", SEED, 0o440))


@pytest.mark.hazard("H135")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_credential_of_another_user_is_none(tmp_path: Path, credentials: Path) -> None:
    os.chown(key_file(credentials / "vehicle.key", SEED, 0o440), 65534, 65534)
    with pytest.raises(ConfigurationError, match="mode 0440"):
        read_key_file(key_path(tmp_path, "vehicle.key"))


def test_profile_folder_that_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path / ("a" * 300), tmp_path / "nowhere", Path(__file__)):
        with pytest.raises(ConfigurationError, match="expected a profile folder"):
            read_profile_texts(folder)
