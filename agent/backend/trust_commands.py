"""What `carshare-backend` does with the fleet's trust: rotate, revoke, sign, order. Each returns what it has to say."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.backend.bundles import command_key, is_good, next_bundle, with_new_key, with_revoked_key
from agent.backend.files import replace, write_new
from agent.backend.fleet import Fleet
from agent.backend.keys import key_id, raw_public, read_key, store_key
from agent.backend.settings import Settings, load_settings
from agent.backend.signing import Draft, bundle_draft, draft_of, read_bundle, read_draft
from agent.backend.told import Told, bundle_document, draft_words, order_document, signature_words
from agent.command.bundle import Bundle, Role, decode_bundle
from agent.command.cosign import DocumentKind
from agent.command.cosign import key_id as document_key_id
from agent.command.fields import NONCE_BYTES, VERSION
from agent.errors import ConfigurationError
from agent.model.quick_dataclass import dataclass

DAY_S = 86_400

# A root that signs a date far ahead makes keys expire in every car, and only a visit to each car undoes that.
DATE_AHEAD_S_MAX = DAY_S


def rotate(config: Path, root_files: Sequence[Path], overlap_days: int) -> Told:
    """Make the successor of the present command key, and the draft of a bundle in which both are good for a while."""
    fleet, settings = Fleet(config.parent), load_settings(config)
    bundle = _bundle_to_change(fleet)
    old_kid = settings.operator.kid
    command_key(bundle, old_kid)
    if (successor := successor_file(fleet, bundle, settings)) is not None:
        raise ConfigurationError(
            f"{successor}: the key in use has a successor already; publish the bundle and put it in use: "
            "carshare-backend rotate --switch"
        )
    key = Ed25519PrivateKey.generate()
    kid = key_id(key.public_key())
    ends_unix_s = _now_unix_s() + overlap_days * DAY_S
    changed = with_new_key(bundle, old_kid, raw_public(key.public_key()), old_ends_unix_s=ends_unix_s)
    draft = _signed(fleet, bundle_draft(changed), root_files)
    store_key(fleet.command_key_file(kid), key)
    told = _keep_draft(fleet, draft)
    return Told(
        {**told.document, "new_kid": kid.hex(), "old_kid": old_kid.hex()},
        f"new command key {kid.hex()}; the old one, {old_kid.hex()}, ends in {overlap_days} days\n{told.text}",
        (*told.advice, "Once it is published: carshare-backend rotate --switch"),
    )


def revoke_key(config: Path, kid: bytes, root_files: Sequence[Path]) -> Told:
    """The draft of a bundle in which a key is revoked."""
    fleet, settings = Fleet(config.parent), load_settings(config)
    draft = bundle_draft(with_revoked_key(_bundle_to_change(fleet), kid))
    told = _keep_draft(fleet, _signed(fleet, draft, root_files))
    switch = ("This backend still signs with it; once the bundle is published: carshare-backend rotate --switch",)
    return Told(
        {**told.document, "revoked_kid": kid.hex()},
        f"key {kid.hex()} is revoked in the draft\n{told.text}",
        (*told.advice, *(switch if kid == settings.operator.kid else ())),
    )


def show(config: Path, path: Path | None) -> Told:
    """A bundle, a draft or an order; without a file the bundle in force, and the draft if there is one."""
    fleet = Fleet(config.parent)
    if path is not None:
        return _described(fleet, read_draft(path))
    read_bundle(fleet.bundle_file)
    told = _described(fleet, read_draft(fleet.bundle_file))
    if not fleet.draft_file.exists():
        return told
    pending = _described(fleet, read_draft(fleet.draft_file))
    return Told(
        {**told.document, "draft": pending.document},
        f"{told.text}\n\n{fleet.draft_file}, not in force:\n{pending.text}",
    )


def sign(config: Path, path: Path, root_files: Sequence[Path]) -> Told:
    """Put the signatures of roots on a bundle's draft or an order; what is signed is shown."""
    fleet, draft = Fleet(config.parent), read_draft(path)
    if draft.kind is DocumentKind.BUNDLE:
        _require_date(decode_bundle(draft.payload))
    signed = _signed(fleet, draft, root_files)
    replace(path, signed.raw)
    return _described(fleet, signed)


@dataclass(frozen=True, slots=True)
class OrderFor:
    """For which car an order is, whose roots sign it here and now, and in which file it goes."""

    car: str
    root_files: Sequence[Path]
    path: Path | None


def decommission(config: Path, order: OrderFor) -> Told:
    """The order for a car to delete its keys and its memory; carried out on the car, by who has it in hand."""
    car = load_settings(config).car(order.car)
    payload = {1: VERSION, 2: car.id, 3: secrets.token_bytes(NONCE_BYTES), 4: _now_unix_s()}
    path = order.path or Path(f"{order.car}.decom")
    receipt = f"--receipt {order.car}.receipt"
    return _write_order(
        config,
        draft_of(DocumentKind.DECOM, payload),
        order.root_files,
        path,
        (
            f"On the car, its agent stopped: carshare-agent decommission --order {path.name} {receipt}",
            f"With that receipt: carshare-backend revoke car {order.car} {receipt}",
        ),
    )


