"""The operator's end against a real Mosquitto, with a scripted car at the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.backend import Backend, BrokerAddress, Progress, Settings, Step
from agent.backend.connection import RefusedError
from agent.backend.keys import CarRequest, car_table, make_key, raw_public
from agent.backend.reception import Ignored
from agent.backend.watching import EventReport, LinkReport, PresenceReport, Report, ResultReport, StateReport
from agent.errors import ConfigurationError, LinkError
from agent.model.command import Action, Executed, Reason, Stage
from agent.uplink import wire
from tests.support import scripted_car
from tests.support.mosquitto import Authority, Mosquitto, free_port, mosquitto, tls_options
from tests.support.scripted_car import (
    CAR,
    LOCK_EVIDENCE,
    OPERATOR,
    Answer,
    ReceivedCommand,
    ScriptedCar,
    connected,
    fails,
    gives_no_feedback,
    is_impersonated,
    is_silent,
    knows_only_its_session,
    says_it_thrice,
    settings,
    topic,
    verifies,
)

pytestmark = pytest.mark.broker

WAIT_S = 15.0
"""Bound of every wait for something that is on its way."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
async def backend(broker: Mosquitto) -> AsyncIterator[Backend]:
    async with Backend(settings(port=broker.port)) as opened:
        yield opened


async def next_of(reports: AsyncIterator[Report]) -> Report:
    async with asyncio.timeout(WAIT_S):
        return await anext(reports)


# --- commands -------------------------------------------------------------------------------------------------------


async def test_unlock_is_verified_with_the_cars_evidence(broker: Mosquitto, backend: Backend) -> None:
    """SR-04, as it arrives at the other end."""
    steps: list[Progress] = []
    async with connected(ScriptedCar(verifies), "127.0.0.1", broker.port):
        result = await backend.unlock("demo", on_progress=steps.append)
    assert result.is_verified
    assert (result.stage, result.reason, result.executed) == (Stage.VERIFIED, Reason.OK, Executed.YES)
    assert result.evidence == LOCK_EVIDENCE
    assert result.answered_in_s < 5.0
    assert [progress.step for progress in steps] == [Step.ASKING, Step.SENT, Step.ACCEPTED, Step.EXECUTING]


@pytest.mark.parametrize(
    ("script", "outcome", "executed"),
    [
        (fails, "failed", Executed.NO),
        (gives_no_feedback, "executed_unverified", Executed.UNKNOWN),
        pytest.param(is_impersonated, "failed", Executed.NO, marks=pytest.mark.hazard("H70")),
    ],
)
async def test_any_other_end_is_told_as_the_car_signed_it(
    broker: Mosquitto, backend: Backend, script: scripted_car.Script, outcome: str, executed: Executed
) -> None:
    """H70 with `is_impersonated`: a stranger's `verified` comes first."""
    async with connected(ScriptedCar(script), "127.0.0.1", broker.port):
        result = await backend.lock("demo")
    assert (result.outcome, result.executed, result.action) == (outcome, executed, Action.LOCK)
    assert backend.ignored[Ignored.FORGED] == (1 if script is is_impersonated else 0)


async def test_no_answer_in_time_leaves_open_what_happened(broker: Mosquitto, backend: Backend) -> None:
    car = ScriptedCar(is_silent)
    async with connected(car, "127.0.0.1", broker.port):
        result = await backend.unlock("demo", timeout_s=2.5)
    assert (result.outcome, result.executed) == ("no_answer", Executed.UNKNOWN)
    assert result.answered_in_s == pytest.approx(2.5, abs=0.5)
    assert len(car.received) == 2
    assert len({received.raw for received in car.received}) == 1


async def test_a_car_that_is_not_there_is_noticed_and_nothing_was_executed(backend: Backend) -> None:
    steps: list[Progress] = []
    result = await backend.unlock("demo", timeout_s=1.0, on_progress=steps.append)
    assert (result.outcome, result.executed, result.cid) == ("no_answer", Executed.NO, None)
    assert [progress.step for progress in steps] == [Step.ASKING, Step.NOT_HEARD]


