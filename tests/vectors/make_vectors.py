"""The protocol's test vectors, made from fixed keys: `python -m tests.vectors.make_vectors` writes them anew.

`envelopes.json` holds messages to be accepted and `documents.json` what roots sign, with every step on the way;
`refused.json` holds bytes to be dropped, most of them with a good signature, each with what is wrong with it;
`public_keys.json` holds keys that must not be taken.  All are plain JSON for other implementations.  The section of
`agent/PROTOCOL.md` between its markers is written from the first two.
"""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.bundle import Bundle, KeyEntry, OperatorEntry, Role, Transport, decode_bundle, encode_bundle
from agent.command.cosign import DocumentKind, key_id, open_document, seal_document
from agent.command.envelope import MessageKind, open_unverified, seal
from agent.command.payloads import (
    Retired,
    encode_command,
    encode_hello,
    encode_ping,
    encode_result,
    encode_retired,
)
from agent.command.result_pieces import Payload
from agent.command.scan import encode_canonical
from agent.model.command import Action, Executed, Reason, Stage
from tests.support import edwards
from tests.support import envelopes as by_hand

HERE = Path(__file__).resolve().parent
PROTOCOL = HERE.parents[1] / "agent" / "PROTOCOL.md"
BEGIN, END = "<!-- vectors -->\n", "<!-- end of vectors -->\n"

Document = dict[str, object]

ROOT_SEEDS = tuple(bytes(range(first, first + 0x20)) for first in (0x40, 0x60, 0x80))
ROOTS = tuple(Ed25519PrivateKey.from_private_bytes(seed) for seed in ROOT_SEEDS)
ORDER_ID = bytes.fromhex("0bde0000000000000000000000000001")
DATE_UNIX_S = 1_790_000_000


def diagnostic(item: object) -> str:
    """CBOR diagnostic notation (RFC 8949, section 8)."""
    match item:
        case None:
            return "null"
        case bool():
            return "true" if item else "false"
        case bytes():
            return f"h'{item.hex()}'"
        case str():
            return json.dumps(item)
        case dict():
            return "{" + ", ".join(f"{diagnostic(key)}: {diagnostic(item[key])}" for key in sorted(item)) + "}"
        case list():
            return "[" + ", ".join(map(diagnostic, item)) + "]"
        case _:
            return str(item)


def _messages() -> dict[str, tuple[MessageKind, Payload]]:
    unlock = encode_command(by_hand.UNLOCK)
    locked = replace(
        by_hand.UNLOCK,
        cid=bytes.fromhex("c1d00000000000000000000000000002"),
        action=Action.LOCK,
        counter=2,
        ref=bytes.fromhex("0b00000000000001"),
    )
    digest = sha256(seal(MessageKind.CMD, unlock, by_hand.COMMAND_KEY, by_hand.COMMAND_KID)).digest()[:8]
    verified = replace(by_hand.VERIFIED, digest=digest)
    rejected = replace(
        verified,
        stage=Stage.REJECTED,
        reason=Reason.SPEED_UNKNOWN,
        executed=Executed.NO,
        evidence=(),
        event_sequence=None,
    )
    return {
        "cmd: unlock": (MessageKind.CMD, unlock),
        "cmd: lock, with a booking and an extension": (MessageKind.CMD, encode_command(locked) | {200: "ignored"}),
        "ping": (MessageKind.PING, encode_ping(by_hand.PING)),
        "hello: answer to the ping": (MessageKind.HELLO, encode_hello(by_hand.HELLO)),
        "res: verified": (MessageKind.RES, encode_result(verified)),
        "res: rejected": (MessageKind.RES, encode_result(rejected)),
        "retired": (MessageKind.RETIRED, encode_retired(Retired(by_hand.CAR, ORDER_ID, 42, by_hand.STORE))),
    }


def envelopes() -> Document:
    """Messages to be accepted."""
    signers = {
        "command": (by_hand.COMMAND_KEY, by_hand.COMMAND_SEED, by_hand.COMMAND_KID),
        "vehicle": (by_hand.VEHICLE_KEY, by_hand.VEHICLE_SEED, by_hand.CAR),
    }
    found: list[Document] = []
    for name, (kind, payload) in _messages().items():
        signer = "command" if kind in (MessageKind.CMD, MessageKind.PING) else "vehicle"
        key, _, kid = signers[signer]
        raw = seal(kind, payload, key, kid)
        envelope = open_unverified(kind, raw)
        assert envelope is not None
        found.append(
            {
                "name": name,
                "kind": kind.value,
                "signer": signer,
                "payload": diagnostic(payload),
                "payload_hex": encode_canonical(payload).hex(),
                "signed_hex": envelope.signed_bytes.hex(),
                "envelope_hex": raw.hex(),
                "sha256_hex": envelope.digest.hex(),
            }
        )
    return {
        "keys": {
            name: {"seed_hex": seed.hex(), "public_hex": _public(key).hex(), "kid_hex": kid.hex()}
            for name, (key, seed, kid) in signers.items()
        },
        "envelopes": found,
    }


