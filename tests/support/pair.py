"""Engine, virtual car and backend joined under virtual time: the ConnectionPair of this project.

Effects are performed one by one, in order, as `app.py` does; what was made durable outlives a crash, what was
not is gone.  Time moves only by `run`.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.bench.car import VirtualCar
from agent.bench.car_body import Opening
from agent.bench.vehicle import load_vehicle
from agent.command.envelope import (
    CommandPayload,
    Hello,
    MessageKind,
    Ping,
    Result,
    check_signature,
    decode_hello,
    decode_result,
    encode_command,
    encode_ping,
    open_unverified,
    seal,
)
from agent.command.verify import KeyRecord
from agent.config import Config, EndOfRentalTable, parse_config
from agent.config_table import RelayTable
from agent.engine import Engine
from agent.model.command import Action, Reason
from agent.model.effects import Acknowledge, Effect, Fetch, Log, Notify, Persist, Publish, SendFrame, Stop
from agent.model.events import (
    BrokerUp,
    BusChanged,
    Delivery,
    Fetched,
    FrameEchoed,
    FrameNotSent,
    FrameSent,
    Published,
    Stored,
    StoreFailed,
)
from agent.model.frame import BusState, Frame
from agent.model.reading import Value
from agent.profiles.database import MessageDatabase
from agent.profiles.schema import Profile
from agent.trusting import beginning
from tests.support.disk import Disk as Disk  # for those who build computers of their own

FOLDER = Path(__file__).parents[2] / "dbc" / "demo_hatchback"
CAR = bytes.fromhex("5ca1ab1e0ddba115")

OPENINGS = tuple(opening for opening in Opening if opening is not Opening.HOOD)
"""What the demo car has a contact for."""
VEHICLE_KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"vehicle key of the tests").digest())
COMMAND_KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"command key of the tests").digest())
KID = sha256(COMMAND_KEY.public_key().public_bytes_raw()).digest()[:4]
KEYS = {
    KID: KeyRecord(
        kid=KID,
        operator=1,
        public_key=COMMAND_KEY.public_key(),
        actions=frozenset(Action),
        not_before_unix_s=0,
        not_after_unix_s=2**40,
    )
}
CONFIG_TEXT = f"""
[car]
id = "{CAR.hex()}"
profile = "dbc/demo_hatchback"
key_file = "vehicle.key"
[buses.body]
interface = "virtual"
channel = "body"
[broker]
host = "127.0.0.1"
[[operators]]
number = 1
[[operators.command_keys]]
id = "{KID.hex()}"
public_key = "{COMMAND_KEY.public_key().public_bytes_raw().hex()}"
actions = ["unlock", "lock", "report"]
[reporting]
batch_s = 1.0
state_interval_s = 10.0
driving = {{ interval_s = 1.0 }}
charging = {{ interval_s = 1.0 }}
awake = {{ interval_s = 1.0 }}
asleep = {{ interval_s = 1.0, heartbeat_s = 600.0 }}
"""

ECHO = f"v1/all/{CAR.hex()}/echo"
ECHO_DELIVERY = 0  # the backend's deliveries count from 1
STEP_S = 0.01


class RememberingDatabase(MessageDatabase):
    """A parked car sends the same few payloads for hours; each is made once."""

    PAYLOADS_MAX = 1000  # a car that drives has no end of them

    def encode(self, message: str, values: Mapping[str, Value]) -> bytes:
        key = (message, *values.items())
        if (payload := self._payloads.get(key)) is None:
            payload = super().encode(message, values)
            if len(self._payloads) < self.PAYLOADS_MAX:
                self._payloads[key] = payload
        return payload

    @cached_property
    def _payloads(self) -> dict[tuple[object, ...], bytes]:
        return {}


@cache
def vehicle() -> tuple[Profile, Mapping[str, MessageDatabase]]:
    """The demo car's profile, read once."""
    profile, _ = load_vehicle(FOLDER)
    database = RememberingDatabase.load({path.name: path.read_bytes() for path in FOLDER.glob("*.dbc")})
    assert isinstance(database, RememberingDatabase), database
    return profile, {"body": database}


@cache
def config(*, is_listen_only: bool = False) -> Config:
    text = CONFIG_TEXT.replace("[buses.body]\n", f"[buses.body]\nlisten_only = {str(is_listen_only).lower()}\n")
    parsed = parse_config(text, source="agent.toml")
    assert isinstance(parsed, Config), parsed
    return parsed


@cache
def rooted_config() -> Config:
    """The same car with its operators in a trust bundle."""
    before, _, rest = CONFIG_TEXT.partition("[[operators]]")
    text = before + '[trust]\nbundle_file = "bundle.cbor"\n' + rest[rest.index("[reporting]") :]
    parsed = parse_config(text, source="agent.toml")
    assert isinstance(parsed, Config), parsed
    return parsed


class PowerCutError(Exception):
    """The engine's computer loses power."""