async def test_a_car_that_connects_while_it_is_waited_for_is_unlocked(broker: Mosquitto, backend: Backend) -> None:
    waiting = asyncio.create_task(backend.unlock("demo", timeout_s=WAIT_S))
    car = ScriptedCar(verifies)
    async with connected(car, "127.0.0.1", broker.port) as client:
        kind, raw = car.hello()
        await client.publish(topic(kind), raw, qos=1)
        result = await waiting
    assert result.is_verified
    assert result.answered_in_s < 2.9, "its hello on connecting is not waited out until the next ping"


async def test_repeated_results_end_a_command_once(broker: Mosquitto, backend: Backend) -> None:
    car = ScriptedCar(says_it_thrice)
    async with connected(car, "127.0.0.1", broker.port):
        assert (await backend.unlock("demo")).is_verified
        assert (await backend.unlock("demo")).is_verified
        assert await backend.ping("demo") is not None
    assert backend.ignored[Ignored.UNASKED] == 4
    assert len(car.received) == 2


async def test_after_a_restart_the_command_is_signed_for_the_new_session(broker: Mosquitto, backend: Backend) -> None:
    car = ScriptedCar(knows_only_its_session)
    async with connected(car, "127.0.0.1", broker.port):
        assert (await backend.unlock("demo")).is_verified
        car.restart()
        result = await backend.unlock("demo")
    assert result.is_verified
    assert [received.command.sid for received in car.received] == [b"session1", b"session1", b"session2"]
    counters = [received.command.counter for received in car.received]
    assert counters == sorted(set(counters))


