"""Orders of the roots carried out on the car, with the agent stopped: a clock reset, and the end of its service.

Both take the store's lock, which a running agent holds; both can be cut off anywhere and be begun again.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from agent.command.orders import OrderRefusal, judge_decommission, judge_reset
from agent.errors import EXIT_DONE, ConfigurationError, OrderError, StoreError
from agent.model.quick_dataclass import dataclass
from agent.model.records import FloorReset, Recovered
from agent.trusting import beginning

if TYPE_CHECKING:
    from agent.adapters.store import Stores
    from agent.command.bundle import Bundle
    from agent.config import Config

_WORDS = {
    OrderRefusal.MALFORMED: "it is no such order, or not whole",
    OrderRefusal.WRONG_CAR: "wrong_car: it is for another car than {car}",
    OrderRefusal.SIGNATURES: "too few of the roots this car believes have signed it: {threshold} of {roots} are needed",
    OrderRefusal.FLOOR: "it replaces another time floor than this car's, which is {floor_unix_s}",
    OrderRefusal.REPEATED: "it was carried out before; each order is obeyed once",
}


_NO_FLOOR = "the agent has taken no trust bundle yet, so there is no floor to reset; start it once"

AddCommand = Callable[[str, object, str, str], argparse.ArgumentParser]
"""Adds a subcommand: name, its work, one sentence, an example."""


def add_order_commands(add: AddCommand, load: Callable[[Path], Config], config_default: str) -> None:
    """Give the car's command line `decommission` and `clock-reset`."""

    def with_config(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        parser.add_argument(
            "--config", type=Path, default=Path(config_default), metavar="FILE", help=f"default: {config_default}"
        )
        return parser

    def installation(options: argparse.Namespace) -> Installation:
        return Installation(load(options.config), options.config.parent)

    def decommission_work(options: argparse.Namespace) -> int:
        return decommission(installation(options), options.order, options.receipt)

    def reset_work(options: argparse.Namespace) -> int:
        return clock_reset(installation(options), options.order)

    decommissioning = with_config(
        add(
            "decommission",
            decommission_work,
            "End this car's service: delete its keys and stores, by order of the roots. The agent must be stopped.",
            "carshare-agent decommission --order decommission.cbor --receipt receipt.cbor",
        )
    )
    decommissioning.add_argument("--order", type=Path, required=True, metavar="FILE")
    decommissioning.add_argument(
        "--receipt",
        type=Path,
        metavar="FILE",
        help="where to put the car's signed receipt, which is printed too",
    )
    resetting = with_config(
        add(
            "clock-reset",
            reset_work,
            "Set the time floor anew, by order of the roots. The agent must be stopped.",
            "carshare-agent clock-reset --order reset.cbor",
        )
    )
    resetting.add_argument(
        "--order", type=Path, metavar="FILE", help="absent: only show the floor, which the order has to name"
    )


@dataclass(frozen=True, slots=True)
class Installation:
    """A configuration, and the folder that its paths are relative to."""

    config: Config
    directory: Path

    @property
    def car(self) -> bytes:
        return bytes.fromhex(self.config.car.id)

    @property
    def store(self) -> Path:
        return self.directory / self.config.store.directory

    @property
    def key_file(self) -> Path:
        return self.directory / self.config.car.key_file

    @property
    def bundle_file(self) -> Path:
        if self.config.trust is None:
            raise ConfigurationError(
                "the operators of this car are pinned by hand ([[operators]]), so no roots can order it anything; "
                "its keys and stores are removed by hand"
            )
        return self.directory / self.config.trust.bundle_file

    @property
    def kept_order(self) -> Path:
        """The decommission order under way."""
        return self.store / "decommission.cbor"

    @property
    def kept_receipt(self) -> Path:
        """What the car said to it."""
        return self.store / "retired.cbor"

    def credentials(self) -> tuple[Path, ...]:
        """What makes this car this car: its key first, for all else is worthless without it."""
        broker = self.config.broker
        names = (broker.key_file, broker.certificate_file)
        found = (self.directory / name for name in names if name is not None)
        return (self.key_file, *found, self.key_file.with_name("request.json"))


def clock_reset(car: Installation, order: Path | None) -> int:
    """Show the persisted floor or, given an order for it, set it anew."""
    from agent.adapters.files import read_document
    from agent.adapters.removal import has_store

    raw, bundle_file = None if order is None else read_document(order), car.bundle_file
    if not has_store(car.store):
        # Made here it would be root's, and the agent could not use it.
        raise OrderError(f"{car.store}: {_NO_FLOOR}")
    stores, recovered, in_force = _opened(car, bundle_file)
    try:
        floor_unix_s = recovered.trust.floor_unix_s
        if raw is None or order is None:
            _tell({"car": car.config.car.id, "floor_unix_s": floor_unix_s})
            return EXIT_DONE
        if recovered.trust.raw is None:
            raise OrderError(f"{car.store}: {_NO_FLOOR}")
        judged = judge_reset(raw, in_force, car=car.car, floor_unix_s=floor_unix_s, done=recovered.trust.resets)
        if isinstance(judged, OrderRefusal):
            raise _refused(order, judged, car, in_force, floor_unix_s)
        asyncio.run(stores.write([FloorReset(judged.order_id, judged.floor_to_unix_s)]))
    finally:
        stores.close()
    _tell({"car": car.config.car.id, "floor_unix_s": judged.floor_to_unix_s, "was_unix_s": floor_unix_s})
    return EXIT_DONE


def decommission(car: Installation, order: Path, receipt: Path | None) -> int:
    """The receipt first, then the keys, then all else; the order is kept beside the stores until it is done."""
    from agent.adapters.files import read_document
    from agent.adapters.removal import has_store, store_files

    raw, bundle_file = read_document(order), car.bundle_file
    if not (car.key_file.exists() or has_store(car.store) or bundle_file.exists() or car.kept_order.exists()):
        sys.stderr.write("There is nothing left of this car here.\n")
        return EXIT_DONE
    with ExitStack() as stores:
        if not _is_under_way(car, raw):
            stores.callback(_begin(car, order, raw, bundle_file, receipt).close)
        signed = read_document(car.kept_receipt) if car.kept_receipt.exists() else None
        if receipt is not None and signed is not None:
            _put_receipt(receipt, signed)
        told = None if signed is None else base64.b64encode(signed).decode("ascii")
        _tell({"car": car.config.car.id, "receipt": told})
        _remove(car.credentials())
    _remove((*store_files(car.store), bundle_file, car.kept_receipt, car.kept_order))
    sys.stderr.write("This car is out of service. Its agent.toml is left; a new identity needs a new one.\n")
    return EXIT_DONE


def _begin(car: Installation, order: Path, raw: bytes, bundle_file: Path, receipt: Path | None) -> Stores:
    """Judge the order and keep it with the receipt for it, whatever happens next; nothing of the car is deleted yet.

    Returns the stores, still locked: no agent can be started before its key has gone.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from agent.adapters.files import read_key_file
    from agent.adapters.removal import write_durably
    from agent.command.envelope import MessageKind, Retired, encode_retired, seal

    key = Ed25519PrivateKey.from_private_bytes(read_key_file(car.key_file))
    stores, recovered, in_force = _opened(car, bundle_file)
    try:
        judged = judge_decommission(raw, in_force, car=car.car)
        if isinstance(judged, OrderRefusal):
            raise _refused(order, judged, car, in_force, recovered.trust.floor_unix_s)
        said = Retired(car.car, judged.order_id, recovered.sequence_next - 1, recovered.store_id)
        signed = seal(MessageKind.RETIRED, encode_retired(said), key, car.car)
        if receipt is not None:
            _put_receipt(receipt, signed)
        _remove((car.kept_order, car.kept_receipt))
        write_durably(car.kept_receipt, signed)
        write_durably(car.kept_order, raw)
    except BaseException:
        stores.close()
        raise
    return stores


def _is_under_way(car: Installation, raw: bytes) -> bool:
    """Whether this very order was found good before, and its work cut off; OrderError if it was another.

    As long as the key is there it is begun anew: the agent may have run since, and the receipt would not be true.
    """
    from agent.adapters.files import read_document

    if car.key_file.exists() or not car.kept_order.exists():
        return False
    if read_document(car.kept_order) != raw:
        raise OrderError(f"an earlier order is under way; end that one first: --order {car.kept_order}")
    return True


def _put_receipt(path: Path, signed: bytes) -> None:
    """Make the receipt's file, or find it there from a run before; no other file gives way to it."""
    from agent.adapters.files import read_document
    from agent.adapters.removal import write_durably

    try:
        write_durably(path, signed)
    except FileExistsError:
        if read_document(path) != signed:
            raise ConfigurationError(f"{path}: is there already; name another file for the receipt") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None


def _opened(car: Installation, bundle_file: Path) -> tuple[Stores, Recovered, Bundle]:
    """The stores, locked, what they hold, and the bundle in force by them or by the bundle file."""
    from agent.adapters.files import read_document
    from agent.adapters.store import Stores

    try:
        installed = read_document(bundle_file)
    except ConfigurationError:
        installed = None
    stores = Stores(car.store, car.car)
    recovered = stores.open()
    problem = beginning(recovered.trust, installed)
    if recovered.is_degraded:
        stores.close()
        raise StoreError(f"{car.store}: the storage cannot be used ({'; '.join(recovered.notes)})")
    if isinstance(problem, str):
        stores.close()
        raise ConfigurationError(f"{bundle_file}: {problem}; without roots no order can be looked at")
    return stores, recovered, problem.trust.bundle


def _remove(paths: Iterable[Path]) -> None:
    from agent.adapters.removal import remove_durably

    for path in paths:
        try:
            is_removed = remove_durably(path)
        except OSError as error:
            raise OrderError(f"{path}: cannot be removed: {error.strerror}; run the same command again then") from None
        if is_removed:
            sys.stderr.write(f"removed {path}\n")


def _refused(order: Path, refusal: OrderRefusal, car: Installation, in_force: Bundle, floor_unix_s: int) -> OrderError:
    words = _WORDS[refusal].format(
        car=car.config.car.id,
        threshold=in_force.threshold,
        roots=len(in_force.roots),
        floor_unix_s=floor_unix_s,
    )
    return OrderError(f"{order}: {words}")


def _tell(document: dict[str, object]) -> None:
    """One JSON line, out of our hands before anything is deleted."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()
