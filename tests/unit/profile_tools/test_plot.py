"""The picture: what is drawn from readings, that the same log gives the same file, and a word without matplotlib."""

from __future__ import annotations

import math
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from agent.cli import main
from agent.errors import ConfigurationError
from agent.profile_tools.plot import Series, draw, fill
from tests.support.plans import IS_LOCKED, SPEED

ROOT = Path(__file__).resolve().parents[3]
DEMO = str(ROOT / "dbc" / "demo_hatchback")
LOG = f"{DEMO}/drive.log"
SOC = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"


def words_in(path: Path) -> set[str]:
    """Texts of an SVG, which stay texts so that a person can search them."""
    return {element.text or "" for element in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314


def test_picture_has_title_units_names_and_words(tmp_path: Path) -> None:
    output = tmp_path / "ride.svg"
    assert main(["profile", "plot", DEMO, LOG, SPEED, SOC, IS_LOCKED, "--output", str(output)]) == 0
    assert words_in(output) >= {
        "Demo hatchback (invented) · drive.log",
        "km/h", "%", "true", "false", "time since the first frame (s)",
        SPEED, "Carshare.CentralLock.IsLocked", "TractionBattery.StateOfCharge.Current",
    }  # fmt: skip


def test_derived_state_is_drawn_too(tmp_path: Path) -> None:
    derived = tomllib.loads((ROOT / "dbc" / "demo_hatchback" / "profile.toml").read_text())["derived"]
    output = tmp_path / "ride.svg"
    paths = [table["path"] for table in derived]
    assert main(["profile", "plot", DEMO, LOG, *paths, "--output", str(output)]) == 0
    assert "no value" not in words_in(output)


def test_same_log_gives_the_same_picture(tmp_path: Path) -> None:
    pictures = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for picture in pictures:
        assert main(["profile", "plot", DEMO, LOG, SPEED, "--output", str(picture)]) == 0
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_png_is_a_png(tmp_path: Path) -> None:
    output = tmp_path / "ride.png"
    assert main(["profile", "plot", DEMO, LOG, SPEED, "--output", str(output)]) == 0
    assert output.read_bytes().startswith(b"\x89PNG")


def test_gap_is_where_nothing_was_known() -> None:
    """SR-05: a stale reading ends the line; it is not drawn on as if it were known."""
    told = [
        {"time_s": 1.0, "path": SPEED, "value": 50.0},
        {"time_s": 2.0, "path": IS_LOCKED, "value": True},
        {"time_s": 3.0, "path": SPEED, "value": None},
    ]
    series = Series(SPEED, "km/h")
    fill([series], told)
    assert (series.times_s, series.values) == ([1.0, 3.0], [50.0, None])
    drawn, gap = series.heights()
    assert drawn == 50.0
    assert math.isnan(gap)


def test_words_are_steps_in_their_order() -> None:
    state = Series("Vehicle.LowVoltageSystemState", None, False, [1.0, 2.0, 3.0], ["OFF", "ON", "OFF"])
    locked = Series(IS_LOCKED, None, False, [1.0, 2.0], [True, False])
    gear = Series("Vehicle.Powertrain.Transmission.SelectedGear", None, True, [1.0, 2.0, 3.0], [126, -1, 127])
    assert [each.heights() for each in (state, locked, gear)] == [[0.0, 1.0, 0.0], [1.0, 0.0], [1.0, 0.0, 2.0]]


def test_signal_that_was_never_heard_is_said_so_in_its_field(tmp_path: Path) -> None:
    output = tmp_path / "a.svg"
    draw([Series(SPEED, "km/h")], title="Nothing", begin_s=0.0, end_s=7200.0, output=output)
    assert words_in(output) >= {"no value", "time since the first frame (min)"}


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'carshare-agent\[plot\]'"):
        draw([Series(SPEED, "km/h")], title="", begin_s=0.0, end_s=1.0, output=tmp_path / "a.svg")


@pytest.mark.parametrize(
    ("further", "complaint"),
    [
        (
            ["Vehicle.Sped", "--output", "a.svg"],
            "demo_hatchback has no such path: Vehicle.Sped: expected Vehicle.Speed",
        ),
        ([SPEED, "--output", "a.gif"], "a.gif: expected a name that ends with .svg or .png"),
        ([SPEED, "--output", "no/such/folder/a.svg"], "no/such/folder/a.svg: cannot be written"),
    ],
)
def test_wrong_use_is_told(further: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "plot", DEMO, LOG, *further]) == 2
    assert complaint in capsys.readouterr().err
