"""What the engine makes of how its link fares: echoes in time, problems told once an hour, none without reason."""

from __future__ import annotations

import json

import pytest

from agent.engine import Engine
from agent.link_watch import (
    ECHO_IDLE_S,
    ECHO_IN_USE_S,
    ECHO_WAIT_S,
    FLAP_WINDOW_S,
    SHORT_S,
    TOLD_INTERVAL_S,
    LinkProblem,
)
from agent.model.effects import Effect, Notify, Persist, Publish, Reconnect
from agent.model.events import BrokerDown, BrokerUp, Delivery, LinkEnd, Published, Stored
from agent.model.records import OutboxStored, Recovered
from tests.support.pair import CAR, ECHO, KEYS, VEHICLE_KEY, Pair, config, vehicle


class Link:
    """An engine whose broker is played by the test; the car is silent unless it is said to be awake."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.echoes: list[Publish] = []
        self.records: list[dict[str, object]] = []
        self.reconnects: list[str] = []
        self.notices: list[str] = []
        self.engine = Engine(
            vehicle()[0],
            config(),
            Recovered(store_id=bytes(8)),
            sid=b"session1",
            vehicle_key=VEHICLE_KEY,
            keys=KEYS,
            now_s=self.now_s,
        )
        self.perform()

    def perform(self) -> None:
        while (effect := self.engine.next_effect()) is not None:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Persist(records, token):
                for record in records:
                    if isinstance(record, OutboxStored):
                        self.records.append(json.loads(record.payload))
                self.engine.receive_link(Stored(token), self.now_s)
            case Publish(topic=topic) if topic == ECHO:
                self.echoes.append(effect)
            case Reconnect(reason):
                self.reconnects.append(reason)
            case Notify(status):
                self.notices.append(status)

    def run(self, seconds: float) -> None:
        """Time passes; the engine is asked whenever it wants to be."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s = min(end_s, max(self.now_s + 0.1, self.engine.next_timer()))
            self.engine.handle_timer(self.now_s)
            self.perform()

    def up(self, *refused: str) -> None:
        self.engine.receive_link(BrokerUp(refused), self.now_s)
        self.perform()

    def down(self, end: LinkEnd = LinkEnd.LOST, detail: str = "connection lost") -> None:
        self.engine.receive_link(BrokerDown(detail, end), self.now_s)
        self.perform()

    def deliver(self, payload: bytes, topic: str = ECHO) -> None:
        self.engine.receive_delivery(Delivery(topic, payload, False, 1), self.now_s)
        self.perform()

    def reflect(self) -> None:
        """The broker passes the last echo on."""
        self.deliver(self.echoes[-1].payload)

    def awake(self, seconds: float) -> None:
        """Time passes with frames on the bus and every echo coming back."""
        pair = Pair()
        for _ in range(round(seconds)):
            frame = next(iter(pair.car.step(pair.now_s + 1.0)))
            pair.now_s += 1.0
            self.engine.receive_frame(type(frame)(frame.bus, frame.arbitration_id, frame.data, self.now_s), self.now_s)
            self.run(1.0)
            self.reflect()

    def problems(self, problem: LinkProblem) -> list[dict[str, object]]:
        return [record for record in self.records if record["kind"] == "link" and record["problem"] == problem]


# --- the echo -----------------------------------------------------------------------------------------------------


def test_an_echo_goes_out_at_once_and_then_every_five_minutes_while_the_car_sleeps() -> None:
    link = Link()
    link.up()
    assert json.loads(link.echoes[0].payload) == {"v": 1, "kind": "echo", "sid": b"session1".hex(), "n": 1}
    assert not link.echoes[0].is_retained
    link.reflect()
    link.run(ECHO_IDLE_S - 1)
    assert len(link.echoes) == 1
    link.run(2)
    assert len(link.echoes) == 2
    assert link.echoes[0].payload != link.echoes[1].payload


def test_an_echo_goes_out_every_minute_while_a_bus_is_awake() -> None:
    link = Link()
    link.up()
    link.reflect()
    link.awake(10 * ECHO_IN_USE_S)
    assert 10 <= len(link.echoes) <= 12


@pytest.mark.hazard("H69")
def test_two_echoes_that_do_not_come_back_end_the_connection_sr_10() -> None:
    link = Link()
    link.up()
    link.run(ECHO_WAIT_S + 1)
    assert len(link.echoes) == 2
    assert link.reconnects == []
    link.run(ECHO_WAIT_S)
    assert link.reconnects == ["2 echoes through the broker did not come back"]
    assert len(link.problems(LinkProblem.ECHO_LOST)) == 1
    link.down(detail=link.reconnects[0])
    link.run(2 * ECHO_IDLE_S)
    assert len(link.reconnects) == 1  # nothing to give up while there is no connection
    link.up()
    assert len(link.echoes) == 3
    link.reflect()
    link.run(ECHO_IDLE_S / 2)
    assert len(link.reconnects) == 1


