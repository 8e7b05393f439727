"""ISO-TP reception against can-isotp: every payload segmented by it comes back whole, and no damage makes a payload."""

from __future__ import annotations

import isotp
from hypothesis import given
from hypothesis import strategies as st

from agent.decode.segments import Heard, Segments

PAYLOADS = st.binary(min_size=1, max_size=300)


def segmented(payload: bytes, *, is_extended: bool = False) -> list[bytes]:
    """The frames that can-isotp sends for a payload, given all the flow control it asks for."""
    sent: list[isotp.CanMessage] = []
    waiting: list[isotp.CanMessage] = []

    def received(timeout: float = 0) -> isotp.CanMessage | None:
        return waiting.pop(0) if waiting else None

    if is_extended:
        mode = isotp.AddressingMode.Extended_11bits
        address = isotp.Address(mode, txid=0x607, rxid=0x6F1, target_address=0xF1, source_address=0x07)
        flow = bytes([0x07, 0x30, 0, 0])
    else:
        address = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7BB, rxid=0x79B)
        flow = bytes([0x30, 0, 0])
    layer = isotp.TransportLayerLogic(
        rxfn=received,
        txfn=sent.append,
        address=address,
        params={"stmin": 0, "blocksize": 0, "tx_padding": 0xAA},
    )
    layer.send(payload)
    for _ in range(len(payload)):
        if not layer.transmitting() and sent:
            break
        layer.process()
        if len(sent) == 1 and layer.transmitting():
            waiting.append(isotp.CanMessage(arbitration_id=address.get_rx_arbitration_id(), data=flow, dlc=len(flow)))
    return [bytes(message.data) for message in sent]


def payloads(frames: list[bytes], address: bytes = b"") -> list[bytes]:
    segments = Segments(address)
    return [taken for taken in map(segments.take, frames) if isinstance(taken, bytes)]


@given(PAYLOADS, st.booleans())
def test_what_can_isotp_sends_is_received_whole(payload: bytes, is_extended: bool) -> None:
    frames = segmented(payload, is_extended=is_extended)
    assert payloads(frames, b"\xf1" if is_extended else b"") == [payload]


@given(st.data(), st.binary(min_size=20, max_size=150))
def test_a_frame_lost_repeated_or_swapped_gives_no_payload_or_the_right_one(
    data: st.DataObject, payload: bytes
) -> None:
    frames = segmented(payload)
    index = data.draw(st.integers(0, len(frames) - 2))
    match data.draw(st.sampled_from(["lost", "twice", "swapped"])):
        case "lost":
            damaged = frames[:index] + frames[index + 1 :]
        case "twice":
            damaged = [*frames[: index + 1], frames[index], *frames[index + 1 :]]
        case _:
            damaged = [*frames[:index], frames[index + 1], frames[index], *frames[index + 2 :]]
    assert payloads(damaged) == []


@given(st.data(), st.binary(min_size=20, max_size=60), st.binary(min_size=20, max_size=60))
def test_two_answers_whose_frames_mix_never_give_one_of_both(data: st.DataObject, one: bytes, other: bytes) -> None:
    frames, others = segmented(one), segmented(other)
    mixed: list[bytes] = []
    while frames or others:
        source = frames if frames and (not others or data.draw(st.booleans())) else others
        mixed.append(source.pop(0))
    assert set(payloads(mixed)) <= {one, other}


@given(st.lists(st.binary(max_size=8), max_size=20))
def test_any_bytes_give_payloads_made_of_them_or_nothing(frames: list[bytes]) -> None:
    segments = Segments(b"")
    for frame in frames:
        taken = segments.take(frame)
        assert isinstance(taken, bytes | Heard)
        assert not isinstance(taken, bytes) or 0 < len(taken) <= 4095
