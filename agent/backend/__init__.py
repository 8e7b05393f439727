"""The operator's end: signs commands, sends them to cars, and believes only what a car signed."""

from agent.backend.client import Backend, TooMuchError
from agent.backend.outcome import CommandResult, Progress, Step
from agent.backend.settings import BrokerAddress, Car, Operator, Settings, load_settings

__all__ = [
    "Backend",
    "BrokerAddress",
    "Car",
    "CommandResult",
    "Operator",
    "Progress",
    "Settings",
    "Step",
    "TooMuchError",
    "load_settings",
]
