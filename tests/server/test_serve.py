"""The real process, as an operator starts and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from bridge.signalling import event as sip
from server import cli
from tests.server.phone import phone
from tests.server.process import ROOT, Bridge, bridge

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]

OPTIONS = """\
OPTIONS sip:demo@{host}:{port} SIP/2.0\r
Via: SIP/2.0/UDP {mine};branch=z9hG4bKtest;rport\r
Max-Forwards: 70\r
From: <sip:t@{mine}>;tag=1\r
To: <sip:demo@{host}>\r
Call-ID: test\r
CSeq: 1 OPTIONS\r
Content-Length: 0\r
\r
"""


def ask(address: tuple[str, int], text: str) -> str:
    """A request by UDP and its answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        mine = f"127.0.0.1:{sock.getsockname()[1]}"
        sock.sendto(text.format(host=address[0], port=address[1], mine=mine).encode(), address)
        return sock.recv(65536).decode()


def test_it_starts_answers_and_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    with bridge(tmp_path) as running:
        assert ask(running.udp, OPTIONS).startswith("SIP/2.0 200 ")
        assert running.get("/health") == {"status": "alive"}
        assert running.get("/ready") == {"status": "ready"}
        workers = running.get("/api/v1/status")["workers"]
        assert [worker["failed"] for worker in workers] == [False]
        begun = time.monotonic()
        assert running.end() == 0
        assert time.monotonic() - begun < 5
        assert "Traceback" not in running.log.read_text()
        assert not Path(f"/proc/{workers[0]['pid']}").exists()


def test_the_demo_has_three_people_in_it(tmp_path: Path) -> None:
    with bridge(tmp_path, command="demo") as running:
        room = running.get("/api/v1/rooms/demo")
        assert [person["kind"] for person in room["participants"]] == ["simulated"] * 3
        assert running.end() == 0


def test_rooms_of_the_settings_file_are_there(tmp_path: Path) -> None:
    (tmp_path / "visiopont.toml").write_text('[room.conseil]\nnumber = "4001"\nhost_pin = "1234"\n')
    with bridge(tmp_path) as running:
        room = running.get("/api/v1/rooms/conseil")
        assert (room["number"], room["on"]) == ("4001", False)
        assert "1234" not in str(room)


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with bridge(tmp_path) as running:
        running.process.send_signal(signal.SIGINT)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(5)
        assert running.process.returncode in (0, 128 + signal.SIGTERM, 128 + signal.SIGINT)


