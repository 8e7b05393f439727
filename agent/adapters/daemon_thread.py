"""One thread for calls that may block for ever, such as a sync on a card that stalls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class DaemonThread(Executor):
    """An executor that makes one call after another, and that does not keep the process from ending.

    `ThreadPoolExecutor` joins its threads at exit, however long they take.  This thread is a daemon: the interpreter
    leaves without it, whatever it waits for (only the kernel may hold a process that is in the middle of a sync).
    """

    def __init__(self, name: str) -> None:
        # No bound of its own: who asks waits for the answer before asking again.
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._is_shut = False

    def submit(
        self, call: Callable[Arguments, Answer], /, *arguments: Arguments.args, **keywords: Arguments.kwargs
    ) -> Future[Answer]:
        """Have `call` made after all that was asked for before; RuntimeError after `shutdown`."""
        if self._is_shut:
            raise RuntimeError(f"{self._thread.name} has been shut down")
        answer: Future[Answer] = Future()

        def make() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                result = call(*arguments, **keywords)
            except BaseException as error:  # noqa: BLE001 - the thread's outermost frame; raised to whoever waits
                answer.set_exception(error)
            else:
                answer.set_result(result)

        self._asked.put(make)
        if self._thread.ident is None:
            self._thread.start()
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more, and end once all that was asked for is done. `cancel_futures` is not supported."""
        if cancel_futures:
            raise NotImplementedError("what was asked for is done")
        self._is_shut = True
        self._asked.put(None)
        if wait and self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while (make := self._asked.get()) is not None:
            make()
