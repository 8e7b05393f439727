"""Test 6: the agent stands still in the middle of a command; it is ended and started again, and says what happened."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager

from agent.backend.client import Backend
from agent.backend.watching import ResultReport
from agent.bench.setup import CAR_NAME
from agent.command.envelope import Result
from agent.loading import load_profile
from agent.model.command import Action, Executed, Stage
from tests.support.process import until

from bench_file import Bench
from conftest import RunAgent, obeyed
from ports import BusPeer, LockSensor

WAIT_S = 20.0


class ServiceManager:
    """What systemd hears from its service, and its judgement."""

    def __init__(self, listener: socket.socket, watchdog_s: float) -> None:
        self._listener = listener
        self._watchdog_s = watchdog_s
        self._fed_at_s = time.monotonic()

    def is_due(self) -> bool:
        """Whether the watchdog has not been fed for its time."""
        while True:
            try:
                text = self._listener.recv(4096)
            except BlockingIOError:
                return time.monotonic() - self._fed_at_s > self._watchdog_s
            if b"WATCHDOG=1" in text:
                self._fed_at_s = time.monotonic()


@contextmanager
def service_manager(watchdog_s: float) -> Iterator[tuple[ServiceManager, dict[str, str]]]:
    """A socket in place of systemd's, and the environment that leads the agent to it."""
    name = f"carshare-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.setblocking(False)
        environ = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}
        yield ServiceManager(listener, watchdog_s), environ


def is_request_heard(peer: BusPeer, request_id: int, within_s: float) -> bool:
    """Whether a request to the lock unit was heard within the time."""
    ends_at_s = time.monotonic() + within_s
    while (left_s := ends_at_s - time.monotonic()) > 0:
        message = peer.receive(left_s)
        if message is not None and message.arbitration_id == request_id:
            return True
    return False


async def test_agent_frozen_in_a_command_is_restarted_and_tells_the_truth(
    bench: Bench,
    bus_peer: BusPeer,
    lock_sensor: LockSensor,
    running_agent: RunAgent,
    measured: Callable[[str, object], None],
) -> None:
    """SR-02, SR-10: silence is noticed, the command is not carried out again, and its answer claims nothing."""
    request_id = load_profile(bench.profile_folder).recipes[Action.UNLOCK].frames[0].arbitration_id
    with service_manager(bench.watchdog_s) as (manager, environ):
        async with running_agent(environ) as (agent, backend):
            manager.is_due()
            telling = asyncio.create_task(_final_result(backend))
            asking = asyncio.create_task(backend.unlock(CAR_NAME, timeout_s=WAIT_S * bench.patience))
            assert await asyncio.to_thread(is_request_heard, bus_peer, request_id, WAIT_S * bench.patience)
            agent.freeze()
            frozen_at_s = time.monotonic()
            await asyncio.to_thread(
                until, manager.is_due, within_s=bench.watchdog_s + WAIT_S, what="the watchdog is not fed any more"
            )
            measured("noticed_after_s", round(time.monotonic() - frozen_at_s, 1))
            agent.kill()
            while bus_peer.receive(0) is not None:
                pass
            async with running_agent(environ):
                # A backend waits for an unlock until 45 s after it was signed, however long it may: where instructions
                # are emulated the restart alone takes longer. What the car has to say then comes all the same, signed.
                async with asyncio.timeout(WAIT_S * bench.patience):
                    told = await telling
                measured("answer_after_s", round(time.monotonic() - frozen_at_s, 1))
                assert (told.stage, told.executed) == (Stage.INTERRUPTED, Executed.UNKNOWN)
                answer = await asking
                measured("within_the_wait", answer.is_answered)
                assert (answer.cid, answer.executed) == (told.cid, Executed.UNKNOWN)
                assert not await asyncio.to_thread(is_request_heard, bus_peer, request_id, 1.0)
                assert (await obeyed(backend, Action.LOCK)).is_verified
                assert lock_sensor.is_locked()


async def _final_result(backend: Backend) -> Result:
    """The first final result that the car signs from now on, whoever still waits for it."""
    async with aclosing(backend.watch(CAR_NAME)) as reports:
        async for report in reports:
            if isinstance(report, ResultReport) and report.result.stage.is_final:
                return report.result
    raise AssertionError("a watch has no end")
