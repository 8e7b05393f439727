"""`agent/PROTOCOL.md` says what the code does: its tables are those of the code, its vectors are computed again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.command.bundle import (
    BUNDLE_FIELDS,
    COMMAND_KEYS_MAX,
    KEY_FIELDS,
    NAME_BYTES_MAX,
    NUMBER_MAX,
    OPERATOR_NUMBER_MAX,
)
from agent.command.cosign import (
    DOCUMENT_BYTES_MAX,
    DOCUMENT_LIMITS,
    SIGNATURES_MAX,
    DocumentKind,
    key_id,
    open_document,
    seal_document,
    signers,
)
from agent.command.envelope import ALG_ED25519, MessageKind, check_signature, open_unverified, seal
from agent.command.fields import (
    ENVELOPE_BYTES_MAX,
    EVIDENCE_FIELDS,
    EXTENSION_KEY_MIN,
    FIELDS,
    VERSION,
    FieldTable,
)
from agent.command.keys import load_public_key
from agent.command.orders import (
    ORDER_FIELDS,
    Decommission,
    OrderRefusal,
    Reset,
    judge_decommission,
    judge_reset,
)
from agent.command.phases import TRANSITIONS
from agent.command.replay import COUNTER_MAX, LIFETIME_HARD_MAX_MS, is_state_changing, lifetime_max_ms
from agent.command.scan import encode_canonical
from agent.command.trust import TOMBSTONES_MAX, BundleRefusal, SignedBundle, open_bundle
from agent.model.command import Action, Executed, Reason, Stage
from agent.model.events import ClockTrust
from agent.trusting import FLOOR_INTERVAL_S
from tests.vectors import make_vectors

PAGE = make_vectors.PROTOCOL.read_text()
VECTORS = Path(make_vectors.HERE)
DOCUMENT = json.loads((VECTORS / "envelopes.json").read_text())
BY_ROOTS = json.loads((VECTORS / "documents.json").read_text())


def section(heading: str) -> str:
    """The text under a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def rows(text: str, head: str) -> list[list[str]]:
    """Cells of the table that begins with the line `head`."""
    lines = text[text.index(head) :].splitlines()[2:]
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def printed(table: FieldTable) -> list[list[str]]:
    return [[str(key), field.name, field.shape, "yes" if field.is_required else "no"] for key, field in table.items()]


FIELD_HEAD = "| key | name | type | needed | meaning |"


@pytest.mark.parametrize("kind", list(MessageKind))
def test_field_tables_are_those_of_the_code(kind: MessageKind) -> None:
    assert [row[:4] for row in rows(section(kind.value), FIELD_HEAD)] == printed(FIELDS[kind])


def test_table_of_evidence_is_that_of_the_code() -> None:
    text = section("res")
    assert [row[:4] for row in rows(text[text.index("Each piece") :], FIELD_HEAD)] == printed(EVIDENCE_FIELDS)


@pytest.mark.parametrize("kind", list(DocumentKind))
def test_tables_of_what_roots_sign_are_those_of_the_code(kind: DocumentKind) -> None:
    table = BUNDLE_FIELDS if kind is DocumentKind.BUNDLE else ORDER_FIELDS[kind]
    assert [row[:4] for row in rows(section(kind.value), FIELD_HEAD)] == printed(table)


def test_places_of_a_key_are_those_of_the_code() -> None:
    found = [row[:3] for row in rows(section("bundle"), "| place | name | type | meaning |")]
    assert found == [[str(place), field.name, field.shape] for place, field in enumerate(KEY_FIELDS, 1)]


def test_refusals_of_bundles_and_orders_are_those_of_the_code() -> None:
    """In the order in which they are found; `present` is asked beside `older`, which its version excludes."""
    assert [row[2] for row in rows(section("bundle"), "| | check | refused as |")] == [
        refusal.value for refusal in BundleRefusal
    ]
    words = re.findall(r"\((\w+)\)", section("decom")[section("decom").index("For both orders") :])
    assert set(words) == {refusal.value for refusal in OrderRefusal}


