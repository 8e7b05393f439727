"""A million strings of chance at the one door that a stranger's bytes come through.

The strings are drawn from a seed: RANDOM_BYTES_SEED=N repeats a run, or tries others.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from agent.command.envelope import MessageKind
from agent.command.verify import Dropped, verify
from tests.support import attacked
from tests.support.envelopes import KEYS, command_by_hand

STRINGS = 1_000_000
LENGTH_MAX = 1024
SEED = int(os.environ.get("RANDOM_BYTES_SEED", "1"))
ENGINE_EVERY = 50
"""The rest of the engine does not look at the bytes; every so many-th string shows that it stays well."""


def memory_bytes() -> int:
    """What this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.hazard("H2")
def test_h2_a_million_random_strings_are_dropped() -> None:
    """Every other one begins as a command of ours does, up to a place of chance."""
    chance = Random(SEED)  # noqa: S311 - to be repeated, not to be secret
    golden = command_by_hand()
    agent = attacked.agent()
    noise = chance.randbytes(1 << 20)
    memory_before = None
    for number in range(STRINGS):
        begin, length = chance.randrange(len(noise) - LENGTH_MAX), 1 + chance.randrange(LENGTH_MAX)
        raw = noise[begin : begin + length]
        if number % 2:
            raw = golden[: chance.randrange(len(golden))] + raw[: LENGTH_MAX - len(golden)]
        assert isinstance(verify(MessageKind.CMD, raw, is_retained=False, keys=KEYS), Dropped), raw.hex()
        if number % ENGINE_EVERY == 0:
            assert agent.drops(raw), raw.hex()
        if number == STRINGS // 10:
            memory_before = memory_bytes()
    assert memory_before is not None
    assert memory_bytes() - memory_before < attacked.MEMORY_GROWTH_BYTES_MAX
    assert agent.is_well()
