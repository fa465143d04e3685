"""One DTLS 1.2 association for SRTP keys (RFC 6347, RFC 5764), on OpenSSL behind memory BIOs.

OpenSSL reads the real clock, and a core has none. So its output is taken apart into records, a flight is kept until the
next one comes, and :class:`Dtls` repeats it by its own timer, and the final one when the peer repeats the one before it
(RFC 6347 §4.2.4). A repeated record gets a new sequence number (§4.2.2), for the peer drops numbers that it knows; all
records of epoch 0 are in the clear and pass here, so they are numbered here.

What is encrypted (Finished) can only be repeated as it was. That serves where it was lost; a server that got it, and
whose answer was lost, drops it and stays silent. There OpenSSL's own timer helps, which sends a fresh one: whenever
ours has run out it is asked first.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from bridge.signalling.transport_parameters import DIGESTS, Fingerprint
from bridge.worker.protocol import SrtpKey

from .identity import Identity

MTU: Final = 1_200
"""Octets of a datagram: fits IPv6's 1,280 with a tunnel's header to spare, as browsers do it."""
FIRST_TIMEOUT: Final = 0.25
"""Seconds before a flight is repeated. RFC 6347 §4.2.4.1 has 1 s for unknown paths and lets a smaller one be used where
the round trip is known: here ICE has just measured for the peer that it is no satellite's, and a lost packet should
cost a join a quarter of a second. It doubles up to :data:`LAST_TIMEOUT`: somebody waits, and a flight is a kilobyte."""
LAST_TIMEOUT: Final = 2.0
FINAL_PAUSE: Final = 0.1
"""Seconds between repetitions of the final flight: what the network doubles, or a stranger forges, is answered once."""
LABEL: Final = b"EXTRACTOR-dtls_srtp"
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE = 20, 21, 22
_HEADER: Final = 13
_READ: Final = 65_536


@dataclass(frozen=True, slots=True)
class _Profile:
    suite: str
    """Its name among SDES suites, which is what the workers know."""
    key: int
    salt: int


_PROFILES: Final = {
    b"SRTP_AEAD_AES_128_GCM": _Profile("AEAD_AES_128_GCM", 16, 12),
    b"SRTP_AEAD_AES_256_GCM": _Profile("AEAD_AES_256_GCM", 32, 12),
    b"SRTP_AES128_CM_SHA1_80": _Profile("AES_CM_128_HMAC_SHA1_80", 16, 14),
}


class DtlsState(enum.StrEnum):
    """``HANDSHAKE`` -> ``ESTABLISHED`` -> ``CLOSED``; ``FAILED`` from either of the first two."""

    HANDSHAKE = "handshake"
    ESTABLISHED = "established"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Established:
    """The handshake is done, and the peer's certificate is to be compared with its description."""

    send: SrtpKey
    receive: SrtpKey


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer sent close_notify."""


@dataclass(frozen=True, slots=True)
class Failed:
    reason: str


DtlsEvent = Established | Closed | Failed


class Dtls:
    def __init__(self, identity: Identity, *, client: bool, now: float) -> None:
        """Args:
        client: we send the ClientHello, and do so at once.
        """
        self.client = client
        self.state = DtlsState.HANDSHAKE
        self.repeats = 0
        """Flights that were repeated."""
        self._certificate = b""
        self._connection: SSL.Connection | None = SSL.Connection(identity.context, None)
        self._connection.set_ciphertext_mtu(MTU)
        self._sequence = 0
        """Of the next record in epoch 0."""
        self._flight: tuple[bytes, ...] = ()
        """Records to repeat."""
        self._timeout = FIRST_TIMEOUT
        self._when: float | None = None
        self._answered = now
        """When the final flight was last sent."""
        self._out: deque[bytes] = deque()
        self._events: deque[DtlsEvent] = deque()
        if client:
            self._connection.set_connect_state()
            self._advance(now)
        else:
            self._connection.set_accept_state()

    def matches(self, fingerprints: tuple[Fingerprint, ...]) -> bool:
        """The peer's certificate is one that its description names (RFC 8122 §5): of those with the strongest hash
        function that we know, one is its."""
        known = [fingerprint for fingerprint in fingerprints if fingerprint.algorithm in DIGESTS]
        if not known or not self._certificate:
            return False
        best = max((fingerprint.algorithm for fingerprint in known), key=list(DIGESTS).index)
        digest = hashlib.new(best.replace("-", ""), self._certificate).digest()
        return any(fingerprint.algorithm == best and fingerprint.digest == digest for fingerprint in known)

    def close(self) -> None:
        """Send close_notify, where there is something to close."""
        if self.state is DtlsState.ESTABLISHED:
            self._shut(DtlsState.CLOSED)
        elif self.state is DtlsState.HANDSHAKE:
            self._release(DtlsState.CLOSED)

    # ------------------------------------------------------------------------------------------- contract

    def receive(self, data: bytes, now: float) -> None:
        """A datagram whose first octet says DTLS. Nothing raises: OpenSSL drops what is no record of this association,
        and what breaks the handshake ends it."""
        if self._connection is None or len(data) < _HEADER:
            return
        done = self.state is DtlsState.ESTABLISHED
        try:
            self._connection.bio_write(data)
        except SSL.Error:
            return
        self._advance(now)
        if done and data[0] in (CHANGE_CIPHER_SPEC, HANDSHAKE) and now >= self._answered + FINAL_PAUSE:
            self._answered = now
            self._send(self._flight)

    def expire(self, now: float) -> None:
        if self._when is None or self._when > now:
            return
        self.repeats += 1
        self._timeout = min(2 * self._timeout, LAST_TIMEOUT)
        self._when = now + self._timeout
        assert self._connection is not None
        with contextlib.suppress(SSL.Error):
            self._connection.DTLSv1_handle_timeout()
        self._send(_records(_output(self._connection)) or self._flight)

    def deadline(self) -> float | None:
        return self._when

    def datagrams(self) -> Iterator[bytes]:
        while self._out:
            yield self._out.popleft()

    def events(self) -> Iterator[DtlsEvent]:
        while self._events:
            yield self._events.popleft()

    # --------------------------------------------------------------------------------------------- inside

    def _advance(self, now: float) -> None:
        connection = self._connection
        assert connection is not None
        failure = ""
        try:
            if self.state is DtlsState.HANDSHAKE:
                connection.do_handshake()
                self._establish(connection)
            # What is left of the datagram: alerts, repeated handshake messages, data that nobody asked for.
            while connection.recv(_READ):
                pass
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self._events.append(Closed())
            self._shut(DtlsState.CLOSED)
            return
        except SSL.Error as error:
            failure = _reason(error)
        self._flush(connection, now)
        if failure:
            self._events.append(Failed(failure))
            self._release(DtlsState.FAILED)

    def _establish(self, connection: SSL.Connection) -> None:
        self._flight, self._when = (), None
        certificate = connection.get_peer_certificate(as_cryptography=True)
        profile = _PROFILES.get(connection.get_selected_srtp_profile())
        if certificate is None or profile is None:
            raise SSL.Error([("", "", "the peer does no SRTP that we do")])
        self._certificate = certificate.public_bytes(Encoding.DER)
        self.state = DtlsState.ESTABLISHED
        size = profile.key + profile.salt
        both = connection.export_keying_material(LABEL, 2 * size)
        keys, salts = both[: 2 * profile.key], both[2 * profile.key :]
        client, server = (
            SrtpKey(profile.suite, keys[i * profile.key :][: profile.key] + salts[i * profile.salt :][: profile.salt])
            for i in (0, 1)
        )
        self._events.append(Established(client, server) if self.client else Established(server, client))

    def _flush(self, connection: SSL.Connection, now: float) -> None:
        records = _records(_output(connection))
        if not records:
            return
        self._send(records)
        if all(record[0] == ALERT for record in records):
            return
        if self.state is DtlsState.HANDSHAKE:
            self._flight, self._timeout = records, FIRST_TIMEOUT
            self._when = now + self._timeout
        elif not self.client:
            self._flight, self._answered = records, now

    def _send(self, records: tuple[bytes, ...]) -> None:
        """Number those of epoch 0 and put as many as fit into each datagram."""
        datagram = b""
        for record in records:
            if record[3:5] == b"\0\0":
                record = record[:5] + self._sequence.to_bytes(6, "big") + record[11:]
                self._sequence += 1
            if datagram and len(datagram) + len(record) > MTU:
                self._out.append(datagram)
                datagram = b""
            datagram += record
        if datagram:
            self._out.append(datagram)

    def _shut(self, state: DtlsState) -> None:
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(SSL.Error):
                connection.shutdown()
            self._send(_records(_output(connection)))
        self._release(state)

    def _release(self, state: DtlsState) -> None:
        """OpenSSL's part is some 70 kB; whoever is done with it gives it back."""
        self.state = state
        self._connection = None
        self._flight, self._when = (), None


def _output(connection: SSL.Connection) -> bytes:
    found = b""
    try:
        while True:
            found += connection.bio_read(_READ)
    except SSL.Error:  # WantReadError: no more
        return found


def _records(stream: bytes) -> tuple[bytes, ...]:
    found, at = [], 0
    while at < len(stream):
        end = at + _HEADER + int.from_bytes(stream[at + 11 : at + 13], "big")
        found.append(stream[at:end])
        at = end
    return tuple(found)


def _reason(error: SSL.Error) -> str:
    """OpenSSL's last word."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return str(entries[-1][-1]) if entries and entries[-1] else "the handshake broke off"
