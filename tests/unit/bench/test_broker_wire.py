"""Whatever bytes a client sends, the bench broker makes packets or a breach of them, and never holds more than one."""

from __future__ import annotations

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bench.broker_wire import PACKET_BYTES_MAX, PacketCutter, ProtocolBreachError

PACKETS = (
    mqtt5.ConnectPacket("client", will=mqtt5.Will("will", payload=b"x")),
    mqtt5.PublishPacket("topic", b"payload", qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=7, response_topic="answer"),
    mqtt5.SubscribePacket(3, [mqtt5.TopicFilter("a/#")]),
    mqtt5.PingReqPacket(),
    mqtt5.DisconnectPacket(),
)


@given(pieces=st.lists(st.integers(1, 9), max_size=60))
def test_packets_come_out_whole_however_the_stream_is_cut(pieces: list[int]) -> None:
    stream = b"".join(packet.write() for packet in PACKETS)
    cutter, names = PacketCutter(), []
    for size in [*pieces, len(stream)]:
        cutter.feed(stream[:size])
        stream = stream[size:]
        while (packet := cutter.next_packet()) is not None:
            names.append(type(packet).__name__)
    assert names == [type(packet).__name__ for packet in PACKETS]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the codec's panic, see broker_wire
@given(start=st.sampled_from(PACKETS), place=st.integers(0, 60), noise=st.binary(max_size=80))
def test_noise_ends_in_a_breach_or_in_waiting_for_more(start: mqtt5.Packet, place: int, noise: bytes) -> None:
    """H71 among them: strings that are not UTF-8."""
    cutter = PacketCutter()
    cutter.feed(start.write()[:place] + noise)
    try:
        while cutter.next_packet() is not None:
            pass
    except ProtocolBreachError as breach:
        assert breach.reason_code is not None


def test_a_length_beyond_the_limit_is_refused_by_the_header_alone() -> None:
    """H18."""
    cutter = PacketCutter()
    cutter.feed(mqtt5.PublishPacket("a", bytes(PACKET_BYTES_MAX)).write()[:4])
    with pytest.raises(ProtocolBreachError) as breach:
        cutter.next_packet()
    assert breach.value.reason_code is mqtt5.DisconnectReasonCode.PACKET_TOO_LARGE
