"""Who is in no call and wants to be heard, to listen, to guess, or to be in the way."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from bridge.media.codecs.g711 import PCMU
from bridge.signalling.auth import parse_digest, respond
from tests.interop.process import Process, need, until

from .canary import HOLE
from .phone import PACKET, RATE, SAMPLES, Exchange, Phone
from .server import Server
from .test_bad_input import undisturbed

pytestmark = pytest.mark.interop
TONE = 1250


class Stranger:
    """Sends RTP with a tone of its own from an address of its own, at the pace of a phone."""

    def __init__(self, host: str, target: tuple[str, int], numbers: Callable[[], tuple[int, int, int]]) -> None:
        """``numbers``: SSRC, sequence number and timestamp of each packet."""
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((host, 0))
        self._sock.setblocking(False)
        self._target, self._numbers = target, numbers
        pcm = np.rint(8000 * np.sin(2 * np.pi * TONE * np.arange(SAMPLES) / RATE)).astype(np.int16)
        self._payload = PCMU.encode_rows(pcm[None])[0].tobytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.heard = 0
        """Packets that it was sent."""

    def __enter__(self) -> Stranger:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sock.close()

    def _run(self) -> None:
        while not self._stop.wait(PACKET):
            ssrc, sequence, timestamp = self._numbers()
            head = struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
            with contextlib.suppress(OSError):
                self._sock.sendto(head + self._payload, self._target)
            goodbye = struct.pack("!BBHI", 0x81, 203, 1, ssrc)
            with contextlib.suppress(OSError):
                self._sock.sendto(goodbye, self._target)
                self._sock.sendto(goodbye, (self._target[0], self._target[1] + 1))
            with contextlib.suppress(BlockingIOError):
                while self._sock.recv(2048):
                    self.heard += 1


def counting() -> Callable[[], tuple[int, int, int]]:
    state = [random.getrandbits(32), random.getrandbits(15), random.getrandbits(31)]

    def numbers() -> tuple[int, int, int]:
        state[1] += 1
        state[2] += SAMPLES
        return state[0], state[1], state[2]

    return numbers


@pytest.mark.parametrize("srtp", [False, True], ids=["plain", "srtp"])
@pytest.mark.parametrize("ahead", [0, 1, 50])
def test_a_stranger_who_knows_the_numbers_is_not_heard(
    server: Server, exchange: Exchange, srtp: bool, ahead: int
) -> None:
    room = server.room("private")
    alice, bob = exchange.phone(room, 450, srtp=srtp), exchange.phone(room, 850, srtp=srtp)
    time.sleep(1.0)
    since = time.time()

    def numbers() -> tuple[int, int, int]:
        return alice.ssrc, alice.sequence + ahead, alice.timestamp + ahead * SAMPLES

    with Stranger("127.9.9.9", alice.remote, numbers) as far, Stranger("127.0.0.1", alice.remote, numbers) as near:
        time.sleep(3.0)
    undisturbed(bob, since, [450])
    undisturbed(alice, since, [850])
    assert far.heard == near.heard == 0


def test_a_stranger_takes_no_call_whose_phone_is_silent_yet(server: Server, exchange: Exchange) -> None:
    room = server.room("silent")
    bob = exchange.phone(room, 850)
    alice = exchange.line().dial(room, 450)
    alice.gait = "gone"
    alice.await_up()
    with Stranger("127.9.9.9", alice.remote, counting()):
        time.sleep(2.0)
        alice.gait = "talking"
        time.sleep(1.0)
        since = time.time()
        time.sleep(1.0)
        assert bob.heard(since).tones((450, TONE)) == {450}
        assert alice.heard(since).tones((850, TONE)) == {850}
        assert alice.heard(since).gap < HOLE


# ---------------------------------------------------------------------------------------------------- TCP


def options(n: int = 1) -> bytes:
    return (
        f"OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{n}{time.time()}\r\n"
        f"From: <sip:a@b>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: {n}{time.time()}\r\nCSeq: 1 OPTIONS\r\n"
        "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def connect(server: Server, host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket()
    sock.bind((host, 0))
    sock.settimeout(5.0)
    sock.connect(server.address)
    return sock


def served(server: Server) -> bool:
    with connect(server, "127.8.8.8") as sock:
        sock.sendall(options())
        return sock.recv(4096).startswith(b"SIP/2.0 200 ")


def closed(sock: socket.socket, seconds: float) -> bool:
    """Whether the other side has closed it, at the latest after some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sock.settimeout(max(0.01, end - time.monotonic()))
        try:
            if not sock.recv(65536):
                return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False
    return False