def test_bounds_of_what_roots_sign_are_those_of_the_code() -> None:
    text = re.sub(r"\s+", " ", section("Documents"))
    assert f"at most {DOCUMENT_BYTES_MAX} bytes" in text
    assert (
        f"at most {DOCUMENT_LIMITS.depth_max} arrays and maps" in text and f"{DOCUMENT_LIMITS.items_max} items" in text
    )
    assert f"1 to {SIGNATURES_MAX} of them" in text
    bundle = re.sub(r"\s+", " ", section("bundle"))
    assert NUMBER_MAX == 2**53 - 1 and OPERATOR_NUMBER_MAX == 2**31 - 1 and "1 to 2^31 - 1" in bundle
    assert f"at most {NAME_BYTES_MAX} bytes" in bundle
    assert f"at most {COMMAND_KEYS_MAX} command keys" in bundle
    assert f"the last {TOMBSTONES_MAX} of them" in bundle
    assert f"every {FLOOR_INTERVAL_S / 60:g} min" in section("5 What is durable, and when")


def test_actions_and_their_lifetimes_are_those_of_the_code() -> None:
    expected = [[str(int(action)), action.name.lower(), f"{lifetime_max_ms(action) // 1000} s"] for action in Action]
    assert rows(section("cmd"), "| act | action |") == expected
    assert [action for action in Action if is_state_changing(action)] == list(Action)[:5], "1 to 5 change the car"


def test_stages_are_those_of_the_code() -> None:
    expected = [[f"{stage:d} {stage.name.lower()}", "yes" if stage.is_final else "no"] for stage in Stage]
    assert [row[:2] for row in rows(section("6 Results"), "| stage | final |")] == expected


def test_executed_is_that_of_the_code() -> None:
    found = [row[0] for row in rows(section("6 Results"), "| executed | meaning |")]
    assert found == [f"{executed:d} {executed.name.lower()}" for executed in Executed]


def test_reasons_are_those_of_the_code() -> None:
    expected = [[f"{reason:d} {reason.name.lower()}", "yes" if reason.is_temporary else ""] for reason in Reason]
    assert [row[:2] for row in rows(section("6 Results"), "| reason | again |")] == expected


def test_time_states_are_those_of_the_code() -> None:
    assert [f"{trust:d}" for trust in ClockTrust] == re.findall(r"(\d) (?:floor|estimated|attested)", section("hello"))


def test_transitions_are_those_of_the_code() -> None:
    found = [tuple(row) for row in rows(section("7 A running command"), "| in | on | to |")]
    assert found == [(before.value, signal.value, after.value) for (before, signal), after in TRANSITIONS.items()]


