"""What a car proves when it asks to be enrolled: one signature by its key V over its certificate request.

It binds the two keys of a car to one another: nobody can have a certificate issued to his TLS key for a vehicle key
that he only knows the public half of.
"""

from __future__ import annotations

from typing import Final

from agent.command.scan import encode_canonical

REQUEST_CONTEXT: Final = b"csa1/request"
REQUEST_FORMAT: Final = 1
ANSWER_FORMAT: Final = 1


def proof_bytes(request_der: bytes) -> bytes:
    """What V signs: a COSE Sig_structure with a context of its own, so that it can never pass as a message.

    `request_der` is the certificate request (PKCS #10) in DER. The protected header is empty, as no message's is.
    """
    return encode_canonical(["Signature1", b"", REQUEST_CONTEXT, request_der])