def bundle() -> Bundle:
    """Two of three roots, two operators, and a key of every role."""
    command = KeyEntry(
        operator=by_hand.OPERATOR,
        public_key=_public(by_hand.COMMAND_KEY),
        actions=frozenset({int(Action.UNLOCK), int(Action.LOCK), int(Action.REPORT)}),
        not_before_unix_s=1_780_000_000,
        not_after_unix_s=1_800_000_000,
    )
    seeds = {name: sha256(f"{name} key of the vectors".encode()).digest() for name in ("revoked", "grant", "time")}
    others = {name: _public(Ed25519PrivateKey.from_private_bytes(seed)) for name, seed in seeds.items()}
    local = frozenset({int(Transport.LOCAL)})
    return Bundle(
        fleet=bytes.fromhex("f1ee000000000001"),
        version=5,
        date_unix_s=DATE_UNIX_S,
        roots=tuple(map(_public, ROOTS)),
        threshold=2,
        operators=(OperatorEntry(by_hand.OPERATOR, "city"), OperatorEntry(8, "roadside")),
        keys=(
            command,
            replace(command, public_key=others["revoked"], is_revoked=True),
            KeyEntry(by_hand.OPERATOR, others["grant"], Role.GRANT, transports=local),
            KeyEntry(8, others["time"], Role.TIME, transports=local),
        ),
    )


def sorted_bundle() -> Bundle:
    """The bundle as it comes back: entries in the order of the protocol."""
    return decode_bundle(encode_bundle(bundle()))


def documents() -> Document:
    """What roots sign, to be accepted."""
    order: dict[int, object] = {1: 1, 2: by_hand.CAR, 3: ORDER_ID}
    payloads: dict[DocumentKind, dict[int, object]] = {
        DocumentKind.BUNDLE: encode_bundle(bundle()),
        DocumentKind.RESET: order | {4: DATE_UNIX_S + 86_400_000, 5: DATE_UNIX_S},
        DocumentKind.DECOM: order | {4: DATE_UNIX_S},
    }
    found: list[Document] = []
    for kind, payload in payloads.items():
        raw = seal_document(kind, payload, ROOTS[:2])
        document = open_document(kind, raw)
        assert document is not None
        protected = [encode_canonical({1: -19, 4: kid}) for kid in document.signatures]
        found.append(
            {
                "name": kind.value,
                "payload": diagnostic(payload),
                "payload_hex": document.body.hex(),
                "signed_hex": [
                    encode_canonical(["Signature", b"", header, kind.context, document.body]).hex()
                    for header in protected
                ],
                "document_hex": raw.hex(),
                "sha256_hex": document.digest.hex(),
            }
        )
    return {
        "roots": [
            {"seed_hex": seed.hex(), "public_hex": _public(root).hex(), "kid_hex": key_id(_public(root)).hex()}
            for seed, root in zip(ROOT_SEEDS, ROOTS, strict=True)
        ],
        "documents": found,
    }


def refused() -> list[Document]:
    """Bytes to be dropped as a `cmd`."""
    golden = by_hand.command_by_hand()
    fields = by_hand.UNLOCK_FIELDS
    body = by_hand.map_by_hand(fields)
    sign = by_hand.sign_by_hand
    backwards = dict(reversed(fields.items()))
    twice = by_hand.head(5, len(fields) + 1) + body[1:] + b"\x08\x02"
    cases: list[tuple[str, str, bytes]] = [
        ("H5", "one byte appended", golden + b"\x00"),
        ("H6", "act is there twice", sign("cmd", twice)),
        ("H7", "ctr in two bytes where one is enough", by_hand.command_by_hand(key_6=b"\x18\x01")),
        ("H8", "payload map of indefinite length", sign("cmd", b"\xbf" + body[1:] + b"\xff")),
        ("H9", "payload keys in descending order", sign("cmd", by_hand.map_by_hand(backwards))),
        ("H10", "envelope in COSE's tag 18", b"\xd2" + golden),
        ("H10", "ctr as a bignum", by_hand.command_by_hand(key_6=b"\xc2\x41\x01")),
        ("H13", "ctr as a float", by_hand.command_by_hand(key_6=b"\xf9\x3c\x00")),
        ("H14", "car as text", by_hand.command_by_hand(key_2=b"\x68" + b"carcarca")),
        ("H15", "ctr is 2^63", by_hand.command_by_hand(key_6=b"\x1b\x80" + bytes(7))),
        ("H15", "dl is negative", by_hand.command_by_hand(key_7=b"\x20")),
        ("H16", "unknown key 60", by_hand.command_by_hand(key_60=b"\x00")),
        ("H17", "unprotected header not empty", sign("cmd", body, unprotected=b"\xa1\x05\x40")),
        (
            "H17",
            "third protected header",
            sign("cmd", body, protected=b"\xa3" + by_hand.protected_header()[1:] + b"\x05\x40"),
        ),
        ("H21", "alg -8 (EdDSA)", sign("cmd", body, protected=by_hand.protected_header(alg=b"\x27"))),
        ("H23", "signed as a ping", sign("ping", body)),
        ("H27", "signature all zero", golden[:-64] + bytes(64)),
        ("H141", "tag 30 with a huge exponent", bytes.fromhex("d81e816a31653939393939393939")),
        ("H143", "act is true", by_hand.command_by_hand(key_8=b"\xf5")),
    ]
    return [{"hazard": hazard, "what": what, "kind": "cmd", "envelope_hex": raw.hex()} for hazard, what, raw in cases]