def test_reasons_in_the_order_of_checks_exist() -> None:
    words = {reason.name.lower() for reason in Reason}
    found = set(re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", section("4 Order of checks")))
    assert found
    assert found <= words


def test_numbers_are_those_of_the_code() -> None:
    decoding = section("2 Envelope")
    assert f"1 to {ENVELOPE_BYTES_MAX} bytes" in decoding
    assert f"{{1: {ALG_ED25519}, 4: kid}}" in decoding
    limits = {kind: (kind.limits.items_max, kind.limits.depth_max) for kind in MessageKind}
    assert limits.pop(MessageKind.RES) == (224, 4)
    assert set(limits.values()) == {(64, 4)}
    assert re.search(r"At most 4 arrays and maps inside one another; at\s+most 64 items \(224 in a `res`\)", decoding)
    assert f"keys below {EXTENSION_KEY_MIN} must be known" in decoding
    assert f"`v` is {VERSION}." in section("3 Messages")
    assert COUNTER_MAX == 2**53 - 1 and "at most 2^53 - 1" in section("cmd")
    assert f"at most {LIFETIME_HARD_MAX_MS // 1000} s" in section("5 What is durable, and when")


def test_vectors_on_the_page_and_on_disk_are_computed_again() -> None:
    document = make_vectors.envelopes()
    assert (VECTORS / "envelopes.json").read_text() == make_vectors.text(document)
    assert (VECTORS / "refused.json").read_text() == make_vectors.text(make_vectors.refused())
    documents = make_vectors.documents()
    assert (VECTORS / "documents.json").read_text() == make_vectors.text(documents)
    assert make_vectors.with_page(PAGE, document, documents) == PAGE


@pytest.mark.parametrize("vector", BY_ROOTS["documents"], ids=lambda vector: vector["name"])
def test_vector_of_the_roots_is_opened_verified_and_sealed_to_the_same_bytes(vector: dict[str, Any]) -> None:
    kind = DocumentKind(vector["name"])
    raw = bytes.fromhex(vector["document_hex"])
    document = open_document(kind, raw)
    assert document is not None
    roots = [bytes.fromhex(root["public_hex"]) for root in BY_ROOTS["roots"]]
    assert signers(document, roots) == set(roots[:2])
    assert document.body.hex() == vector["payload_hex"]
    assert document.digest.hex() == vector["sha256_hex"]
    for (kid, signature), signed in zip(document.signatures.items(), vector["signed_hex"], strict=True):
        root = next(load_public_key(root) for root in roots if key_id(root) == kid)
        assert root is not None
        root.verify(signature, bytes.fromhex(signed))
    keys = [Ed25519PrivateKey.from_private_bytes(bytes.fromhex(root["seed_hex"])) for root in BY_ROOTS["roots"]]
    assert isinstance(document.payload, dict)
    assert seal_document(kind, document.payload, keys[:2]) == raw


def test_vectors_of_the_roots_are_accepted() -> None:
    raw = {vector["name"]: bytes.fromhex(vector["document_hex"]) for vector in BY_ROOTS["documents"]}
    assert raw.keys() == {kind.value for kind in DocumentKind}
    opened = open_bundle(raw["bundle"])
    assert isinstance(opened, SignedBundle)
    assert opened.bundle == make_vectors.sorted_bundle()
    car = bytes.fromhex(DOCUMENT["keys"]["vehicle"]["kid_hex"])
    floor_unix_s = make_vectors.DATE_UNIX_S + 86_400_000
    reset = judge_reset(raw["reset"], opened.bundle, car=car, floor_unix_s=floor_unix_s, done=frozenset())
    assert isinstance(reset, Reset)
    assert isinstance(judge_decommission(raw["decom"], opened.bundle, car=car), Decommission)


@pytest.mark.parametrize("vector", DOCUMENT["envelopes"], ids=lambda vector: vector["name"])
def test_vector_is_opened_verified_and_sealed_to_the_same_bytes(vector: dict[str, str]) -> None:
    key = DOCUMENT["keys"][vector["signer"]]
    kind = MessageKind(vector["kind"])
    raw = bytes.fromhex(vector["envelope_hex"])
    envelope = open_unverified(kind, raw)
    public_key = load_public_key(bytes.fromhex(key["public_hex"]))
    assert envelope is not None and public_key is not None
    assert check_signature(envelope, public_key)
    assert envelope.kid.hex() == key["kid_hex"]
    assert envelope.signed_bytes.hex() == vector["signed_hex"]
    assert envelope.digest.hex() == vector["sha256_hex"]
    assert encode_canonical(dict(envelope.payload)).hex() == vector["payload_hex"]
    private_key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed_hex"]))
    assert seal(kind, envelope.payload, private_key, envelope.kid) == raw


def test_every_kind_of_message_has_a_vector() -> None:
    assert {vector["kind"] for vector in DOCUMENT["envelopes"]} == {kind.value for kind in MessageKind}