async def test_two_commands_at_once_each_get_their_own_result(broker: Mosquitto, backend: Backend) -> None:
    def by_action(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
        return verifies(car, received) if received.command.action == Action.LOCK else fails(car, received)

    async with connected(ScriptedCar(by_action), "127.0.0.1", broker.port):
        unlocked, locked = await asyncio.gather(backend.unlock("demo"), backend.lock("demo"))
    assert (unlocked.outcome, locked.outcome) == ("failed", "verified")
    assert unlocked.cid != locked.cid


async def test_two_backends_of_one_operator_do_not_mistake_each_others_answers(
    broker: Mosquitto, backend: Backend
) -> None:
    async with (
        connected(ScriptedCar(verifies), "127.0.0.1", broker.port),
        Backend(settings(port=broker.port)) as second,
    ):
        results = await asyncio.gather(backend.unlock("demo"), second.unlock("demo"))
    assert all(result.is_verified for result in results)
    assert results[0].cid != results[1].cid


async def test_a_report_brings_signed_readings(broker: Mosquitto, backend: Backend) -> None:
    async with connected(ScriptedCar(verifies), "127.0.0.1", broker.port):
        result = await backend.report("demo")
    assert (result.action, result.evidence) == (Action.REPORT, LOCK_EVIDENCE)


async def test_a_ping_is_answered_by_the_car_that_was_asked(broker: Mosquitto, backend: Backend) -> None:
    assert await backend.ping("demo", timeout_s=0.5) is None
    async with connected(ScriptedCar(verifies), "127.0.0.1", broker.port):
        answers = await asyncio.gather(backend.ping("demo"), backend.ping("demo"))
    assert [hello is not None and hello.sid for hello in answers] == [b"session1", b"session1"]


async def test_an_unknown_car_is_refused_at_once(backend: Backend) -> None:
    for asking in (backend.unlock("dmeo"), backend.ping("dmeo")):
        with pytest.raises(ConfigurationError, match="Known: demo"):
            await asking
    with pytest.raises(ConfigurationError, match="Known: demo"):
        backend.watch("dmeo")


async def test_a_cancelled_caller_leaves_nothing_behind(broker: Mosquitto, backend: Backend) -> None:
    async with connected(ScriptedCar(is_silent), "127.0.0.1", broker.port) as client:
        waiting = asyncio.create_task(backend.unlock("demo"))
        await client.subscribe(topic("res"))
        assert await backend.ping("demo") is not None
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert not backend._cars["demo"].conversations


# --- what is not believed -------------------------------------------------------------------------------------------


@pytest.mark.hazard("H51")
async def test_a_retained_or_replayed_answer_is_never_used(broker: Mosquitto, backend: Backend) -> None:
    """H51: the broker repeats an old hello; and H70: it keeps one."""
    car = ScriptedCar(verifies)
    async with connected(car, "127.0.0.1", broker.port) as client:
        hello = await backend.ping("demo")
        assert hello is not None
        assert hello.nonce is not None
        _, raw = car.hello(hello.nonce)
        await client.publish(topic("hello"), raw, qos=1)
        await client.publish(topic("hello"), raw, qos=1, retain=True)
        await client.publish(topic("res"), b"nonsense", qos=1)
        assert await backend.ping("demo") is not None
    assert backend.ignored[Ignored.UNASKED] == 1
    assert backend.ignored[Ignored.RETAINED] == 1
    assert backend.ignored[Ignored.MALFORMED] == 1


async def test_what_the_broker_kept_is_not_even_delivered(broker: Mosquitto) -> None:
    car = ScriptedCar(verifies)
    async with connected(car, "127.0.0.1", broker.port) as client:
        _, raw = car.hello(b"n" * 16)
        await client.publish(topic("hello"), raw, qos=1, retain=True)
        async with Backend(settings(port=broker.port)) as backend:
            assert await backend.ping("demo") is not None
            assert backend.ignored[Ignored.RETAINED] == 0


# --- watching -------------------------------------------------------------------------------------------------------


async def test_a_watcher_gets_what_the_broker_keeps_and_then_what_happens(broker: Mosquitto, backend: Backend) -> None:
    car = ScriptedCar(verifies)
    moment = wire.Moment(1, None, 0)
    presence = f"v1/all/{CAR.id.hex()}/presence"
    async with connected(car, "127.0.0.1", broker.port) as client:
        await client.publish(presence, wire.presence_document(car.sid, is_online=True), qos=1, retain=True)
        state = wire.state_document(
            moment,
            "6.0",
            car.sid,
            {},
            {},
            {"body": "awake"},
            0.0,
            use="awake",
            power={"step": "normal", "supply": "ok"},
        )
        await client.publish(topic("state"), state, qos=1, retain=True)
        async with contextlib.aclosing(backend.watch("demo")) as reports:
            first, second = await next_of(reports), await next_of(reports)
            assert first == PresenceReport("demo", is_online=True, sid=car.sid)
            assert isinstance(second, StateReport)
            await client.publish(topic("evt"), wire.named_record("started", 1, moment, {}), qos=1)
            third = await next_of(reports)
            assert isinstance(third, EventReport)
            assert third.document["kind"] == "started"
            await backend.unlock("demo")
            stages = [
                report.result.stage for _ in range(3) if isinstance(report := await next_of(reports), ResultReport)
            ]
            assert stages == [Stage.ACCEPTED, Stage.EXECUTING, Stage.VERIFIED]
        await client.publish(topic("evt"), wire.named_record("gap", 2, moment, {}), qos=1)
        assert await backend.ping("demo") is not None
        assert not backend._watches


# --- the link -------------------------------------------------------------------------------------------------------


async def test_an_unreachable_broker_is_said_at_once() -> None:
    port = free_port()
    with pytest.raises(LinkError, match=rf"The broker 127\.0\.0\.1:{port} cannot be used: .*refused"):
        async with Backend(settings(port=port)):
            pass


async def test_a_broker_that_accepts_and_says_nothing_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(LinkError, match="did not answer CONNECT within 8 s"):
            async with Backend(settings(port=server.getsockname()[1])):
                pass
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(WAIT_S)
            while await asyncio.to_thread(accepted.recv, 4096):
                pass  # CONNECT, DISCONNECT, and the end: nothing is left open
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_broker_that_hangs_up_during_set_up_is_said_at_once() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, asyncio.timeout(3.0):
        with pytest.raises(LinkError, match="hung up"):
            async with Backend(settings(port=server.sockets[0].getsockname()[1])):
                pass


async def test_a_command_goes_on_after_the_broker_was_away(broker: Mosquitto, backend: Backend) -> None:
    has_arrived = asyncio.Event()

    def is_cut_off(car: ScriptedCar, received: ReceivedCommand) -> list[Answer]:
        has_arrived.set()
        return []

    car = ScriptedCar(is_cut_off)
    async with contextlib.aclosing(backend.watch("demo")) as reports:
        async with connected(car, "127.0.0.1", broker.port):
            waiting = asyncio.create_task(backend.unlock("demo", timeout_s=40.0))
            getting = asyncio.ensure_future(next_report_of_link(reports))
            async with asyncio.timeout(WAIT_S):
                await has_arrived.wait()
            await asyncio.to_thread(broker.stop)
            assert not (await getting).is_connected
        await asyncio.to_thread(broker.start)
        while not (link := await next_report_of_link(reports)).is_connected:
            pass  # why it still was away is told too, whenever it was looked for before it was back
        assert link == LinkReport(is_connected=True, detail="")
    car.script = verifies
    async with connected(car, "127.0.0.1", broker.port):
        result = await waiting
    assert result.is_verified
    assert len({received.raw for received in car.received}) == 1, "the same bytes as before"
    assert len(car.received) >= 2


async def next_report_of_link(reports: AsyncIterator[Report]) -> LinkReport:
    while not isinstance(report := await next_of(reports), LinkReport):
        pass
    return report


async def test_a_command_during_an_outage_ends_as_not_executed(broker: Mosquitto, backend: Backend) -> None:
    async with contextlib.aclosing(backend.watch("demo")) as reports:
        getting = asyncio.ensure_future(next_report_of_link(reports))
        assert await backend.ping("demo", timeout_s=0.1) is None
        await asyncio.to_thread(broker.stop)
        assert not (await getting).is_connected
        result = await backend.unlock("demo", timeout_s=1.0)
    assert (result.outcome, result.executed) == ("no_answer", Executed.NO)


async def test_a_refused_puback_is_an_error_and_no_success(tmp_path: Path) -> None:
    """aiomqtt 2.5.1 by itself reports it as success."""
    rights = tmp_path / "rights"
    rights.write_text(f"topic read v1/{OPERATOR.number}/#\n")
    rights.chmod(0o600)
    with mosquitto(tmp_path, [f"acl_file {rights}"]) as broker:
        async with Backend(settings(port=broker.port)) as backend:
            with pytest.raises(RefusedError, match="refused a message to v1/1/0123456789abcdef/ping: Not auth"):
                await backend.unlock("demo")
            with pytest.raises(RefusedError):
                await backend.ping("demo")


async def test_nothing_of_a_backend_is_left_when_it_is_closed(broker: Mosquitto) -> None:
    before = asyncio.all_tasks()
    async with Backend(settings(port=broker.port)):
        assert {task.get_name() for task in asyncio.all_tasks() - before} >= {"backend-link"}
    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)


