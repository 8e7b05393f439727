"""`bench.toml`: which channels a bench has, and which device stands behind each port."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import can
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent.bench.vehicle import DEMO
from agent.config_table import RelayTable

ROOT = Path(__file__).resolve().parents[1]


BitRate = Annotated[int, Field(ge=10_000, le=1_000_000)]
"""Of frames without the fast phase of CAN FD."""


class BenchFileError(Exception):
    """The text says every fault of the file: key, what is wrong."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Channel(_Table):
    """One CAN channel in python-can's words; `adapter` is for the report, in a person's words."""

    interface: str
    channel: str = Field(min_length=1, max_length=200)
    adapter: str = ""

    @field_validator("interface")
    @classmethod
    def _is_known(cls, interface: str) -> str:
        if interface not in can.VALID_INTERFACES:
            raise ValueError(f"{interface!r} is none of python-can's; expected socketcan, slcan, gs_usb or the like")
        return interface


class Ports(_Table):
    """What stands behind each port of `ports.py`; `none` leaves out the tests that need it, by name."""

    bus_peer: Literal["adapter", "none"] = "none"
    lock_sensor: Literal["virtual", "manual", "none"] = "none"
    ignition: Literal["virtual", "manual", "none"] = "none"
    power: Literal["manual", "none"] = "none"
    bus_fault: Literal["error_frame", "manual", "none"] = "none"
    link: Literal["broker", "manual", "none"] = "none"
    relay_watcher: Literal["gpio_sim", "manual", "none"] = "none"


class Bench(_Table):
    """A bench.

    `profile` is a folder of `dbc/`, `burst` how many frames may be under way at once; `patience` stretches every wait:
    1 on a Pi, more where instructions are emulated. `may_overrun`: frames may be lost for want of time.
    """

    name: str = Field(max_length=60, pattern=r"^\w[^\x00-\x1f]*$")  # the report is called so
    agent: Channel
    peer: Channel | None = None
    ports: Ports = Ports()
    relays: dict[str, RelayTable] = {}
    profile: str = Field(default=DEMO, pattern=r"^[a-z0-9_]+$")
    bitrate_bps: BitRate = 500_000
    bitrates_bps: list[BitRate] = []
    burst: int = Field(default=8, gt=0, le=10)  # a controller's send queue has ten places
    may_overrun: bool = False
    unlock_runs: int = Field(default=10, gt=0, le=10_000)
    watchdog_s: float = Field(default=3.0, ge=1.0, le=600.0)
    soak_hours: float = Field(default=0.0, ge=0.0, le=1000.0)
    patience: float = Field(default=1.0, ge=1.0, le=100.0)

    @property
    def profile_folder(self) -> Path:
        return ROOT / "dbc" / self.profile

    @property
    def has_virtual_car(self) -> bool:
        """Whether the rest of the car is the virtual one, on the peer's channel."""
        return "virtual" in (self.ports.lock_sensor, self.ports.ignition)


def read_bench(path: Path) -> Bench:
    """The bench a file describes; raises `BenchFileError` with every fault at once."""
    try:
        bench = Bench.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise BenchFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BenchFileError(f"{path}: not UTF-8 text; save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise BenchFileError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise BenchFileError("\n".join(f"{path}: {fault}" for fault in faults)) from error
    if bench.peer is None and (bench.ports.bus_peer == "adapter" or bench.has_virtual_car):
        raise BenchFileError(f"{path}: peer: is missing; an adapter as peer and the virtual car need a channel")
    if not (bench.profile_folder / "profile.toml").is_file():
        raise BenchFileError(f"{path}: profile: there is no dbc/{bench.profile}/profile.toml")
    if bench.has_virtual_car and bench.profile != DEMO:
        raise BenchFileError(f"{path}: profile: the virtual car is a {DEMO}")
    return bench