@pytest.fixture
def called(server: Server, exchange: Exchange) -> Iterator[Phone]:
    """A call that must go on undisturbed through the test."""
    room = server.room("steady")
    alice, _ = exchange.phone(room, 450), exchange.phone(room, 850)
    time.sleep(1.0)
    since = time.time()
    yield alice
    undisturbed(alice, since, [850])
    server.assert_no_bug()


def test_connections_that_say_nothing_are_limited_a_host(server: Server, called: Phone) -> None:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(server, "127.7.7.7")) for _ in range(560)]
        time.sleep(0.5)
        assert sum(closed(sock, 0.0) for sock in socks[:20]) == 0
        assert sum(closed(sock, 0.2) for sock in socks[-20:]) == 20
        assert served(server)
        assert server.metric("visiopont_sip_connections_refused_total") >= 40
    until(lambda: server.files()[server.pid] < 60, "the end of all connections")


def test_a_content_length_without_end_ends_the_connection(server: Server, called: Phone) -> None:
    for length in (b"99999999", b"4294967296", b"-1", b"x", b"9" * 400):
        with connect(server) as sock:
            sock.sendall(options().replace(b"Content-Length: 0", b"Content-Length: " + length))
            assert closed(sock, 3.0)
    assert served(server)


def test_a_header_without_end_ends_the_connection(server: Server, called: Phone) -> None:
    with connect(server) as sock:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                sock.sendall(b"X-Long: " + b"a" * 1000 + b"\r\n")
        assert closed(sock, 3.0)
    assert served(server)


def test_a_megabyte_of_empty_lines_is_no_harm(server: Server, called: Phone) -> None:
    with connect(server) as sock:
        before = server.memory()[server.pid]
        sock.settimeout(10.0)
        sock.sendall(b"\r\n" * 500_000)
        sock.sendall(options())
        found = b""
        while b"SIP/2.0 200 " not in found and len(found) < 2_000_000:
            found += sock.recv(65536)
        assert b"SIP/2.0 200 " in found
        assert server.memory()[server.pid] - before < 10_000


def test_tls_where_there_is_none_is_no_harm(server: Server, called: Phone) -> None:
    hello = bytes.fromhex("16030100c8010000c40303") + random.Random(1).randbytes(190)
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(connect(server)).sendall(hello)
        assert served(server)


def test_headers_that_drip_are_not_waited_for(server: Server, called: Phone) -> None:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(server, "127.6.6.6")) for _ in range(100)]
        text = options()
        for at in range(40):
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.send(text[at : at + 1])
            time.sleep(1.0)
            if at == 5:
                assert served(server)
        assert all(closed(sock, 1.0) for sock in socks)


# --------------------------------------------------------------------------------------- floods and guesses


def test_a_flood_of_calls_is_told_to_come_back_later(tmp_path: Path, exchange: Exchange) -> None:
    with Server(tmp_path, {"sip.calls_per_second": 5}) as server:
        room = server.room("steady")
        alice, _ = exchange.phone(room, 450), exchange.phone(room, 850)
        time.sleep(1.0)
        since = time.time()
        line = exchange.line("127.5.5.5")
        calls = [line.dial(server.uri("flood")) for _ in range(200)]
        until(lambda: all(call.up or call.ended is not None for call in calls), "an answer to all", 10.0)
        refused = [call for call in calls if call.ended is not None]
        assert {call.ended for call in refused} == {503}
        assert 150 < len(refused) < 195
        assert sum(b"SIP/2.0 503" in data and b"Retry-After:" in data for data in line.received) >= len(refused)
        assert server.rejections("INVITE") == len(refused)
        undisturbed(alice, since, [850])
        for call in calls:
            if call.up:
                call.hang_up()


