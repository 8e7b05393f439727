"""`[actions.ACTION.exchange]` of a profile, compiled: what a control unit is told to do, request by request.

Of all services those that open or hold a session and those that move something; nothing that writes, erases, resets
or programs can be said here (SR-01).
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.model.diagnostics import POSITIVE, SESSION_CONTROL, Request
from agent.model.frame import Frame
from agent.profiles.lookup import Lookup, Place
from agent.profiles.polls import STANDARD_ID_MAX, filled
from agent.profiles.schema import MessagePlan
from agent.profiles.toml_model import ExchangeTable, RequestTable

SINGLE_FRAME_BYTES = 7
PROGRAMMING = (0x02, 0x85)
"""Sessions in which a control unit lets itself be programmed: UDS's, and KWP 2000's."""


def compile_exchange(
    table: ExchangeTable | None, place: Place, messages: Sequence[MessagePlan], lookup: Lookup
) -> tuple[Request, ...]:
    """The requests of one round in their order, with all faults told in the look-up's findings."""
    if table is None:
        return ()
    here = (*place, "exchange")
    bus = lookup.bus(table.bus, here)
    _check(table, bus, here, messages, lookup)
    requests = [
        request
        for index, row in enumerate(table.requests)
        for request in _requests(table, row, bus or "", (*here, "requests", index), lookup)
    ]
    if requests and not any(request.acts for request in requests):
        lookup.findings.add((*here, "requests"), "they open a session and ask for nothing", "a request that acts")
    return tuple(requests)


def _requests(table: ExchangeTable, row: RequestTable, bus: str, place: Place, lookup: Lookup) -> tuple[Request, ...]:
    head = b"" if table.address is None else bytes([table.address])
    room = SINGLE_FRAME_BYTES - len(head)
    if len(row.send) > room:
        lookup.findings.add((*place, "send"), f"{len(row.send)} bytes do not fit one frame", f"at most {room}")
        return ()
    service, second = row.send[0], row.send[1:2]
    if service == SESSION_CONTROL and second and second[0] & 0x7F in {each & 0x7F for each in PROGRAMMING}:
        lookup.findings.add((*place, "send"), "a session for programming", "another session")
        return ()
    positive = bytes(row.answer or [service + POSITIVE, *second])
    if positive[0] != service + POSITIVE:
        expected = f"{service + POSITIVE:#x} first: that is the positive answer to {service:#x}"
        lookup.findings.add((*place, "answer"), f"{positive[0]:#x} is none", expected)
    payload = filled(head + bytes([len(row.send), *row.send]), table.padding)
    request = Request(
        frame=Frame(bus, table.request_id, payload, is_extended_id=table.extended_id),
        response_id=table.response_id,
        address=b"" if table.tester_address is None else bytes([table.tester_address]),
        service=service,
        positive=positive,
        answer_s=row.answer_s,
        pause_s=row.pause_s,
    )
    return (request,) * row.times


def _check(
    table: ExchangeTable, bus: str | None, place: Place, messages: Sequence[MessagePlan], lookup: Lookup
) -> None:
    tell = lookup.findings.add
    bus_table = lookup.table(bus) if bus is not None else None
    if bus_table is not None and bus_table.listen_only:
        tell((*place, "bus"), f"bus {bus} is listen_only", "nothing asked for on it")
    if table.request_id == table.response_id:
        tell((*place, "response_id"), "the same as request_id", "the id the control unit answers with")
    heard = {(each, plan.arbitration_id, plan.is_extended_id): plan.name for plan in messages for each in plan.buses}
    for key, number in (("request_id", table.request_id), ("response_id", table.response_id)):
        if not table.extended_id and number > STANDARD_ID_MAX:
            tell((*place, key), f"{number:#x} has more than 11 bits", "extended_id = true, or at most 0x7ff")
        if (name := heard.get((bus or "", number, table.extended_id))) is not None:
            # What the car sends by itself says how it is; an answer to us does not (SR-04, SR-08).
            tell((*place, key), f"{number:#x} is the id of {name}, a message with wanted signals", "another id")
    if (table.address is None) != (table.tester_address is None):
        tell((*place, "address"), "address and tester_address go together", "both or none")
