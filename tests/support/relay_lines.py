"""Lines of relays that are nothing but notes of what was done with them; time goes by itself."""

from __future__ import annotations


class Lines:
    """Notes what is done, with the time; fails where told to."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.log: list[tuple[float, str]] = []
        self.closed: set[str] = set()
        self.failing: set[str] = set()

    def _does(self, what: str) -> None:
        self.log.append((round(self.now_s, 3), what))
        if what.split()[0] in self.failing:
            raise OSError(f"{what} failed")

    def hold(self) -> None:
        self._does("hold")

    def close(self, line: str) -> None:
        self._does(f"close {line}")
        self.closed.add(line)
        assert len(self.closed) == 1

    def open_all(self) -> None:
        self._does("open_all")
        self.closed.clear()

    def release(self) -> None:
        self._does("release")
        self.closed.clear()

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
