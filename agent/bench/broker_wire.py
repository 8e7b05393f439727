"""Bytes of one client's stream to MQTT packets, and messages to packets: the broker's side of the `mqtt5` codec."""

from __future__ import annotations

import mqtt5
from mqtt5 import DisconnectReasonCode, Packet, PublishPacket, QoS, Will

from agent.model.quick_dataclass import dataclass

PACKET_BYTES_MAX = 64 * 1024  # announced in CONNACK; eight times what the agent and the backend ever send
_HEADER_BYTES_MAX = 5  # MQTT 5 §2.1: one byte of type and flags, up to four of remaining length


class ProtocolBreachError(Exception):
    """The client broke MQTT 5; `reason_code` goes into the DISCONNECT."""

    def __init__(self, reason_code: DisconnectReasonCode, problem: str) -> None:
        super().__init__(problem)
        self.reason_code = reason_code


class PacketCutter:
    """Cuts a byte stream into packets; holds no more than one packet of the greatest size and one read."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> None:
        self._buffer += received

    def next_packet(self) -> Packet | None:
        """The next whole packet, None if more bytes are needed; raises `ProtocolBreachError`."""
        self._refuse_oversize()
        try:
            with memoryview(self._buffer) as view:
                packet, size = mqtt5.read(view)
        except IndexError:  # the codec's word for "not enough bytes"
            return None
        except ValueError as error:
            raise ProtocolBreachError(DisconnectReasonCode.MALFORMED_PACKET, str(error)) from error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as panic:  # on broken UTF-8 the codec (0.8.0) panics, which is no Exception
            raise ProtocolBreachError(DisconnectReasonCode.MALFORMED_PACKET, "not UTF-8") from panic
        del self._buffer[:size]
        return packet

    def _refuse_oversize(self) -> None:
        """Judge a packet by its fixed header, before its body is waited for."""
        remaining = 0
        for index, byte in enumerate(self._buffer[1:_HEADER_BYTES_MAX]):
            remaining |= (byte & 0x7F) << 7 * index
            if not byte & 0x80:
                if remaining + 2 + index > PACKET_BYTES_MAX:
                    raise ProtocolBreachError(DisconnectReasonCode.PACKET_TOO_LARGE, f"packet of {remaining} bytes")
                return


@dataclass(frozen=True, slots=True)
class Publication:
    """A message on its way through the broker. `expires_at_s` is loop time, `publisher` a client id."""

    source: PublishPacket
    publisher: str
    expires_at_s: float | None

    @classmethod
    def from_packet(cls, packet: PublishPacket, publisher: str, now_s: float) -> Publication:
        expiry_s = packet.message_expiry_interval
        return cls(packet, publisher, None if expiry_s is None else now_s + expiry_s)

    @classmethod
    def from_will(cls, will: Will, publisher: str, now_s: float) -> Publication:
        packet = PublishPacket(
            will.topic,
            will.payload or b"",
            qos=will.qos,
            retain=will.retain,
            packet_id=None if will.qos is QoS.AT_MOST_ONCE else 1,
            payload_format_indicator=will.payload_format_indicator,
            message_expiry_interval=will.message_expiry_interval,
            content_type=will.content_type,
            response_topic=will.response_topic,
            correlation_data=will.correlation_data,
            user_properties=will.user_properties,
        )
        return cls.from_packet(packet, publisher, now_s)

    @property
    def topic(self) -> str:
        return self.source.topic

    def is_expired(self, now_s: float) -> bool:
        return self.expires_at_s is not None and now_s >= self.expires_at_s

    def encode(self, *, is_retained: bool, packet_id: int | None, is_duplicate: bool, now_s: float) -> bytes:
        """The PUBLISH for one subscriber, with the rest of the expiry; QoS 1 if it has a packet id, else QoS 0."""
        expiry_s = None if self.expires_at_s is None else max(1, round(self.expires_at_s - now_s))
        return PublishPacket(
            self.source.topic,
            self.source.payload,
            qos=QoS.AT_MOST_ONCE if packet_id is None else QoS.AT_LEAST_ONCE,
            retain=is_retained,
            packet_id=packet_id,
            duplicate=is_duplicate,
            payload_format_indicator=self.source.payload_format_indicator,
            message_expiry_interval=expiry_s,
            content_type=self.source.content_type,
            response_topic=self.source.response_topic,
            correlation_data=self.source.correlation_data,
            user_properties=self.source.user_properties,
        ).write()