def test_an_echo_that_comes_late_but_before_the_second_is_missed_is_good_enough() -> None:
    link = Link()
    link.up()
    first = link.echoes[0].payload
    link.run(ECHO_WAIT_S + 1)
    link.deliver(first)
    link.run(ECHO_IDLE_S / 2)
    assert link.reconnects == []


@pytest.mark.hazard("H63")
def test_a_strangers_message_is_no_echo_h63() -> None:
    link = Link()
    link.up()
    for payload in (b"", b"{}", link.echoes[0].payload + b" ", link.echoes[0].payload.replace(b'"n":1', b'"n":9')):
        link.deliver(payload)
    link.deliver(link.echoes[0].payload, topic=ECHO.replace(CAR.hex(), "0011223344556677"))
    link.run(2 * ECHO_WAIT_S + 2)
    assert len(link.reconnects) == 1


def test_an_echo_the_broker_refuses_is_told_and_ends_no_connection() -> None:
    link = Link()
    link.up()
    token = link.echoes[0].token
    assert token is not None
    link.engine.receive_link(Published(token, "Not authorized"), link.now_s)
    link.run(2 * ECHO_WAIT_S + 2)
    assert link.reconnects == []
    (told,) = link.problems(LinkProblem.ECHO_REFUSED)
    assert told["detail"] == "Not authorized"


def test_without_the_right_to_hear_echoes_none_are_sent() -> None:
    link = Link()
    link.up(f"{ECHO}: Not authorized")
    link.run(2 * ECHO_IDLE_S)
    assert (link.echoes, link.reconnects) == ([], [])


# --- problems -----------------------------------------------------------------------------------------------------


@pytest.mark.hazard("H61")
def test_three_short_connections_within_ten_minutes_are_flapping_whatever_the_broker_calls_it() -> None:
    link = Link()
    for detail in ("Session taken over", "the broker closed the connection", "Unspecified error"):
        assert link.problems(LinkProblem.FLAPPING) == []
        link.up()
        link.reflect()
        link.run(SHORT_S / 2)
        link.down(detail=detail)
        link.run(10)
    (told,) = link.problems(LinkProblem.FLAPPING)
    assert (told["count"], told["detail"]) == (1, "Unspecified error")


def test_connections_that_last_or_are_lost_rarely_or_were_never_made_do_not_flap() -> None:
    link = Link()
    for _ in range(5):
        link.up()
        link.reflect()
        link.run(SHORT_S + 1)
        link.down()
    for _ in range(5):
        link.up()
        link.down()
        link.run(FLAP_WINDOW_S / 2 + 1)
    for _ in range(5):
        link.down()
    assert link.problems(LinkProblem.FLAPPING) == []


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        pytest.param(LinkEnd.SESSION_KEPT, LinkProblem.SESSION_KEPT, marks=pytest.mark.hazard("H62")),
        pytest.param(LinkEnd.CERTIFICATE_REFUSED, LinkProblem.CERTIFICATE_REFUSED, marks=pytest.mark.hazard("H66")),
    ],
)
def test_a_problem_is_told_once_an_hour_with_how_often_it_was_there_sr_09(end: LinkEnd, problem: LinkProblem) -> None:
    link = Link()
    for _ in range(60):
        link.down(end, "x" * 1000)
        link.run(TOLD_INTERVAL_S / 60)
    assert [told["count"] for told in link.problems(problem)] == [1]
    link.down(end)
    assert [told["count"] for told in link.problems(problem)] == [1, 60]
    assert len(str(link.problems(problem)[0]["detail"])) == 200


@pytest.mark.hazard("H20")
def test_dropped_deliveries_make_one_event_an_hour_and_quote_nothing() -> None:
    link = Link()
    link.up()
    link.reflect()
    for number in range(100):
        link.deliver(b'{"unlock":"please"}', topic=f"v1/1/{CAR.hex()}/cmd")
        link.run(0.1)
        assert len(link.problems(LinkProblem.DELIVERIES_DROPPED)) == 1, number
    assert "please" not in json.dumps(link.records)


@pytest.mark.hazard("H64")
def test_refused_subscriptions_are_reported_as_a_degraded_state_until_they_are_granted() -> None:
    link = Link()
    refused = f"v1/1/{CAR.hex()}/cmd: Not authorized"
    link.up(refused)
    assert link.notices[-1] == "running; broker connected, 1 subscriptions refused"
    assert [told["detail"] for told in link.problems(LinkProblem.SUBSCRIPTIONS_REFUSED)] == [refused]
    status = link.engine.status(link.now_s)["link"]
    assert isinstance(status, dict)
    assert status["subscriptions_refused"] == [refused]
    link.up()
    assert link.notices[-1] == "running; broker connected"
