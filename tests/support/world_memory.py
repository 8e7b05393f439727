"""What a process that does nothing but live worlds need not work out twice."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from agent.backend import reception
from agent.command import envelope, verify
from tests.support import world_faults, world_judge

ENVELOPES_MAX: Final = 4096
"""More than one world has under way."""


def remember_envelopes() -> None:
    """Have what is read in an envelope remembered by its bytes, of which it is a function.

    A message is read when it is sealed, again by each of five at its other end, and again each time it is carried
    twice.  A world comes out the same either way: `test_several_processes_live_the_worlds_that_one_does`.
    """
    remembering = lru_cache(ENVELOPES_MAX)(envelope.open_unverified)
    for module in (envelope, verify, reception, world_faults, world_judge):
        vars(module)["open_unverified"] = remembering
