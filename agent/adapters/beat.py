"""The beats on which is done what has to be done again and again but at no certain moment.

Each time it is woken a small computer pays more than most of this work costs.  On common beats of the event loop's
clock all that is due wakes it once.
"""

from __future__ import annotations

import asyncio


def next_beat_s(now_s: float, every_s: float) -> float:
    """The next multiple of `every_s`; both are the event loop's time."""
    beats = now_s // every_s + 1.0
    at_s = beats * every_s
    return at_s if at_s > now_s else (beats + 1.0) * every_s  # rounded, it may be now


async def beat(every_s: float) -> None:
    """Wait for the next beat, for `every_s` at most."""
    now_s = asyncio.get_running_loop().time()
    await asyncio.sleep(next_beat_s(now_s, every_s) - now_s)
