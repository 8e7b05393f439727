"""GPIO lines as the kernel shows them; none is requested, so nothing moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.doctor.checks.relays import LineFacts

if TYPE_CHECKING:
    from agent.config_table import RelayTable

MODULES = Path("/sys/module")


def line_facts(table: RelayTable) -> LineFacts:
    """What is known of the line; never raises for one that is not there."""
    place = f"{table.chip} line {table.offset}"
    try:
        import gpiod

        with gpiod.Chip(table.chip) as chip:
            if table.offset >= (count := chip.get_info().num_lines):
                return LineFacts(place, f"the chip has {count} lines, from 0 on")
            info = chip.get_line_info(table.offset)
            return LineFacts(place, consumer=(info.consumer or "somebody") if info.used else "")
    except (ImportError, AttributeError):
        return LineFacts(
            place, "no libgpiod 2 for Python: install carshare-agent[relay], or Debian 13's python3-libgpiod"
        )
    except OSError as error:
        return LineFacts(place, f"cannot be looked at: {error.strerror}")


def outputs_persist(modules: Path = MODULES) -> list[str]:
    """Drivers that leave an output as it is when its holder is gone, as kernel parameters, `driver.parameter`."""
    found = []
    for parameter in sorted(modules.glob("*/parameters/persist_gpio_outputs")):
        try:
            is_on = parameter.read_text().strip() in ("Y", "1")
        except OSError:
            continue
        if is_on:
            found.append(f"{parameter.parent.parent.name}.{parameter.name}")
    return found
