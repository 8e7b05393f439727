"""Exceptions of the agent: who raises them, and with which exit status the command line ends.

Expected refusals are values (`model.command.Reason`, `faults.Fault`), never exceptions.  An exception here
means that an assumption broke and that the work at hand cannot go on.
"""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_WRONG_USE = 2
EXIT_UNKNOWN = 3


class AgentError(Exception):
    """Base of everything this package raises on purpose; the text is meant for a person."""

    exit_status = EXIT_FAILED


class ConfigurationError(AgentError):
    """A file given by a person is wrong; the text lists every fault, one a line."""

    exit_status = EXIT_WRONG_USE


class StoreError(AgentError):
    """A store cannot keep its promises (locked, unreadable, of another car, a sync failed)."""


class OrderError(AgentError):
    """An order of the roots does not hold for this car, and nothing was changed."""


class BusError(AgentError):
    """A CAN interface cannot be opened or has gone."""


class SupervisorError(AgentError):
    """The power supervisor cannot be reached, does not answer, or refuses."""


class LinkError(AgentError):
    """The broker refused, or the connection to it failed."""
