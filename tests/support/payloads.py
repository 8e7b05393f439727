"""Payloads of every content the protocol allows, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from agent.command.payloads import CommandPayload

unsigned = st.integers(0, 2**63 - 1)

commands = st.builds(
    CommandPayload,
    car=st.binary(min_size=8, max_size=8),
    cid=st.binary(min_size=16, max_size=16),
    operator=unsigned,
    sid=st.binary(min_size=8, max_size=8),
    counter=unsigned,
    deadline_ms=unsigned,
    action=unsigned,
    parameters=st.none() | st.dictionaries(unsigned, st.booleans(), max_size=3),
    ref=st.none() | st.binary(min_size=8, max_size=8),
)
