"""Our certificate, made by ourselves (RFC 8827 §6.5): its fingerprint goes into descriptions, which vouch for it."""

from __future__ import annotations

import datetime
import hashlib
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from bridge.signalling.transport_parameters import Fingerprint

LIFETIME: Final = datetime.timedelta(days=30)
"""RFC 8827 leaves it open; nobody reads it, for the fingerprint alone counts."""
DTLS_1_2: Final = 0xFEFD
_RELEASE_BUFFERS: Final = 0x10
"""SSL_MODE_RELEASE_BUFFERS: a connection at rest takes 78 kB instead of 88."""

PROFILES: Final = (b"SRTP_AEAD_AES_128_GCM", b"SRTP_AEAD_AES_256_GCM", b"SRTP_AES128_CM_SHA1_80")
"""In our order (RFC 7714 §14.1, RFC 5764 §4.1.2). Measured by libsrtp here, sealing and opening voice of 80 octets: GCM
1.3 us with either key, CM with SHA-1 2.9 us; 1,100 octets: 1.6 and 4.3 us. Everybody knows the last."""
CIPHERS: Final = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",  # mandatory by RFC 8827 §6.5
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-SHA",
        # Where the peer is the server and has an RSA certificate, as SIP phones do.
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES256-GCM-SHA384",
    )
)


class Identity:
    """A P-256 key with its certificate, ready for DTLS. One serves all transports; a new one each day keeps what is
    said on different days from being linked by it."""

    def __init__(self, today: datetime.datetime, name: str = "visiopont") -> None:
        """Args:
        today: with a time zone; the certificate is valid from a day before.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(days=1))
            .not_valid_after(today + LIFETIME)
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = Fingerprint("sha-256", hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest())
        self.context = _context(certificate, key)


def _context(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    # Version 1.3 has other records, which .dtls does not take apart.
    context.set_min_proto_version(DTLS_1_2)
    context.set_max_proto_version(DTLS_1_2)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(_RELEASE_BUFFERS)
    # Any certificate will do here; .dtls compares its fingerprint before it lets a key out.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.set_cipher_list(CIPHERS.encode())
    context.set_tlsext_use_srtp(b":".join(PROFILES))
    context.use_certificate(certificate)
    context.use_privatekey(key)
    return context