def clock_reset(config: Path, order: OrderFor, *, from_unix_s: int, to_unix_s: int) -> Told:
    """The order that sets a car's time floor back, bound to the floor it has."""
    car = load_settings(config).car(order.car)
    if to_unix_s >= from_unix_s:
        raise ConfigurationError(
            f"a clock reset sets the floor back, and {to_unix_s} is not before {from_unix_s}; signed dates raise it"
        )
    payload = {1: VERSION, 2: car.id, 3: secrets.token_bytes(NONCE_BYTES), 4: from_unix_s, 5: to_unix_s}
    path = order.path or Path(f"{order.car}.reset")
    return _write_order(
        config,
        draft_of(DocumentKind.RESET, payload),
        order.root_files,
        path,
        (f"On the car, its agent stopped: carshare-agent clock-reset --order {path.name}",),
    )


def successor_file(fleet: Fleet, bundle: Bundle, settings: Settings) -> Path | None:
    """The key file of another good command key of this operator in `bundle`, the one that ends last."""
    candidates = [
        key
        for key in bundle.keys
        if (key.operator, key.role) == (settings.operator.number, Role.COMMAND)
        and key.kid != settings.operator.kid
        and is_good(key, bundle)
        and fleet.command_key_file(key.kid).exists()
    ]
    last = max(candidates, key=lambda key: key.not_after_unix_s, default=None)
    return None if last is None else fleet.command_key_file(last.kid)


def _write_order(
    config: Path, unsigned: Draft, root_files: Sequence[Path], path: Path, advice: tuple[str, ...]
) -> Told:
    fleet = Fleet(config.parent)
    draft = _signed(fleet, unsigned, root_files)
    write_new(path, draft.raw)
    told = _described(fleet, draft)
    more = () if told.document["is_complete"] else (f"With each root: carshare-backend bundle sign {path} --root FILE",)
    return Told({**told.document, "order": str(path)}, f"{told.text}\nwritten to {path}", (*more, *advice))


def _bundle_to_change(fleet: Fleet) -> Bundle:
    """The successor of the bundle in force: that of the draft under way, if there is one, with today's date."""
    present = read_bundle(fleet.bundle_file).bundle
    changed = decode_bundle(read_draft(fleet.draft_file).payload) if fleet.draft_file.exists() else present
    if changed is not present and changed.version <= present.version:
        raise ConfigurationError(f"{fleet.draft_file}: is no successor of the bundle in force; delete it")
    return next_bundle(changed, after=present, date_unix_s=_now_unix_s())


def _keep_draft(fleet: Fleet, draft: Draft) -> Told:
    """Signatures on an earlier draft were given for other words, and are not taken over."""
    replace(fleet.draft_file, draft.raw)
    told = _described(fleet, draft)
    if told.document["is_complete"]:
        return Told(told.document, told.text, ("Next: carshare-backend bundle publish",))
    return Told(
        told.document,
        told.text,
        (f"Next, with each root: carshare-backend bundle sign {fleet.draft_file} --root FILE",),
    )


def _signed(fleet: Fleet, draft: Draft, root_files: Sequence[Path]) -> Draft:
    """With the signatures of these roots; refused for a key that is no root, whose signature nobody would count."""
    roots, _ = _deciding(fleet, draft)
    own = decode_bundle(draft.payload).roots if draft.kind is DocumentKind.BUNDLE else ()
    for path in root_files:
        root = read_key(path)
        if roots and raw_public(root.public_key()) not in (*roots, *own):
            known = ", ".join(document_key_id(raw).hex() for raw in roots)
            raise ConfigurationError(
                f"{path}: is the key {key_id(root.public_key()).hex()}, and no root; they are {known}"
            )
        draft = draft.signed(root)
    return draft


def _described(fleet: Fleet, draft: Draft) -> Told:
    """What it says, and how many of the roots that decide have signed."""
    roots, needed = _deciding(fleet, draft)
    count = len(draft.signed_by(roots))
    is_bundle = draft.kind is DocumentKind.BUNDLE
    document = bundle_document(decode_bundle(draft.payload)) if is_bundle else order_document(draft)
    document |= {"signatures": count, "needed": needed, "is_complete": 0 < needed <= count}
    words = signature_words(count, needed) if needed else "the bundle in force says whose signatures it needs"
    return Told(document, f"{draft_words(draft)}\n  {words}")


def _deciding(fleet: Fleet, draft: Draft) -> tuple[tuple[bytes, ...], int]:
    """The roots whose signatures count, and how many: of the bundle in force; where there is none, its own."""
    if fleet.bundle_file.exists():
        present = read_bundle(fleet.bundle_file).bundle
        return present.roots, present.threshold
    if draft.kind is DocumentKind.BUNDLE:
        bundle = decode_bundle(draft.payload)
        return bundle.roots, bundle.threshold
    return (), 0


def _require_date(bundle: Bundle) -> None:
    ahead_s = bundle.date_unix_s - _now_unix_s()
    if ahead_s > DATE_AHEAD_S_MAX:
        raise ConfigurationError(
            f"the bundle is dated {ahead_s // DAY_S} days after this machine's clock. A date raises the time floor of "
            "every car, and keys expire by it: find out which clock is wrong before you sign"
        )


def _now_unix_s() -> int:
    return int(time.time())
