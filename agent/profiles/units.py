"""Units: which convert into which, exactly. The only place where one unit becomes another.

The spellings on the left of `_UNITS` are those of COVESA VSS 6.0 where VSS has the unit; `ALIASES` are what
DBC files write for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

_MILE_M = Fraction("1609.344")  # international mile, exact since 1959

# what is measured -> unit -> (factor to the base unit, offset in the base unit)
_MEASURED: Mapping[str, Mapping[str, tuple[Fraction | int | str, Fraction | int | str]]] = {
    "none": {"": (1, 0)},
    "length": {"mm": ("0.001", 0), "cm": ("0.01", 0), "m": (1, 0), "km": (1000, 0), "mi": (_MILE_M, 0)},
    "speed": {"m/s": (1, 0), "km/h": (Fraction(5, 18), 0), "mph": (_MILE_M / 3600, 0)},
    "ratio": {"percent": (1, 0), "ratio": (100, 0)},
    "voltage": {"mV": ("0.001", 0), "V": (1, 0), "kV": (1000, 0)},
    "current": {"mA": ("0.001", 0), "A": (1, 0)},
    "charge": {"mAh": ("0.001", 0), "Ah": (1, 0)},
    "energy": {"Wh": (1, 0), "kWh": (1000, 0)},
    "power": {"W": (1, 0), "kW": (1000, 0)},
    "temperature": {"celsius": (1, 0), "kelvin": (1, "-273.15"), "fahrenheit": (Fraction(5, 9), Fraction(-160, 9))},
    "time": {"ms": ("0.001", 0), "s": (1, 0), "min": (60, 0), "h": (3600, 0), "days": (86400, 0)},
    "pressure": {"Pa": (1, 0), "mbar": (100, 0), "kPa": (1000, 0), "bar": (100_000, 0), "psi": ("6894.757293", 0)},
    "rotation": {"rpm": (1, 0)},
    "angle": {"degrees": (1, 0)},
    "torque": {"Nm": (1, 0)},
    "volume": {"ml": ("0.001", 0), "l": (1, 0)},
    "mass": {"g": ("0.001", 0), "kg": (1, 0)},
    "frequency": {"Hz": (1, 0)},
    "resistance": {"Ohm": (1, 0), "kOhm": (1000, 0)},
}

_UNITS: Mapping[str, tuple[str, Fraction, Fraction]] = {
    unit: (measured, Fraction(factor), Fraction(offset))
    for measured, units in _MEASURED.items()
    for unit, (factor, offset) in units.items()
}

ALIASES: Mapping[str, str] = {
    "%": "percent",
    "kph": "km/h",
    "kmh": "km/h",
    "km/hr": "km/h",
    "mi/h": "mph",
    "mile": "mi",
    "miles": "mi",
    "Celsius": "celsius",
    "degC": "celsius",
    "°C": "celsius",
    "C": "celsius",
    "degF": "fahrenheit",
    "°F": "fahrenheit",
    "K": "kelvin",
    "deg": "degrees",
    "°": "degrees",
    "degree": "degrees",
    "volt": "V",
    "ampere": "A",
    "amp": "A",
    "hour": "h",
    "hours": "h",
    "hr": "h",
    "sec": "s",
    "minutes": "min",
    "1/min": "rpm",
    "RPM": "rpm",
    "L": "l",
    "watt": "W",
    "d": "days",
    "ohm": "Ohm",
}


def known_units() -> tuple[str, ...]:
    """Every spelling `conversion` knows, for a fault that suggests one."""
    return (*(unit for unit in _UNITS if unit), *ALIASES)


def conversion(from_unit: str, to_unit: str) -> tuple[float, float] | None:
    """`(factor, offset)` with `to = from × factor + offset`, or None if the two do not measure the same.

    Two equal spellings convert whatever they stand for: VSS has units (`g/km`, `stars`) that nothing else becomes.
    Nothing converts to or from no unit, since that would turn a forgotten unit into a value.
    """
    if from_unit == to_unit:
        return 1.0, 0.0
    source, target = _UNITS.get(ALIASES.get(from_unit, from_unit)), _UNITS.get(ALIASES.get(to_unit, to_unit))
    if source is None or target is None or source[0] != target[0]:
        return None
    return float(source[1] / target[1]), float((source[2] - target[2]) / target[1])
