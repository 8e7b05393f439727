"""The engine from right to left: a delivery to a verdict, to frames on the bus, to a signed result.

The order of the checks is the protocol's (`PROTOCOL.md`, "Order of checks").  Two orders carry the safety
argument: the intent is queued to be made durable before any effect that could move the car, and the lifecycle
asks for no frame before it hears that the write came through (SR-02).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.answers import Answers
from agent.command.envelope import MessageKind, decode_command, decode_ping
from agent.command.lifecycle import Finish, Lifecycle, Progress, Send, Step
from agent.command.replay import ActionRate, TokenBucket, judge_freshness
from agent.command.verify import Dropped, KeyRecord, Verified, authorise, authorise_ping, may_act, to_command, verify
from agent.config import Config
from agent.keyring import key_records
from agent.ledger import Key, Ledger, Rejection
from agent.model.command import Action, Command, Evidence, Executed, Outcome, Reason, Stage
from agent.model.effects import Acknowledge, Level
from agent.model.events import Delivery
from agent.model.frame import BusState, Frame
from agent.model.reading import Reading
from agent.model.recipe import Recipe
from agent.model.records import Done, Intent, JournalEntry, Recovered
from agent.pending import Pending
from agent.policy.permits import permit, permit_asleep
from agent.policy.sending import is_on_send_list
from agent.profiles.schema import Profile
from agent.telemetry import Session, Telemetry
from agent.uplink.wire import Topics
