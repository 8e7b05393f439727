"""Trust on its way to the cars: the bundle left with the broker for each, and a new key in use once they know it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from agent.backend.client import Backend
from agent.backend.files import replace as replace_file
from agent.backend.fleet import Fleet
from agent.backend.keys import key_id, read_key
from agent.backend.registry import use_key
from agent.backend.settings import Settings, load_settings
from agent.backend.signing import read_bundle, read_draft
from agent.backend.told import Told, signature_words
from agent.backend.trust_commands import successor_file
from agent.command.trust import BundleRefusal, SignedBundle, has_own_threshold, judge_bundle
from agent.errors import AgentError, ConfigurationError

# A broker takes some thousand messages a second; a fleet of 10,000 is asked in under a minute.
CARS_AT_ONCE_MAX = 100

# A car stores a bundle with one commit, and says so when it is asked next.
ASK_AGAIN_S = 0.5


class NotReadyError(AgentError):
    """Cars have not answered to the new key; putting it in use would leave them deaf."""


async def publish(config: Path, wait_s: float) -> Told:
    """Put the draft in force if there is one, leave the bundle with the broker for every car, and see who has it.

    Cars that are not connected, or do not answer within `wait_s`, get it when they connect next.
    """
    fleet, settings = Fleet(config.parent), load_settings(config)
    signed = _put_in_force(fleet)
    versions: dict[str, int | None] = {}

    async with Backend(settings) as backend:

        async def bring(car: str) -> None:
            is_there = await backend.publish_bundle(car, signed.raw)
            wanted = signed.bundle.version
            versions[car] = await _version_of(backend, car, wanted, wait_s) if is_there else None

        await _for_every(settings, bring)
    return _published(signed.bundle.version, {name: versions[name] for name in settings.cars})


async def switch(config: Path, wait_s: float, *, is_forced: bool) -> Told:
    """Sign with the new command key from now on, if every car answers to it.

    A car that has not the bundle with the new key drops what it signs without a word.  `is_forced` leaves such cars
    behind until they connect and get the bundle; the old key must have been stolen for that to be wise.
    """
    fleet, settings = Fleet(config.parent), load_settings(config)
    path = successor_file(fleet, read_bundle(fleet.bundle_file).bundle, settings)
    if path is None:
        raise ConfigurationError(
            f"{fleet.bundle_file}: has no other command key of this operator whose key file is here; make one with: "
            "carshare-backend rotate, and publish the bundle"
        )
    key = read_key(path)
    deaf: list[str] = []
    with_new_key = replace(settings, operator=replace(settings.operator, key=key))

    async with Backend(with_new_key) as backend:

        async def ask(car: str) -> None:
            if await backend.ping(car, timeout_s=wait_s) is None:
                deaf.append(car)

        await _for_every(settings, ask)
    if deaf and not is_forced:
        raise NotReadyError(
            f"{len(deaf)} of {len(settings.cars)} cars did not answer to the new key: {_listed(deaf)}. They get the "
            "bundle when they connect; try again then, or leave them behind until then with --anyway"
        )
    use_key(config, path.name)
    kid = key_id(key.public_key()).hex()
    return Told(
        {"kid": kid, "key_file": path.name, "not_answered": sorted(deaf)},
        f"signing with {kid} from now on",
        (f"{len(deaf)} cars do not hear this key yet: {_listed(deaf)}",) if deaf else (),
    )


def _put_in_force(fleet: Fleet) -> SignedBundle:
    present = read_bundle(fleet.bundle_file)
    if not has_own_threshold(present):
        raise ConfigurationError(f"{fleet.bundle_file}: too few roots have signed it; no car would take it")
    if not fleet.draft_file.exists():
        return present
    draft = read_draft(fleet.draft_file)
    if not draft.signatures:
        raise ConfigurationError(
            f"{fleet.draft_file}: no root has signed it; with each: carshare-backend bundle sign {fleet.draft_file} "
            "--root FILE"
        )
    offered = read_bundle(fleet.draft_file)
    refusal = judge_bundle(present, offered)
    if refusal is BundleRefusal.PRESENT:  # an earlier publication was cut off between two lines below
        fleet.draft_file.unlink()
        return present
    if refusal is not None:
        signed = len(draft.signed_by(present.bundle.roots))
        words = signature_words(signed, present.bundle.threshold)
        raise ConfigurationError(
            f"{fleet.draft_file}: cars would refuse it ({refusal}); {words}. See: carshare-backend bundle show"
        )
    replace_file(fleet.bundle_file, offered.raw)
    fleet.draft_file.unlink()
    return offered


async def _version_of(backend: Backend, car: str, wanted: int, wait_s: float) -> int | None:
    """The bundle version the car says it has, asked again until it is the one that was just published."""
    loop = asyncio.get_running_loop()
    ends_at_s = loop.time() + wait_s
    version = None
    while (left_s := ends_at_s - loop.time()) > 0:
        hello = await backend.ping(car, timeout_s=left_s)
        if hello is None:
            break
        version = hello.versions[0]
        if version >= wanted:
            break
        await asyncio.sleep(min(ASK_AGAIN_S, max(0.0, ends_at_s - loop.time())))
    return version


async def _for_every(settings: Settings, work: Callable[[str], Awaitable[None]]) -> None:
    """`work` for each car, so many at once as a broker and this process bear."""
    room = asyncio.Semaphore(CARS_AT_ONCE_MAX)

    async def one(car: str) -> None:
        async with room:
            await work(car)

    try:
        async with asyncio.TaskGroup() as group:
            for car in settings.cars:
                group.create_task(one(car), name=f"backend-fleet-{car}")
    except* AgentError as errors:
        raise errors.exceptions[0] from None


def _published(version: int, versions: Mapping[str, int | None]) -> Told:
    behind = [name for name, known in versions.items() if known is None or known < version]
    return Told(
        {"version": version, "cars": [{"name": name, "version": known} for name, known in versions.items()]},
        f"bundle version {version} is with the broker for {len(versions)} cars; {len(versions) - len(behind)} have it",
        (f"These have not said so, and get it when they connect: {_listed(behind)}",) if behind else (),
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")
