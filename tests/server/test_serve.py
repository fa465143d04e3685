"""The real process, as an operator starts and ends it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.server.process import ROOT, bridge

pytestmark = pytest.mark.timeout(60)

OPTIONS = (
    "OPTIONS sip:demo@{host}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {mine};branch=z9hG4bKtest;rport\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:t@{mine}>;tag=1\r\nTo: <sip:demo@{host}>\r\nCall-ID: test\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


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
