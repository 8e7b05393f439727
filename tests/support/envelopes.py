"""Envelopes by hand: fixed keys, one golden message of each kind, and framing that obeys whoever wants it broken.

Nothing here uses the encoder under test: what is signed is put together from bytes.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.envelope import MessageKind
from agent.command.payloads import CommandPayload, Hello, Ping, Result
from agent.command.verify import KeyRecord
from agent.model.command import Action, Evidence, Executed, Reason, Stage
from agent.model.events import ClockTrust
from agent.model.reading import Quality

COMMAND_SEED = bytes(range(0x20))
VEHICLE_SEED = bytes(range(0x20, 0x40))
COMMAND_KEY = Ed25519PrivateKey.from_private_bytes(COMMAND_SEED)
VEHICLE_KEY = Ed25519PrivateKey.from_private_bytes(VEHICLE_SEED)
COMMAND_KID = bytes.fromhex("c0de0001")
CAR = bytes.fromhex("ca00000000000001")
SID = bytes.fromhex("51d0000000000001")
CID = bytes.fromhex("c1d00000000000000000000000000001")
NONCE = bytes.fromhex("40ce0000000000000000000000000001")
STORE = bytes.fromhex("5702e00000000001")
OPERATOR = 7

UNLOCK = CommandPayload(
    car=CAR, cid=CID, operator=OPERATOR, sid=SID, counter=1, deadline_ms=90_000, action=Action.UNLOCK
)
PING = Ping(car=CAR, operator=OPERATOR, nonce=NONCE)
HELLO = Hello(
    car=CAR,
    sid=SID,
    session_ms=60_000,
    clock_trust=ClockTrust.ESTIMATED,
    unix_s=1_790_000_000,
    counters={COMMAND_KID: 1},
    store_id=STORE,
    nonce=NONCE,
    event_sequence=42,
)
VERIFIED = Result(
    car=CAR,
    cid=CID,
    operator=OPERATOR,
    stage=Stage.VERIFIED,
    reason=Reason.OK,
    executed=Executed.YES,
    sid=SID,
    session_ms=60_900,
    digest=bytes(range(8)),
    evidence=(
        Evidence("Vehicle.Carshare.CentralLock.IsLocked", False, Quality.OK, 40, "LockStatus"),
        Evidence("Vehicle.Speed", 0.0, Quality.OK, 610, "MotionStatus"),
    ),
    event_sequence=43,
)


def key_record(**changes: object) -> KeyRecord:
    """The record of `COMMAND_KEY`: every action, dates around the vectors' own time."""
    fields: dict[str, object] = {
        "kid": COMMAND_KID,
        "operator": OPERATOR,
        "public_key": COMMAND_KEY.public_key(),
        "actions": frozenset(int(action) for action in Action),
        "not_before_unix_s": 1_780_000_000,
        "not_after_unix_s": 1_800_000_000,
    }
    return KeyRecord(**(fields | changes))  # type: ignore[arg-type]


KEYS = {COMMAND_KID: key_record()}


def head(major: int, argument: int) -> bytes:
    """A CBOR item header in its shortest form."""
    if argument < 24:
        return bytes([major << 5 | argument])
    for short, width in ((24, 1), (25, 2), (26, 4)):
        if argument < 1 << 8 * width:
            return bytes([major << 5 | short]) + argument.to_bytes(width, "big")
    return bytes([major << 5 | 27]) + argument.to_bytes(8, "big")


def byte_string(data: bytes) -> bytes:
    return head(2, len(data)) + data


def protected_header(alg: bytes = b"\x32", kid: bytes = COMMAND_KID) -> bytes:
    """`{1: alg, 4: kid}`; `alg` is the encoded number, -19 if not given."""
    return b"\xa2\x01" + alg + b"\x04" + byte_string(kid)


def sign_by_hand(
    kind: MessageKind | str,
    body: bytes,
    *,
    protected: bytes | None = None,
    unprotected: bytes = b"\xa0",
    key: Ed25519PrivateKey = COMMAND_KEY,
) -> bytes:
    """An envelope whose signature is good, whatever else may be wrong with it."""
    protected = protected_header() if protected is None else protected
    context = b"csa1/" + kind.encode()
    signed = b"\x84\x6aSignature1" + byte_string(protected) + byte_string(context) + byte_string(body)
    return b"\x84" + byte_string(protected) + unprotected + byte_string(body) + byte_string(key.sign(signed))


UNLOCK_FIELDS: dict[int, bytes] = {
    1: b"\x01",
    2: byte_string(CAR),
    3: byte_string(CID),
    4: head(0, OPERATOR),
    5: byte_string(SID),
    6: b"\x01",
    7: head(0, 90_000),
    8: b"\x01",
}
"""The golden command's payload: key → encoded value."""


def map_by_hand(fields: dict[int, bytes]) -> bytes:
    """A map in the order given."""
    return head(5, len(fields)) + b"".join(head(0, key) + value for key, value in fields.items())


def command_by_hand(**changes: bytes) -> bytes:
    """The golden command with encoded values exchanged or added, signed: `command_by_hand(key_8=b"\\xf5")`."""
    exchanged = {int(name.removeprefix("key_")): value for name, value in changes.items()}
    return sign_by_hand(MessageKind.CMD, map_by_hand(UNLOCK_FIELDS | exchanged))