def test_a_taken_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        arguments = ["--sip", f"udp:127.0.0.1:{port}", "--http", "", "--data", "d", "--media-ports", "27900-27903"]
        done = subprocess.run(
            [sys.executable, "-m", "server.cli", "serve", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"can't listen on udp:127.0.0.1:{port}: Address already in use" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


ACCOUNT = '[[sip.accounts]]\nuser = "salle-101"\npassword = "geheim"\n'


def test_registrations_outlive_a_sigkill(tmp_path: Path) -> None:
    (tmp_path / "visiopont.toml").write_text(ACCOUNT)

    async def register(address: tuple[str, int]) -> bool:
        async with phone(address) as mine:
            mine.register("salle-101", "geheim")
            return (await mine.next(sip.RegistrationChanged)).registered

    with bridge(tmp_path) as running:
        assert asyncio.run(register(running.udp))
        before = running.get("/api/v1/registrations")["registrations"]
        assert len(before) == 1
        time.sleep(1.0)  # durable within a second
        running.process.kill()
        running.process.wait(5)
    with bridge(tmp_path) as running:
        assert running.get("/api/v1/registrations")["registrations"] == before
        assert running.get("/api/v1/status")["registrations"] == 1


def test_a_wrong_password_does_not_register(tmp_path: Path) -> None:
    (tmp_path / "visiopont.toml").write_text(ACCOUNT)

    async def register(address: tuple[str, int]) -> sip.RegistrationChanged:
        async with phone(address) as mine:
            mine.register("salle-101", "falsch")
            return await mine.next(sip.RegistrationChanged)

    with bridge(tmp_path) as running:
        changed = asyncio.run(register(running.udp))
        assert (changed.registered, changed.code) == (False, 401)
        assert running.get("/api/v1/registrations")["registrations"] == []


def test_sigterm_says_bye_to_everyone(tmp_path: Path) -> None:
    async def call(running: Bridge) -> tuple[sip.CallEnded, sip.CallEnded]:
        async with phone(running.udp) as mine, phone(running.udp) as late:
            mine.dial("demo")
            await mine.next(sip.CallAnswered)
            running.process.terminate()
            await asyncio.sleep(0.5)
            late.dial("demo")
            return await mine.next(sip.CallEnded), await late.next(sip.CallEnded)

    with bridge(tmp_path) as running:
        ended, refused = asyncio.run(call(running))
        assert (ended.code, ended.local) == (0, False)
        assert refused.code == 503
        assert running.process.wait(10) == 0
        assert "Traceback" not in running.log.read_text()


def test_events_of_a_call_are_streamed(tmp_path: Path) -> None:
    async def call(running: Bridge) -> list[str]:
        lines: list[str] = []
        async with (
            phone(running.udp) as mine,
            httpx.AsyncClient(timeout=10) as client,
            client.stream("GET", running.http + "/api/v1/events") as stream,
        ):
            mine.dial("demo")
            async for line in stream.aiter_lines():
                lines.append(line)
                if line.startswith("event: Joined"):
                    break
        return lines

    with bridge(tmp_path) as running:
        lines = asyncio.run(call(running))
        assert "event: CallCame" in lines
        assert running.end() == 0


def test_a_room_can_be_told_what_to_do_while_a_call_is_up(tmp_path: Path) -> None:
    async def call(running: Bridge) -> sip.CallEnded:
        async with phone(running.udp) as mine:
            mine.dial("demo")
            await mine.next(sip.CallAnswered)
            answer = await asyncio.to_thread(running.post, "/api/v1/rooms/demo/end")
            assert answer.status_code == 200
            return await mine.next(sip.CallEnded, 20)

    with bridge(tmp_path) as running:
        assert asyncio.run(call(running)).code == 0


def test_it_registers_with_a_provider_and_leaves_at_the_end(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    (theirs / "visiopont.toml").write_text(ACCOUNT)
    with bridge(theirs) as provider:
        host, port = provider.udp
        (ours / "visiopont.toml").write_text(
            f'[[sip.providers]]\nregistrar = "sip:{host}:{port}"\nuser = "salle-101"\npassword = "geheim"\n'
        )
        with bridge(ours, "--media-ports", "26992-26999") as running:
            wait(lambda: any(each["registered"] for each in running.get("/api/v1/registrations")["registrations"]))
            assert provider.get("/api/v1/registrations")["registrations"][0]["aor"].startswith("sip:salle-101@")
            assert running.end() == 0
        wait(lambda: provider.get("/api/v1/registrations")["registrations"] == [])


class LossyProvider:
    """Answers each REGISTER with 200, but loses the first ``lost`` of those that take the Contact back."""

    def __init__(self, lost: int) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(0.1)
        self.lost, self.goodbyes, self.running = lost, 0, True
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while self.running:
            with contextlib.suppress(TimeoutError):
                data, peer = self.sock.recvfrom(65536)
                lines = data.decode().split("\r\n")
                if not lines[0].startswith("REGISTER"):
                    continue
                expires = next(line for line in lines if line.startswith("Expires"))
                self.goodbyes += expires == "Expires: 0"
                if expires == "Expires: 0" and self.goodbyes <= self.lost:
                    continue
                kept = [line for line in lines if line.startswith(("Via", "From", "To", "Call-ID", "CSeq", "Expires"))]
                answer = ["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]
                self.sock.sendto("\r\n".join(answer).encode(), peer)

    def close(self) -> None:
        self.running = False
        self._thread.join()
        self.sock.close()


@pytest.mark.parametrize(("lost", "sent"), [(0, 1), (2, 3)])
def test_two_lost_packets_do_not_leave_our_contact_with_a_provider(tmp_path: Path, lost: int, sent: int) -> None:
    with contextlib.closing(LossyProvider(lost)) as provider:
        host, port = provider.sock.getsockname()
        (tmp_path / "visiopont.toml").write_text(
            f'[[sip.providers]]\nregistrar = "sip:{host}:{port}"\nuser = "salle-101"\n'
        )
        with bridge(tmp_path) as running:
            wait(lambda: any(each["registered"] for each in running.get("/api/v1/registrations")["registrations"]))
            assert running.end() == 0
            assert "a provider did not answer" not in running.log.read_text()
        assert provider.goodbyes == sent


def test_a_provider_that_is_gone_holds_the_end_up_for_two_seconds_at_most(tmp_path: Path) -> None:
    with contextlib.closing(LossyProvider(99)) as provider:
        host, port = provider.sock.getsockname()
        (tmp_path / "visiopont.toml").write_text(
            f'[[sip.providers]]\nregistrar = "sip:{host}:{port}"\nuser = "salle-101"\n'
        )
        with bridge(tmp_path) as running:
            wait(lambda: any(each["registered"] for each in running.get("/api/v1/registrations")["registrations"]))
            begun = time.monotonic()
            assert running.end() == 0
            assert time.monotonic() - begun < 6
            assert "a provider did not answer" in running.log.read_text()


def wait(true: Callable[[], bool], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_commands_show_and_move_a_running_bridge(tmp_path: Path) -> None:
    def command(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli.app, [*words, "--server", running.http], env={"COLUMNS": "120"})
        return done.exit_code, done.output

    async def call() -> None:
        async with phone(running.udp) as mine:
            host, port = mine.flow.local
            bob = f"sip:bob@{host}:{port}"
            calling = f"Calling {bob} into room demo (participant %d).\n"
            assert await asyncio.to_thread(command, "call", bob, "--room", "demo", "--no-wait") == (0, calling % 4)
            assert (await mine.next(sip.IncomingCall)).offer
            assert "being called" in (await asyncio.to_thread(command, "rooms"))[1]
            told = asyncio.create_task(asyncio.to_thread(command, "call", bob, "--room", "demo"))
            second = await mine.next(sip.IncomingCall)
            mine.endpoint.reject(second.call, 486, time.monotonic())
            mine.driver.drain()
            code, said = await told
            assert (code, said.startswith(calling % 5)) == (1, True)
            assert f"{bob} did not come: 486 Busy Here." in said

    with bridge(tmp_path, command="demo") as running:
        code, said = command("rooms")
        assert code == 0
        assert "June" in said
        code, said = command("top", "--once")
        assert code == 0
        assert "participants 3" in said
        asyncio.run(call())
        assert running.end() == 0
    code, said = command("rooms")
    assert code == 1
    assert "no bridge answers" in said


OPENSSL = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"),
    *("-subj", "/CN=bridge", "-addext", "subjectAltName=IP:127.0.0.1"),
)


def test_calls_come_by_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        [*OPENSSL, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=20,
    )
    (tmp_path / "visiopont.toml").write_text(f'[sip]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n')
    with bridge(tmp_path, "--sip", "tls:127.0.0.1:0") as running:
        host, port = running.get("/api/v1/bridge")["listeners"][0].removeprefix("tls:").rsplit(":", 1)
        context = ssl.create_default_context(cafile=str(certificate))
        with (
            socket.create_connection((host, int(port)), 5) as plain,
            context.wrap_socket(plain, server_hostname=host) as sock,
        ):
            request = OPTIONS.replace("/UDP", "/TLS").format(host=host, port=port, mine="127.0.0.1:5061")
            sock.sendall(request.encode())
            assert sock.recv(65536).startswith(b"SIP/2.0 200 ")
        assert running.end() == 0
        assert "Traceback" not in running.log.read_text()


def test_the_demo_is_seen(tmp_path: Path) -> None:
    base = 27200 + os.getpid() % 100 * 4
    with bridge(tmp_path, "--video-ports", f"{base}-{base + 3}", command="demo") as running:
        status = running.get("/api/v1/status")
        [worker] = status["video_workers"]
        assert (worker["failed"], worker["streams"]) == (False, 3)
        picture = tmp_path / "demo.png"
        result = CliRunner().invoke(cli.app, ["snapshot", "demo", "--out", str(picture), "--server", running.http])
        assert result.exit_code == 0, result.output
        assert picture.read_bytes().startswith(b"\x89PNG\r\n")
        result = CliRunner().invoke(cli.app, ["snapshot", "nowhere", "--out", str(picture), "--server", running.http])
        assert result.exit_code == 1
        assert "visiopont_video_streams" in httpx.get(running.http + "/metrics").text
        result = CliRunner().invoke(cli.app, ["transfer", "demo", "1", "sip:a@127.0.0.1", "--server", running.http])
        assert result.exit_code == 1, "a simulated talker has no call"
        assert running.end() == 0
