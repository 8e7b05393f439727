"""The next trust bundle, made from the one before: a key added, a key revoked. Pure; who signs it is not asked here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agent.command.bundle import (
    COMMAND_KEYS_MAX,
    KEYS_MAX,
    NUMBER_MAX,
    Bundle,
    KeyEntry,
    OperatorEntry,
    Role,
)
from agent.errors import ConfigurationError


def first_bundle(
    fleet: bytes,
    roots: Iterable[bytes],
    threshold: int,
    operator: OperatorEntry,
    key: bytes,
    actions: Iterable[int],
    *,
    date_unix_s: int,
) -> Bundle:
    """Version 1: one operator with one command key, which may ask for `actions`. Keys are raw."""
    return Bundle(
        fleet=fleet,
        version=1,
        date_unix_s=date_unix_s,
        roots=tuple(sorted(roots)),
        threshold=threshold,
        operators=(operator,),
        keys=(KeyEntry(operator.number, key, Role.COMMAND, frozenset(actions)),),
    )


def next_bundle(changed: Bundle, *, after: Bundle, date_unix_s: int) -> Bundle:
    """`changed` as the version that follows `after`, the one in force.

    Its date raises the time floor of every car, which nothing but the roots can lower.  ConfigurationError if it is
    before that of `after`: then one of the two clocks was wrong.
    """
    if date_unix_s < after.date_unix_s:
        raise ConfigurationError(
            f"this machine's clock is {after.date_unix_s - date_unix_s} s behind the date of the bundle in force; set "
            "the clock. If it is that bundle that is dated in the future, see: carshare-backend clock-reset --help"
        )
    return replace(changed, version=after.version + 1, date_unix_s=date_unix_s)


def with_new_key(bundle: Bundle, old_kid: bytes, public_key: bytes, *, old_ends_unix_s: int) -> Bundle:
    """A successor of the command key `old_kid` with the same rights; the old one ends then, or when it did before.

    Keys that ended before the bundle's date make room, and revoked ones where there is no other: a car remembers them.
    """
    old = command_key(bundle, old_kid)
    new = replace(old, public_key=public_key, not_before_unix_s=0, not_after_unix_s=NUMBER_MAX, is_revoked=False)
    ending = replace(old, not_after_unix_s=min(old.not_after_unix_s, old_ends_unix_s))
    keys = [ending if key.kid == old_kid else key for key in bundle.keys]
    keys = [key for key in keys if key.kid == old_kid or key.not_after_unix_s >= bundle.date_unix_s]
    if len(_of_operator(keys, old.operator)) >= COMMAND_KEYS_MAX or len(keys) >= KEYS_MAX:
        keys = [key for key in keys if not (key.is_revoked and key.operator == old.operator)]
    return replace(bundle, keys=tuple(sorted((*keys, new), key=lambda key: key.kid)))


def with_revoked_key(bundle: Bundle, kid: bytes) -> Bundle:
    """`kid` is answered `key_revoked` from now on. Refused for the last command key of its operator that works."""
    key = find_key(bundle, kid)
    if key.is_revoked:
        raise ConfigurationError(f"key {kid.hex()} is revoked already")
    others = [other for other in _of_operator(bundle.keys, key.operator) if other.kid != kid and is_good(other, bundle)]
    if key.role == Role.COMMAND and not others:
        raise ConfigurationError(
            f"key {kid.hex()} is the only command key of operator {key.operator} that works: nobody could open a car "
            "any more. Make its successor first: carshare-backend rotate"
        )
    revoked = tuple(replace(other, is_revoked=True) if other.kid == kid else other for other in bundle.keys)
    return replace(bundle, keys=revoked)


def find_key(bundle: Bundle, kid: bytes) -> KeyEntry:
    """The key of that id; ConfigurationError naming those that there are."""
    for key in bundle.keys:
        if key.kid == kid:
            return key
    known = ", ".join(f"{key.kid.hex()} (operator {key.operator})" for key in bundle.keys)
    raise ConfigurationError(f"there is no key {kid.hex()} in the bundle; it has {known or 'none'}")


def command_key(bundle: Bundle, kid: bytes) -> KeyEntry:
    """The same, for a key that signs commands."""
    key = find_key(bundle, kid)
    if key.role != Role.COMMAND:
        raise ConfigurationError(f"key {kid.hex()} is no command key")
    return key


def is_good(key: KeyEntry, bundle: Bundle) -> bool:
    """Whether cars with this bundle take the key, as far as the date of the bundle shows."""
    return not key.is_revoked and key.not_after_unix_s >= bundle.date_unix_s


def _of_operator(keys: Iterable[KeyEntry], operator: int) -> list[KeyEntry]:
    return [key for key in keys if key.operator == operator and key.role == Role.COMMAND]
