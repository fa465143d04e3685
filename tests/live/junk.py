"""What strangers send: random and mutated packets, from many addresses, at a bounded rate.

``python -m tests.live.junk --sip HOST:PORT --media FIRST-LAST --seconds 15 --rate 2000 --seed 1`` prints what it sent.
A process of its own, so that it takes no time from the phones that measure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

TORTURE = sorted((Path(__file__).parents[1] / "signalling" / "rfc4475").glob("*.dat"))
TICK = 0.02
SOURCES = 150
"""Addresses at a time; one is exchanged for a new one every tick."""
METHODS = ("OPTIONS", "REGISTER", "SUBSCRIBE", "REFER", "MESSAGE", "BYE", "CANCEL", "ACK", "PRACK", "INFO", "NOTIFY",
           "UPDATE", "PUBLISH", "FROBNICATE")  # fmt: skip
SDP = (
    "v=0\r\no=- {r} 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 8 96 101\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\na=ptime:20\r\na=sendrecv\r\n"
)
NASTY = (b"\x00", b"\xff\xfe", b"\r\n", b"\r\n\r\n", b";", b",", b'"', b"<", b">", b"%00", b"%", b"\\", b"@", b":",
         b" " * 40, b"99999999999999999999", b"-1", b"4294967296", b"\xc3\x28", b"A" * 300, b"IN IP6 ::1", b"=",
         b"\t")  # fmt: skip


class Junk:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    # Signalling

    def message(self, method: str, host: str, port: int) -> bytes:
        """A whole, valid request, with a session description if it is an INVITE."""
        r = self.rng.getrandbits(48)
        body = SDP.format(r=r, host=host, port=self.rng.randrange(1024, 65535, 2)) if method == "INVITE" else ""
        user = self.rng.choice(("junk", f"j{r % 50}", "1000", "accueil"))
        extra = {
            "SUBSCRIBE": "Event: conference\r\nExpires: 60\r\n",
            "REFER": "Refer-To: <sip:nobody@127.0.0.1:9>\r\n",
            "REGISTER": "Expires: 60\r\n",
            "CANCEL": "",
        }.get(method, "")
        kind = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n" if body else "Content-Length: 0\r\n"
        return (
            f"{method} sip:{user}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{r:x};rport\r\n"
            f'Max-Forwards: 70\r\nFrom: "J" <sip:j@{host}>;tag={r:x}\r\nTo: <sip:{user}@127.0.0.1>\r\n'
            f"Call-ID: {r:x}\r\n"
            f"CSeq: 1 {method}\r\nContact: <sip:j@{host}:{port}>\r\n{extra}{kind}\r\n{body}"
        ).encode()

    def mutated(self, data: bytes) -> bytes:
        rng, out = self.rng, bytearray(data)
        for _ in range(rng.choice((1, 2, 4, 12))):
            at = rng.randrange(len(out) + 1)
            match rng.randrange(6):
                case 0 if at < len(out):
                    out[at] = rng.randrange(256)
                case 1:
                    out[at:at] = rng.choice(NASTY)
                case 2:
                    del out[at : at + rng.randrange(1, 30)]
                case 3:
                    out[at:at] = out[at : at + rng.randrange(1, 200)]
                case 4:
                    lines = bytes(out).split(b"\r\n")
                    rng.shuffle(lines)
                    out[:] = b"\r\n".join(lines)
                case _:
                    del out[at:]
        return bytes(out[:60_000])

    def invite(self, host: str, port: int) -> bytes:
        return self.mutated(self.message("INVITE", host, port))

    def invite_sdp(self, host: str, port: int) -> bytes:
        """Only its description is mutated."""
        head, _, body = self.message("INVITE", host, port).partition(b"\r\n\r\n")
        body = self.mutated(body)
        lines = [
            b"Content-Length: %d" % len(body) if line[:14] == b"Content-Length" else line
            for line in head.split(b"\r\n")
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def other(self, host: str, port: int) -> bytes:
        whole = self.message(self.rng.choice(METHODS), host, port)
        return whole if self.rng.random() < 0.3 else self.mutated(whole)

    def torture(self, host: str, port: int) -> bytes:
        data = self.rng.choice(TORTURE).read_bytes() if TORTURE else b"\x80"
        return data if self.rng.random() < 0.5 else self.mutated(data)

    def response(self, host: str, port: int) -> bytes:
        return self.mutated(b"SIP/2.0 200 OK\r\n" + self.message("OPTIONS", host, port).partition(b"\r\n")[2])

    def noise(self, host: str, port: int) -> bytes:
        return self.rng.randbytes(self.rng.choice((0, 1, 4, 12, 60, 500, 1400, 9000)))

    # Media

    def rtp(self, host: str, port: int) -> bytes:
        rng = self.rng
        first, second = rng.choice((0x80, 0x90, 0xA0, 0xBF)), rng.choice((0, 8, 9, 13, 96, 101, 128))
        ssrc = rng.choice((rng.getrandbits(32), 0, 1))
        head = struct.pack("!BBHII", first, second, rng.getrandbits(16), rng.getrandbits(32), ssrc)
        return head + rng.randbytes(rng.choice((0, 1, 4, 160, 160, 160, 1200)))

    def rtcp(self, host: str, port: int) -> bytes:
        rng = self.rng
        body = rng.randbytes(rng.choice((0, 4, 24, 52, 400)))
        length = rng.choice((len(body) // 4, 0, 65535))
        return bytes([rng.choice((0x80, 0x81, 0x9F, 0xA1)), rng.randrange(192, 224)]) + length.to_bytes(2, "big") + body

    def stun(self, host: str, port: int) -> bytes:
        body = self.rng.randbytes(self.rng.choice((0, 8, 40)))
        return (
            struct.pack("!HHI", self.rng.choice((1, 0x101, 0x11)), len(body), 0x2112A442)
            + self.rng.randbytes(12)
            + body
        )

    def dtls(self, host: str, port: int) -> bytes:
        body = self.rng.randbytes(self.rng.choice((0, 60, 200)))
        return bytes([self.rng.choice((20, 21, 22, 23)), 0xFE, 0xFD]) + bytes(8) + len(body).to_bytes(2, "big") + body


SIGNALLING = (Junk.invite, Junk.invite_sdp, Junk.other, Junk.other, Junk.torture, Junk.response, Junk.noise)
MEDIA = (Junk.rtp, Junk.rtp, Junk.rtcp, Junk.stun, Junk.dtls, Junk.noise)


class Sources:
    """UDP sockets on addresses of 127.0.0.0/8, ever others."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._socks = [self._open() for _ in range(SOURCES)]

    def _open(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        host = f"127.{self._rng.randrange(1, 255)}.{self._rng.randrange(256)}.{self._rng.randrange(1, 255)}"
        sock.bind((host, 0))
        return sock

    def exchange(self) -> None:
        at = self._rng.randrange(SOURCES)
        self._socks[at].close()
        self._socks[at] = self._open()

    def any(self) -> socket.socket:
        return self._rng.choice(self._socks)

    def close(self) -> None:
        for sock in self._socks:
            sock.close()


class Connections:
    """TCP connections that get pieces of whatever."""

    def __init__(self, rng: random.Random, target: tuple[str, int]) -> None:
        self._rng, self._target = rng, target
        self._socks: list[socket.socket] = []

    def send(self, data: bytes) -> None:
        if len(self._socks) < 20:
            sock = socket.socket()
            sock.bind((f"127.3.{self._rng.randrange(256)}.{self._rng.randrange(1, 255)}", 0))
            sock.settimeout(0.2)
            try:
                sock.connect(self._target)
            except OSError:
                sock.close()
                return
            sock.setblocking(False)
            self._socks.append(sock)
        sock = self._rng.choice(self._socks)
        try:
            with contextlib.suppress(BlockingIOError):
                sock.send(data)
            with contextlib.suppress(BlockingIOError):
                if not sock.recv(65536):
                    raise OSError
            if self._rng.random() < 0.05:
                raise OSError
        except OSError:
            self._socks.remove(sock)
            sock.close()

    def close(self) -> None:
        for sock in self._socks:
            sock.close()


def flood(sip: tuple[str, int], media: range, seconds: float, rate: int, seed: int) -> Counter[str]:
    """Send for ``seconds``; how many of each kind."""
    rng = random.Random(seed)
    junk, sources, connections = Junk(rng), Sources(rng), Connections(rng, sip)
    sent: Counter[str] = Counter()
    due = time.monotonic()
    end = due + seconds
    try:
        while due < end:
            sources.exchange()
            for _ in range(round(rate * TICK)):
                sock = sources.any()
                host, port = sock.getsockname()
                kind: Callable[[Junk, str, int], bytes]
                if rng.random() < 0.5:
                    kind, target = rng.choice(MEDIA), (sip[0], rng.choice(media))
                else:
                    kind, target = rng.choice(SIGNALLING), sip
                data = kind(junk, host, port)
                sent[kind.__name__] += 1
                if target is sip and rng.random() < 0.1:
                    connections.send(data)
                    sent["by TCP"] += 1
                    continue
                with contextlib.suppress(OSError):
                    sock.sendto(data, target)
            due += TICK
            time.sleep(max(0.0, due - time.monotonic()))
            # Behind time the rate sinks; nothing is made up for.
            due = max(due, time.monotonic() - TICK)
    finally:
        sources.close()
        connections.close()
    return sent


def main() -> None:
    options = argparse.ArgumentParser()
    for name in ("--sip", "--media"):
        options.add_argument(name, required=True)
    options.add_argument("--seconds", type=float, default=15.0)
    options.add_argument("--rate", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    host, _, port = given.sip.partition(":")
    first, _, last = given.media.partition("-")
    media = range(int(first), int(last) + 1)
    print(json.dumps(flood((host, int(port)), media, given.seconds, given.rate, given.seed)))


if __name__ == "__main__":
    main()