async def test_an_error_in_the_body_stays_what_it_is(broker: Mosquitto) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Backend(settings(port=broker.port)):
            1 / 0  # noqa: B018


# --- TLS ------------------------------------------------------------------------------------------------------------


def over_tls(port: int, authority: Authority, folder: Path, client: str = "backend") -> Settings:
    issued = authority.issue(client)
    address = BrokerAddress("127.0.0.1", port, authority.ca_file, issued.certificate_file, issued.key_file)
    return Settings(OPERATOR, address, {CAR.name: CAR})


async def test_over_tls_both_ends_prove_who_they_are(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", is_server=True, host="127.0.0.1")
    with mosquitto(tmp_path, tls_options(server, authority.ca_file)) as broker:
        async with Backend(over_tls(broker.port, authority, tmp_path)) as backend:
            assert await backend.ping("demo", timeout_s=0.3) is None


async def test_a_broker_of_another_authority_is_refused(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    server = other.issue("server", is_server=True, host="127.0.0.1")
    with (
        mosquitto(tmp_path, tls_options(server, other.ca_file)) as broker,
        pytest.raises(LinkError, match="certificate verify failed"),
    ):
        async with Backend(over_tls(broker.port, authority, tmp_path)):
            pass


async def test_a_broker_with_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", is_server=True, host="broker.example.org")
    with (
        mosquitto(tmp_path, tls_options(server, authority.ca_file)) as broker,
        pytest.raises(LinkError, match="IP address mismatch"),
    ):
        async with Backend(over_tls(broker.port, authority, tmp_path)):
            pass


async def test_a_client_certificate_the_broker_does_not_know_is_told_at_once(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    server = authority.issue("server", is_server=True, host="127.0.0.1")
    stranger = other.issue("stranger")
    with mosquitto(tmp_path, tls_options(server, authority.ca_file)) as broker:
        address = BrokerAddress(
            "127.0.0.1", broker.port, authority.ca_file, stranger.certificate_file, stranger.key_file
        )
        async with asyncio.timeout(3.0):
            with pytest.raises(LinkError):
                async with Backend(Settings(OPERATOR, address, {CAR.name: CAR})):
                    pass


async def test_plain_text_goes_to_loopback_only() -> None:
    with pytest.raises(ConfigurationError, match=r"plain connection to 192\.0\.2\.1"):
        Backend(settings(host="192.0.2.1"))


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def configuration(tmp_path: Path, broker: Mosquitto) -> Path:
    """A `backend.toml` for the scripted car, with the operator's key beside it."""
    make_key(tmp_path / "operator-1.key")
    (tmp_path / "operator-1.key").write_text(bytes(range(32)).hex())
    path = tmp_path / "backend.toml"
    path.write_text(
        f'[operator]\nnumber = 1\nkey_file = "operator-1.key"\n\n[broker]\nhost = "127.0.0.1"\nport = {broker.port}\n\n'
        + car_table("demo", CarRequest(CAR.id.hex(), raw_public(CAR.public_key).hex()))
    )
    return path


async def run(*arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `carshare-backend` in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.backend.cli", *map(str, arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(2 * WAIT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize(
    ("script", "status", "outcome"),
    [(verifies, 0, "verified"), (fails, 1, "failed"), (gives_no_feedback, 3, "executed_unverified")],
)
async def test_the_command_line_ends_as_the_command_did(
    broker: Mosquitto, configuration: Path, script: scripted_car.Script, status: int, outcome: str
) -> None:
    async with connected(ScriptedCar(script), "127.0.0.1", broker.port):
        ended, out, err = await run("--config", configuration, "unlock", "demo", "--json")
        assert (ended, err) == (status, "")
        assert json.loads(out)["outcome"] == outcome
        ended, out, err = await run("--config", configuration, "unlock", "demo")
    assert (ended, err) == (status, "")
    assert out.startswith("demo: unlock ")


async def test_the_command_line_says_when_nobody_answers(configuration: Path) -> None:
    status, out, err = await run("--config", configuration, "lock", "demo", "--timeout", "1")
    assert (status, err) == (3, "")
    assert "got no answer" in out
    assert "Nothing was carried out. The car is not connected to the broker." in out
    status, out, _ = await run("--config", configuration, "ping", "demo", "--timeout", "0.5", "--json")
    assert (status, json.loads(out)["is_answered"]) == (3, False)


async def test_the_command_line_pings(broker: Mosquitto, configuration: Path) -> None:
    async with connected(ScriptedCar(verifies), "127.0.0.1", broker.port):
        status, out, err = await run("--config", configuration, "ping", "demo", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["sid"] == b"session1".hex()


async def test_an_unreachable_broker_is_one_line_on_stderr(broker: Mosquitto, configuration: Path) -> None:
    await asyncio.to_thread(broker.stop)
    status, out, err = await run("--config", configuration, "unlock", "demo")
    assert (status, out) == (3, "")
    assert err.startswith(f"carshare-backend: The broker 127.0.0.1:{broker.port} cannot be used:")
    assert err.count("\n") == 1


async def test_watch_prints_json_lines_until_it_is_interrupted(broker: Mosquitto, configuration: Path) -> None:
    car = ScriptedCar(verifies)
    async with connected(car, "127.0.0.1", broker.port) as client:
        presence = wire.presence_document(car.sid, is_online=True)
        await client.publish(f"v1/all/{CAR.id.hex()}/presence", presence, qos=1, retain=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent.backend.cli", "--config", str(configuration), "watch", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(WAIT_S):
                line = json.loads(await process.stdout.readline())
                process.send_signal(signal.SIGINT)
                _, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert (line["type"], line["car"], line["is_online"]) == ("presence", "demo", True)
    assert (process.returncode, err) == (0, b"")
