"""What a process that does nothing but live worlds, or lives, need not work out twice."""

from __future__ import annotations

import gc
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.backend import reception
from agent.command import envelope, verify
from agent.command.envelope import Envelope
from tests.support import world_faults, world_judge

REMEMBERED_MAX: Final = 4096
"""More messages than one world has under way."""


def begin_process() -> None:
    """To be called in a process of its own, before anything else.

    Objects that stay are no longer looked through for garbage, and garbage is collected when asked for.  What is read
    in an envelope is remembered by its bytes, of which it is a function: a message is read when it is sealed, again by
    each of five at its other end, and again each time it is carried twice.  So is whether a signature holds.  A world
    comes out the same either way: `test_several_processes_live_the_worlds_that_one_does`.
    """
    remembering = lru_cache(REMEMBERED_MAX)(envelope.open_unverified)
    for module in (envelope, verify, reception, world_faults, world_judge):
        vars(module)["open_unverified"] = remembering
    really_checked = envelope.check_signature

    def check_signature(opened: Envelope, public_key: Ed25519PublicKey) -> bool:
        key = (opened.alg, opened.signature, opened.signed_bytes, public_key.public_bytes_raw())
        if (holds := checked.get(key)) is None:
            if len(checked) >= REMEMBERED_MAX:
                checked.clear()
            holds = checked[key] = really_checked(opened, public_key)
        return holds

    checked: dict[tuple[int, bytes, bytes, bytes], bool] = {}
    for module in (envelope, verify, reception):
        vars(module)["check_signature"] = check_signature
    gc.freeze()
    gc.disable()