def public_keys() -> Document:
    """Public keys that no end may take (H25), and some that both take."""
    small = sorted(edwards.small_order_points())
    cases = {raw: _small(raw) for point in small for raw in edwards.encodings(point)}
    for y in (edwards.P + 2, edwards.P + 3, edwards.P + 18):
        cases[y.to_bytes(32, "little")] = f"y is the field prime and {y - edwards.P}"
        cases[(y | 1 << 255).to_bytes(32, "little")] = f"y is the field prime and {y - edwards.P}, with the other sign"
    without_x = [y for y in range(2, 40) if edwards.x_of(y) is None]
    for y in (without_x[0], without_x[-1]):
        cases[y.to_bytes(32, "little")] = f"no point has the y {y}"
        cases[(y | 1 << 255).to_bytes(32, "little")] = f"no point has the y {y}, with the other sign"
    return {
        "refused": [{"hazard": "H25", "what": what, "public_hex": raw.hex()} for raw, what in cases.items()],
        "accepted": [_public(key).hex() for key in (by_hand.COMMAND_KEY, by_hand.VEHICLE_KEY)],
    }


def _small(raw: bytes) -> str:
    """What an encoding of a point of small order is."""
    whole = int.from_bytes(raw, "little")
    sign, y = whole >> 255, whole & (1 << 255) - 1
    x = edwards.x_of(y % edwards.P)
    assert x is not None
    point = (x if x & 1 == sign else -x % edwards.P, y % edwards.P)
    oddities = [", y not below the field prime"] * (y >= edwards.P) + [", a sign where x is 0"] * (x == 0 and sign)
    return f"order {edwards.order_of(point)}, x {'odd' if point[0] & 1 else 'even'}{''.join(oddities)}"


def page(document: Document, signed_by_roots: Document) -> str:
    """The accepted vectors as the protocol's page prints them."""
    keys = cast("dict[str, dict[str, str]]", document["keys"])
    lines = []
    for name, key in keys.items():
        lines += [
            f"Key `{name}`:",
            "",
            "```",
            *(f"{part:<8}{key[f'{part}_hex']}" for part in ("seed", "public", "kid")),
        ]
        lines += ["```", ""]
    for vector in cast("list[dict[str, str]]", document["envelopes"]):
        lines += [f"**{vector['name']}**, signed by `{vector['signer']}`", "", "```", f"{'':<10}{vector['payload']}"]
        lines += [f"{part:<10}{vector[f'{part}_hex']}" for part in ("payload", "signed", "envelope", "sha256")]
        lines += ["```", ""]
    lines += page_of_roots(signed_by_roots)
    return "\n" + "\n".join(lines)


def page_of_roots(document: Document) -> list[str]:
    """The lines for what roots sign: their keys, and each document, signed by the first two."""
    lines = []
    for number, root in enumerate(cast("list[dict[str, str]]", document["roots"]), 1):
        parts = (f"{part:<8}{root[f'{part}_hex']}" for part in ("seed", "public", "kid"))
        lines += [f"Key `root {number}`:", "", "```", *parts, "```", ""]
    for vector in cast("list[dict[str, object]]", document["documents"]):
        lines += [f"**{vector['name']}**, signed by `root 1` and `root 2`; what each signs, in the order of their ids"]
        lines += ["", "```", f"{'':<10}{vector['payload']}", f"{'payload':<10}{vector['payload_hex']}"]
        lines += [f"{'signed':<10}{signed}" for signed in cast("list[str]", vector["signed_hex"])]
        lines += [f"{part:<10}{vector[f'{part}_hex']}" for part in ("document", "sha256")]
        lines += ["```", ""]
    return lines


def with_page(protocol: str, document: Document, signed_by_roots: Document) -> str:
    """The protocol's text with its vectors written anew."""
    before, rest = protocol.split(BEGIN)
    return before + BEGIN + page(document, signed_by_roots) + END + rest.split(END)[1]


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def text(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (HERE / "envelopes.json").write_text(text(envelopes()))
    (HERE / "documents.json").write_text(text(documents()))
    (HERE / "refused.json").write_text(text(refused()))
    (HERE / "public_keys.json").write_text(text(public_keys()))
    PROTOCOL.write_text(with_page(PROTOCOL.read_text(), envelopes(), documents()))
