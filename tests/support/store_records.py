"""Records with plausible contents, told apart by a number."""

from __future__ import annotations

from agent.model.command import Executed, Reason, Stage
from agent.model.records import Done, Intent

CAR = bytes.fromhex("0011223344556677")
SID = b"session1"


def intent(number: int, *, sid: bytes = SID) -> Intent:
    return Intent(
        operator=7,
        cid=number.to_bytes(16),
        digest=number.to_bytes(32),
        kid=b"kid7",
        action=1,
        sid=sid,
        counter=number,
        deadline_ms=number * 1000,
        accepted_at_unix_s=None if number % 2 else 1_700_000_000 + number,
    )


def done(number: int, *, sequence: int | None = None) -> Done:
    return Done(
        operator=7,
        cid=number.to_bytes(16),
        stage=Stage.VERIFIED,
        reason=Reason.OK,
        executed=Executed.YES,
        result=b"signed result %d" % number,
        sequence=number if sequence is None else sequence,
    )
