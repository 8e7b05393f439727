"""What is known of commands seen before: the journal as found and as it grows, and rejections of this session."""

from __future__ import annotations

from agent.model.command import Executed
from agent.model.quick_dataclass import dataclass
from agent.model.records import Done, Intent, JournalEntry, JournalPruned, Recovered, ResultDelivered

# Amendment A8. Above it the oldest finished commands go; below JOURNAL_KEPT none does, however old.
JOURNAL_MAX = 20_000
JOURNAL_KEPT = 1_000
JOURNAL_AGE_S = 24 * 3600

# Amendment A8: a rejection is remembered until its deadline, which is at most 300 s away at 20 commands a second.
REJECTIONS_MAX = 6_000

Key = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Rejection:
    """An answered refusal, to be repeated for the same bytes until the command's deadline."""

    digest: bytes
    result: bytes
    forget_at_ms: int


class Ledger:
    """Look-ups by (operator, command id). The durable half changes only together with a record to persist."""

    def __init__(self, recovered: Recovered, sid: bytes) -> None:
        self._journal: dict[Key, JournalEntry] = {
            (entry.intent.operator, entry.intent.cid): entry for entry in recovered.journal
        }
        self._sessions = set(recovered.sessions) | {sid}
        self._rejections: dict[Key, Rejection] = {}

    def __len__(self) -> int:
        return len(self._journal)

    def find(self, key: Key) -> JournalEntry | None:
        return self._journal.get(key)

    def unfinished(self) -> tuple[Intent, ...]:
        """Intents without an end: at start, the commands a crash or power cut interrupted."""
        return tuple(entry.intent for entry in self._journal.values() if entry.done is None)

    def undelivered(self) -> tuple[Done, ...]:
        """Final results the broker has not acknowledged yet."""
        return tuple(
            entry.done for entry in self._journal.values() if entry.done is not None and not entry.is_delivered
        )

    def begin(self, intent: Intent) -> None:
        self._journal[intent.operator, intent.cid] = JournalEntry(intent)

    def forget_begun(self, key: Key) -> None:
        """The intent could not be made durable: nothing was begun."""
        self._journal.pop(key, None)

    def finish(self, done: Done) -> None:
        key = (done.operator, done.cid)
        self._journal[key] = JournalEntry(self._journal[key].intent, done)

    def delivered(self, key: Key) -> ResultDelivered:
        entry = self._journal[key]
        self._journal[key] = JournalEntry(entry.intent, entry.done, is_delivered=True)
        return ResultDelivered(*key)

    def has_room(self) -> bool:
        """Whether one more command fits, after pruning; not if twenty thousand results wait for their broker."""
        return len(self._journal) < JOURNAL_MAX

    def prune(self, now_unix_s: float | None) -> JournalPruned | None:
        """Make room for one more: forget finished, delivered commands older than a day by a clock that is known,
        and the oldest of them where there are too many.
        """
        keys: list[Key] = []
        spare = len(self._journal) - JOURNAL_KEPT
        for key, entry in self._journal.items():
            if len(keys) >= spare:
                break
            if entry.done is None or not entry.is_delivered:
                continue
            began_s = entry.intent.accepted_at_unix_s
            is_old = now_unix_s is not None and began_s is not None and now_unix_s - began_s > JOURNAL_AGE_S
            if is_old or len(self._journal) - len(keys) >= JOURNAL_MAX:
                keys.append(key)
        if not keys:
            return None
        for key in keys:
            # Of a session with a gap in its journal it can no longer be said that a command was not carried out.
            self._sessions.discard(self._journal.pop(key).intent.sid)
        return JournalPruned(tuple(keys))

    def executed_in(self, sid: bytes) -> Executed:
        """What can be said of a command the journal does not hold, made for session `sid` (amendment A2)."""
        return Executed.NO if sid in self._sessions else Executed.UNKNOWN

    def rejection(self, key: Key, now_ms: int) -> Rejection | None:
        known = self._rejections.get(key)
        return known if known is not None and now_ms <= known.forget_at_ms else None

    def may_reject(self, now_ms: int) -> bool:
        """Whether there is room to remember one more rejection."""
        if len(self._rejections) >= REJECTIONS_MAX:
            self._rejections = {key: known for key, known in self._rejections.items() if now_ms <= known.forget_at_ms}
        return len(self._rejections) < REJECTIONS_MAX

    def remember_rejection(self, key: Key, rejection: Rejection, now_ms: int) -> None:
        """Remember it if there is room; one that is not remembered is judged anew if it comes again."""
        if self.may_reject(now_ms):
            self._rejections[key] = rejection
