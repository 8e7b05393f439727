"""The subjects that read what strangers write, by the name a person calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

CORPUS = Path(__file__).resolve().parent / "corpus"
"""By target: every input that found a fault (`fault_…`), and small ones that reached something new (`found_…`)."""

CORPUS_BYTES_MAX = 64 * 1024
"""For one target. What is kept is replayed by every run of the tests and cloned by everybody."""


@dataclass(frozen=True, slots=True)
class Target:
    """`run` takes any bytes and raises if the subject did wrong; `seeds` are named inputs to start from.

    `watched` are the modules whose branches lead a fuzzer that can follow them; `bytes_max` bounds its inputs.
    """

    name: str
    module: str
    watched: tuple[str, ...]
    bytes_max: int

    @property
    def run(self) -> Callable[[bytes], None]:
        return cast("Callable[[bytes], None]", import_module(self.module).run)

    @property
    def seeds(self) -> Callable[[], Iterator[tuple[str, bytes]]]:
        return cast("Callable[[], Iterator[tuple[str, bytes]]]", import_module(self.module).seeds)

    @property
    def tokens(self) -> tuple[bytes, ...]:
        """What the subject's inputs are made of, to be put in at any place."""
        return cast("tuple[bytes, ...]", import_module(self.module).TOKENS)

    @property
    def corpus(self) -> Path:
        return CORPUS / self.name

    def kept(self) -> list[Path]:
        return sorted(path for path in self.corpus.iterdir() if path.is_file())


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("decoder", "tests.fuzz.target_decoder", ("agent.decode", "agent.model"), 2048),
        Target("envelope", "tests.fuzz.target_envelope", ("agent.command", "agent.model"), 1200),
        Target("documents", "tests.fuzz.target_documents", ("agent.command",), 4200),
        Target("profile", "tests.fuzz.target_profile", ("agent.profiles", "agent.faults"), 8192),
        Target("logs", "tests.fuzz.target_logs", ("agent.adapters", "can.io"), 4096),
    )
}