def guess(server: Server, host: str, password: str) -> int:
    """Try to register as alice; the answer to the password, 0 if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(0.1)
        where, number = f"{host}:{sock.getsockname()[1]}", random.getrandbits(60)
        code, proof = 0, ""
        for step in (1, 2):
            sock.sendto(
                f"REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {where};branch=z9hG4bK{number}{step}\r\n"
                f"From: <sip:alice@127.0.0.1>;tag=1\r\nTo: <sip:alice@127.0.0.1>\r\nCall-ID: {number}\r\n"
                f"CSeq: {step} REGISTER\r\nContact: <sip:alice@{where}>\r\nMax-Forwards: 70\r\n{proof}"
                "Content-Length: 0\r\n\r\n".encode(),
                server.address,
            )
            try:
                answer = sock.recv(4096).decode()
            except TimeoutError:
                return 0
            code = int(answer.split()[1])
            challenge = re.search(r"^WWW-Authenticate: (Digest .*MD5.*)$", answer, re.MULTILINE)
            if step == 1 and challenge is not None:
                found = parse_digest(challenge[1].strip()) or {}
                secret, asked = ("alice", found["realm"], password), ("REGISTER", "sip:127.0.0.1")
                response = respond("MD5", secret, asked, found["nonce"], qop="auth", count="00000001", cnonce="c")
                proof = (
                    f'Authorization: Digest username="alice", realm="{found["realm"]}", nonce="{found["nonce"]}", '
                    f'uri="sip:127.0.0.1", response="{response}", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"\r\n'
                )
        return code


def test_guesses_of_passwords_are_refused_counted_and_slowed(tmp_path: Path, exchange: Exchange) -> None:
    need("svcrack", "sipvicious")
    accounts = '[{"user": "alice", "password": "k3 ./unguessable"}]'
    words = tmp_path / "words"
    words.write_text("".join(f"guess{n}\n" for n in range(2000)))
    names = tmp_path / "names"
    names.write_text("".join(f"user{n}\n" for n in range(500)) + "alice\n")
    with Server(tmp_path, {"sip.accounts": accounts}) as server:
        room = server.room("steady")
        alice, _ = exchange.phone(room, 450), exchange.phone(room, 850)
        time.sleep(1.0)
        since = time.time()
        at = ["-p", str(server.port), "127.0.0.1"]
        for number, command in enumerate(
            (
                ["svmap", *at],
                ["svwar", "-m", "REGISTER", "--force", "-d", str(names), *at],
                ["svwar", "-m", "INVITE", "--force", "-d", str(names), *at],
                ["svcrack", "-u", "alice", "-d", str(words), *at],
            )
        ):
            with Process(command, tmp_path / f"{command[0]}-{number}.log", limit=25.0) as scan:
                with contextlib.suppress(BaseException):
                    scan.wait(20.0)
                print(command[0], scan.text[-400:])
        # The scanners answered no challenge, and get none any more; somebody else does.
        refused = server.rejections("REGISTER")
        answers = [guess(server, "127.6.6.6", f"guess{n}") for n in range(100)]
        print("answers:", answers)
        assert set(answers) == {401, 0}
        assert 30 <= answers.count(401) <= 70
        counted = server.rejections("REGISTER") - refused  # each guess has its challenge, until there is silence
        assert 2 * answers.count(401) <= counted <= len(answers) + answers.count(401)
        assert "alice" not in (tmp_path / "svwar-1.log").read_text()
        assert guess(server, "127.4.4.4", "k3 ./unguessable") == 200
        undisturbed(alice, since, [850])
        assert server.process.log.stat().st_size < 300_000


def test_junk_at_the_api_is_refused(server: Server, called: Phone) -> None:
    rng = random.Random(3)
    base = str(server.api.base_url)
    for path in (
        "/api/v1/rooms/%00",
        "/api/v1/rooms/..%2f..%2fetc",
        "/api/v1/" + "a" * 5000,
        "/%ff",
        "//",
        "/metrics/x",
    ):
        assert httpx.get(base + path).status_code in (400, 404, 405, 414, 422), path
    for body in (b"", b"{", b"[]", b"null", b"\xff" * 100, b'{"name":1}', b'{"name":"' + b"x" * 60_000 + b'"}',
                 b"[" * 20_000, b'{"name":"a","title":"\\u0000"}', b'{"name":"a","capacity":1e400}'):  # fmt: skip
        answer = httpx.post(f"{base}/api/v1/rooms", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (body[:40], answer.status_code)
    assert httpx.post(f"{base}/api/v1/rooms", content=b"x" * 100_000).status_code == 413
    assert httpx.get(f"{base}/api/v1/status", headers={"Host": "evil.example"}).status_code == 421
    assert httpx.get(f"{base}/api/v1/status", headers={"Origin": "http://evil.example"}).status_code == 403
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", server.api.base_url.port or 0), 2.0) as sock:
            sock.sendall(
                rng.choice(
                    (rng.randbytes(rng.randrange(1, 300)), b"GET / HTTP/1.1\r\nHost: ", b"GET /" + b"a" * 70_000)
                )
            )
    assert server.status()["ready"]