@dataclass(frozen=True, slots=True)
class Remains:
    """All that a power cut leaves: the car, the disk, the time, and how many sessions there were. For one `Pair`."""

    now_s: float
    car: VirtualCar
    disk: Disk
    sessions: int


def copied(car: VirtualCar) -> VirtualCar:
    """The car as it stands; its tables of messages never change and are shared."""
    tables = car._messages
    return copy.deepcopy(car, {id(tables): tables})


class Pair:
    """One car with one agent and one backend, begun anew or with what a power cut left.

    `before_effect` is called before every effect, from the first of the start on; it may take `remains`, or raise.
    With a `bundle_file` the car's keys come from trust bundles, else they are pinned (`KEYS`).
    """

    relays: Mapping[str, RelayTable] = {}

    def __init__(
        self,
        *,
        is_asleep: bool = False,
        is_locked: bool = True,
        remains: Remains | None = None,
        before_effect: BeforeEffect | None = None,
        profile: Profile | None = None,
        keys: Mapping[bytes, KeyRecord] = KEYS,
        bundle_file: bytes | None = None,
        is_listen_only: bool = False,
    ) -> None:
        own_profile, databases = vehicle()
        self.profile = profile or own_profile
        self._keys = keys
        self._is_listen_only = is_listen_only
        if remains is None:
            car = VirtualCar(
                self.profile, databases, now_s=1000.0, is_asleep=is_asleep, is_locked=is_locked, sleep_after_s=1e9
            )
            remains = Remains(1000.0, car, Disk(), 0)
        self.now_s = remains.now_s
        self.car = remains.car
        self.disk = remains.disk
        self.performed: list[Effect] = []
        self.sent: list[Frame] = []
        self.published: list[Publish] = []
        self.acknowledged: list[int] = []
        self.before_effect = before_effect
        self.bundle_file = bundle_file
        self.is_store_broken = False
        self.is_broker_up = True
        self.send_refusal: Reason | None = None
        self.end_of_rental: list[EndOfRentalTable] = []
        self.is_acknowledged: bool | None = None
        """Whether frames are seen back: nobody knows, all are, or none is and the car hears nothing."""
        self.store_delay_s = 0.0
        self.stopped: str | None = None
        self._session = remains.sessions
        self._delivery = 0
        self._counter = 0
        self.engine = self._start()

    # --- the agent ----------------------------------------------------------------------------------------------

    def _start(self) -> Engine:
        self._session += 1
        recovered = self.disk.recover()
        trust = None if self.bundle_file is None else beginning(recovered.trust, self.bundle_file)
        assert not isinstance(trust, str), trust
        plain = config(is_listen_only=self._is_listen_only) if trust is None else rooted_config()
        self.engine = Engine(
            self.profile,
            replace(plain, end_of_rental=self.end_of_rental, relays=dict(self.relays)),
            recovered,
            sid=sha256(b"session %d" % self._session).digest()[:8],
            vehicle_key=VEHICLE_KEY,
            keys=self._keys if trust is None else {},
            now_s=self.now_s,
            trust=trust,
        )
        self.perform()
        self.engine.receive_link(BusChanged("body", BusState.UP), self.now_s)
        if self.is_broker_up:
            self.engine.receive_link(BrokerUp(), self.now_s)
        self.perform()
        return self.engine

    def restart(self) -> None:
        """A crash and a new start: only the disk is kept."""
        self.before_effect = None
        self._start()

    def cut_power_after(self, effects: int) -> None:
        """So many effects are performed from here on; the next one finds no power."""
        left = iter(range(effects))

        def cut(_pair: Pair, _effect: Effect) -> None:
            if next(left, None) is None:
                raise PowerCutError

        self.before_effect = cut

    def remains(self) -> Remains:
        """What would be left if the power were cut now."""
        return Remains(self.now_s, copied(self.car), self.disk.copy(), self._session)

    def perform(self) -> None:
        """Perform every waiting effect, in order."""
        while self.stopped is None and (effect := self.engine.next_effect()) is not None:
            if self.before_effect is not None:
                self.before_effect(self, effect)
            self.performed.append(effect)
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        link = self.engine.receive_link
        match effect:
            case Persist(records, token):
                self.now_s += self.store_delay_s
                if self.is_store_broken:
                    link(StoreFailed(token, "disk full"), self.now_s)
                else:
                    self.disk.write(records)
                    link(Stored(token), self.now_s)
            case Fetch(sequences, token):
                link(Fetched(token, self.disk.outbox.fetch(sequences)), self.now_s)
            case SendFrame(frame, token, not_after_s):
                if self.send_refusal is not None:
                    link(FrameNotSent(token, self.send_refusal), self.now_s)
                elif self.now_s > not_after_s or not self.engine.may_send(token, self.now_s):
                    link(FrameNotSent(token, Reason.EXPIRED), self.now_s)
                else:
                    self.sent.append(frame)
                    if self.is_acknowledged is not False:
                        self.car.receive(frame, self.now_s)
                    link(FrameSent(token, self.now_s, self.is_acknowledged is not None), self.now_s)
                    if self.is_acknowledged:
                        link(FrameEchoed(token, self.now_s), self.now_s)
            case Publish(token=token):
                if self.is_broker_up:
                    self.published.append(effect)
                if token is not None:
                    link(Published(token, None if self.is_broker_up else "not connected"), self.now_s)
                if self.is_broker_up and effect.topic == ECHO:
                    self.engine.receive_delivery(Delivery(ECHO, effect.payload, False, ECHO_DELIVERY), self.now_s)
            case Acknowledge(delivery_id):
                if delivery_id != ECHO_DELIVERY:
                    self.acknowledged.append(delivery_id)
            case Stop(reason):
                self.stopped = reason
            case Notify() | Log():
                pass

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Let time pass for all three, at most so long; steps in which nothing is due are skipped."""
        end_s = self.now_s + seconds
        while self.now_s < end_s and self.stopped is None:
            car_s = self.car.next_step_at()
            next_s = max(self.now_s, min(end_s, self.engine.next_timer(), math.inf if car_s is None else car_s))
            self.now_s += STEP_S * max(1, math.ceil((next_s - self.now_s) / STEP_S - 1e-6))
            for frame in self.car.step(self.now_s):
                self.engine.receive_frame(frame, self.now_s)
                self.perform()
            if self.now_s >= self.engine.next_timer():
                self.engine.handle_timer(self.now_s)
            self.perform()
            if until is not None and until():
                return

    # --- the backend --------------------------------------------------------------------------------------------

    def ping(self, nonce: bytes = bytes(16)) -> Hello:
        raw = seal(MessageKind.PING, encode_ping(Ping(CAR, 1, nonce)), COMMAND_KEY, KID)
        self.deliver("ping", raw)
        return self.hellos()[-1]

    def command(
        self,
        action: Action,
        *,
        cid: bytes | None = None,
        lifetime_ms: int = 30_000,
        key: Ed25519PrivateKey = COMMAND_KEY,
        kid: bytes = KID,
        sid: bytes | None = None,
        counter: int | None = None,
        car: bytes = CAR,
        operator: int = 1,
    ) -> bytes:
        """Signed bytes of a command for the present session."""
        hello = self.ping()
        self._counter += 1
        payload = CommandPayload(
            car=car,
            cid=cid or sha256(b"command %d" % self._counter).digest()[:16],
            operator=operator,
            sid=sid or hello.sid,
            counter=self._counter if counter is None else counter,
            deadline_ms=hello.session_ms + lifetime_ms,
            action=int(action),
        )
        return seal(MessageKind.CMD, encode_command(payload), key, kid)

    def deliver(self, kind: str, raw: bytes, *, is_retained: bool = False, operator: int = 1) -> None:
        self._delivery += 1
        topic = f"v1/{operator}/{CAR.hex()}/{kind}"
        self.engine.receive_delivery(Delivery(topic, raw, is_retained, self._delivery), self.now_s)
        self.perform()

    def hellos(self) -> list[Hello]:
        return [decode_hello(payload) for payload in self._signed("hello")]

    def results(self) -> list[Result]:
        return [decode_result(payload) for payload in self._signed("res")]

    def final_results(self) -> list[Result]:
        return [result for result in self.results() if result.stage.is_final]

    def events(self) -> list[dict[str, object]]:
        return [json.loads(effect.payload) for effect in self.published if effect.topic.endswith("/evt")]

    def states(self) -> list[dict[str, object]]:
        return [json.loads(effect.payload) for effect in self.published if effect.topic.endswith("/state")]

    def capabilities(self) -> dict[str, Any]:
        """What the car said last that it can do."""
        payloads = [effect.payload for effect in self.published if effect.topic.endswith("/caps")]
        document: dict[str, Any] = json.loads(payloads[-1])
        return document

    def ask(self, action: Action, seconds: float = 10.0) -> Result:
        """Send a command and run until its final result."""
        count = len(self.final_results())
        self.deliver("cmd", self.command(action))
        self.run(seconds, until=lambda: len(self.final_results()) > count)
        assert len(self.final_results()) > count, "no final result"
        return self.final_results()[count]

    def lock_requests(self) -> list[Frame]:
        """Frames sent that ask the lock unit for something (wake frames are not the action)."""
        wake = {frame.arbitration_id for frame in self.profile.recipes[Action.UNLOCK].wake.frames}  # type: ignore[union-attr]
        return [frame for frame in self.sent if frame.arbitration_id not in wake]

    def _signed(self, kind: str) -> list[dict[int, object]]:
        payloads = []
        for effect in self.published:
            if effect.topic.endswith(f"/{CAR.hex()}/{kind}"):
                envelope = open_unverified(MessageKind(kind), effect.payload)
                assert envelope is not None
                assert check_signature(envelope, VEHICLE_KEY.public_key())
                payloads.append(dict(envelope.payload))
        return payloads


BeforeEffect = Callable[[Pair, Effect], None]
