"""`doctor` on a CAN bus: facts to verdicts, and nothing about sending before bit rate and ids are this car's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.doctor.checks.bus import BusFacts, Controller, HeardFacts, LinkFacts, check_bus
from agent.doctor.checks.finding import Finding, Verdict
from agent.doctor.examination import _expected
from agent.doctor.listening import counts_of
from agent.model.frame import Frame
from agent.profile_tools.coverage import Coverage
from tests.profiles.shipped import profile as shipped

OK, WARNING, FAULT, UNKNOWN = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.UNKNOWN

QUIET = Controller(500_000, is_listen_only=True, state="ERROR-ACTIVE")
UP = LinkFacts(is_there=True, is_can=True, is_up=True, controller=QUIET)
EXPECTED = {"MotionStatus": "0x101", "LockStatus": "0x120"}
HEARD = HeardFacts("listened for 5 s", 812, 0, frozenset(EXPECTED), frozenset())
SHIPPED = BusFacts("body", "socketcan", "can0", 500_000, True, ("unlock", "lock"), EXPECTED, UP, HEARD)
"""As shipped, and everything in order: the link listens only, and agent.toml says so."""


def link(**changes: object) -> BusFacts:
    return replace(SHIPPED, link=replace(UP, **changes))  # type: ignore[arg-type]


def controller(**changes: object) -> BusFacts:
    return link(controller=replace(QUIET, **changes))  # type: ignore[arg-type]


def heard(**changes: object) -> BusFacts:
    return replace(SHIPPED, heard=replace(HEARD, **changes))  # type: ignore[arg-type]


SENDING = replace(controller(is_listen_only=False), is_listen_only=False)
VIRTUAL = link(controller=None)
NOT_ASKED = link(controller=None, controller_why="there is no program ip here")
SERIAL = replace(SHIPPED, interface="slcan", channel="/dev/ttyACM0", link=None)
NOT_HEARD = replace(SHIPPED, heard=None, heard_why="can0 cannot be listened to")


def findings(facts: BusFacts) -> dict[str, Finding]:
    found = check_bus(facts)
    assert all(each.name.startswith("can.body.") for each in found)
    assert all(each.advice for each in found if each.verdict in (WARNING, FAULT)), "what is wrong can be mended"
    return {each.name.removeprefix("can.body."): each for each in found}


@pytest.mark.parametrize(
    ("facts", "check", "verdict", "words"),
    [
        (SHIPPED, "link", OK, "can0 is up"),
        (link(is_there=False), "link", FAULT, "no interface can0"),
        (link(is_can=False), "link", FAULT, "no CAN interface"),
        (link(is_up=False), "link", FAULT, "is down"),
        (controller(state="BUS-OFF"), "link", FAULT, "bus-off"),
        (controller(state="ERROR-PASSIVE"), "link", WARNING, "error-passive"),
        (SERIAL, "link", UNKNOWN, "not there to be asked"),
        (replace(SERIAL, word="awake"), "link", OK, "slcan /dev/ttyACM0 is open"),
        (replace(SERIAL, word="removed"), "link", FAULT, "removed"),
        (SHIPPED, "bit_rate", OK, "500 kbit/s"),
        (controller(bitrate_bps=250_000), "bit_rate", FAULT, "has 250 kbit/s, the profile says 500 kbit/s"),
        (controller(bitrate_bps=None), "bit_rate", FAULT, "none set"),
        (VIRTUAL, "bit_rate", OK, "virtual"),
        (NOT_ASKED, "bit_rate", UNKNOWN, "no program ip"),
        (link(is_there=False, is_can=False), "bit_rate", UNKNOWN, "the profile wants 500 kbit/s"),
        (SERIAL, "bit_rate", OK, "sets slcan /dev/ttyACM0 to 500 kbit/s"),
        (SHIPPED, "listen_only", OK, "only listens"),
        (SENDING, "listen_only", OK, "may send"),
        (replace(SHIPPED, is_listen_only=False), "listen_only", FAULT, "would send nothing and be reported as failed"),
        (controller(is_listen_only=False), "listen_only", WARNING, "could send"),
        (VIRTUAL, "listen_only", UNKNOWN, "not known"),
        (SHIPPED, "frames", OK, "812 frames"),
        (heard(frames=0), "frames", WARNING, "silence"),
        (heard(frames=0, errors=44), "frames", FAULT, "44 errors and no frame"),
        (NOT_HEARD, "frames", UNKNOWN, "cannot be listened to"),
        (SHIPPED, "profile", OK, "all 2 messages"),
        (heard(believed=frozenset({"LockStatus"})), "profile", WARNING, "MotionStatus (0x101); 1 of 2"),
        (heard(believed=frozenset()), "profile", FAULT, "none of the 2"),
        (
            heard(believed=frozenset({"LockStatus"}), refused=frozenset({"MotionStatus"})),
            "profile",
            FAULT,
            "MotionStatus (0x101): heard, and refused",
        ),
        (
            heard(mismatches=("0x101 MotionStatus: its odometer leaps",)),
            "profile",
            FAULT,
            "mismatch: 0x101 MotionStatus: its odometer leaps, listened for 5 s",
        ),
        (heard(frames=0), "profile", UNKNOWN, "nothing was heard"),
        (NOT_HEARD, "profile", UNKNOWN, "cannot be listened to"),
    ],
)
def test_fact_comes_to_its_verdict(facts: BusFacts, check: str, verdict: Verdict, words: str) -> None:
    found = findings(facts)[check]
    assert (found.verdict, words in found.found) == (verdict, True), found


TOLD = HeardFacts("by the running agent", 99, 0, frozenset({"MotionStatus"}), frozenset())


@pytest.mark.parametrize(
    ("believed", "refused", "told", "verdict"),
    [
        ({"LockStatus"}, set(), TOLD, OK),
        ({"LockStatus"}, {"MotionStatus"}, TOLD, FAULT),
        ({"LockStatus"}, set(), replace(TOLD, believed=frozenset(), refused=TOLD.believed), FAULT),
        ({"LockStatus"}, set(), replace(TOLD, believed=frozenset()), WARNING),
    ],
)
def test_agent_is_the_second_witness_of_what_is_sent_seldom(
    believed: set[str], refused: set[str], told: HeardFacts, verdict: Verdict
) -> None:
    facts = replace(heard(believed=frozenset(believed), refused=frozenset(refused)), told=told)
    assert findings(facts)["profile"].verdict is verdict
    assert findings(facts)["frames"].found == "812 frames, listened for 5 s"


def test_mismatch_is_named_beside_a_running_agent_too() -> None:
    """The agent believes what the profile says; whoever listens beside it sees that the id means something else."""
    facts = replace(heard(mismatches=("0x101 MotionStatus: its odometer leaps",)), told=TOLD)
    found = findings(facts)["profile"]
    assert (found.verdict, found.found.split(",")[0]) == (FAULT, "mismatch: 0x101 MotionStatus: its odometer leaps")


def test_what_the_agent_heard_before_says_nothing_of_a_bus_that_is_silent_now() -> None:
    facts = replace(heard(frames=0, believed=frozenset()), told=replace(TOLD, believed=frozenset(EXPECTED)))
    assert [findings(facts)[check].verdict for check in ("frames", "profile")] == [WARNING, UNKNOWN]
    assert "ListenOnly=no" not in findings(facts)["sending"].advice


def test_serial_adapter_is_heard_by_the_agent_alone() -> None:
    facts = replace(SERIAL, heard=None, told=replace(TOLD, believed=frozenset(EXPECTED)))
    assert [findings(facts)[check].verdict for check in ("frames", "profile")] == [OK, OK]
    advice = findings(replace(facts, word="awake"))["sending"].advice
    assert "listen_only = false" in advice
    assert "networkctl" not in advice


def test_drop_in_that_allows_sending_is_printed_once_all_is_in_order() -> None:
    found = findings(SHIPPED)["sending"]
    assert found.verdict is WARNING
    assert "unlock, lock are answered unsupported_action" in found.found
    assert found.advice.splitlines() == [
        "Bit rate and ids are this car's: sending may be allowed, if this car is meant to be.",
        "Write /etc/systemd/network/80-carshare-can0.network.d/sending.conf:",
        "[CAN]",
        "ListenOnly=no",
        "Then: networkctl reload && networkctl reconfigure can0",
        "In agent.toml: buses.body.listen_only = false; then systemctl restart carshare-agent",
    ]


def test_bus_that_sends_and_one_that_nothing_would_be_sent_on_need_no_word_about_it() -> None:
    assert "sending" not in findings(SENDING)
    assert "sending" not in findings(replace(SHIPPED, actions=()))


@given(
    bitrate_bps=st.sampled_from([None, 250_000, 500_000]),
    is_up=st.booleans(),
    state=st.sampled_from(["ERROR-ACTIVE", "ERROR-PASSIVE", "BUS-OFF"]),
    frames=st.sampled_from([0, 9]),
    errors=st.sampled_from([0, 9]),
    believed=st.frozensets(st.sampled_from(sorted(EXPECTED))),
    refused=st.frozensets(st.sampled_from(sorted(EXPECTED))),
    is_heard=st.booleans(),
    is_link_known=st.booleans(),
)
def test_sending_is_never_spoken_of_before_rate_and_every_id_are_this_cars(
    bitrate_bps: int | None,
    is_up: bool,
    state: str,
    frames: int,
    errors: int,
    believed: frozenset[str],
    refused: frozenset[str],
    is_heard: bool,
    is_link_known: bool,
) -> None:
    facts = replace(
        SHIPPED,
        link=replace(
            UP,
            is_up=is_up,
            controller=Controller(bitrate_bps, True, state) if is_link_known else None,
            controller_why="" if is_link_known else "ip was not to be asked",
        ),
        heard=HeardFacts("listened", frames, errors, believed, refused - believed) if is_heard else None,
    )
    is_right = (is_up, state, bitrate_bps) == (True, "ERROR-ACTIVE", 500_000) and is_link_known
    is_right = is_right and is_heard and frames > 0 and believed == EXPECTED.keys()
    said = "\n".join(each.advice for each in check_bus(facts))
    assert ("ListenOnly=no" in said, "listen_only = false" in said) == (is_right, is_right)


def test_message_of_either_of_two_buses_is_expected_on_both() -> None:
    """A series moved it to the other bus: whichever carries it on this car, it is looked for there."""
    profile = shipped("nissan_env200")
    moved = {message.name for message in profile.messages if message.also_on and message.signals}
    assert moved
    assert all(moved <= _expected(profile, bus).keys() for bus in ("car", "ev"))
    first = next(message for message in profile.messages if message.name in moved)
    coverage = Coverage(profile)
    coverage.take(Frame(first.also_on[0], first.arbitration_id, bytes(first.length_bytes), 1.0, first.is_extended_id))
    coverage.end_log()
    assert counts_of(coverage)[first.name][0] == 1
