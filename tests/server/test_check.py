"""``visiopont check`` says what is wrong and what to do."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge.signalling.message import Request, Response, parse
from server import check, probe
from server.check import Finding, examine
from server.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def make(**flags: Any) -> Settings:
        flags.setdefault("sip", {"listen": ("udp:127.0.0.1:0",)})
        flags.setdefault("http", {"listen": "127.0.0.1:0"})
        flags.setdefault("media", {"ports": "27800-27803"})
        flags.setdefault("video", {"ports": "27804-27807"})
        return load(None, flags)

    return make


def found(settings: Settings, subject: str) -> Finding:
    return next(finding for finding in examine(settings) if finding.subject.startswith(subject))


def test_a_machine_that_is_fit_has_no_errors(settings: Any) -> None:
    errors = [finding for finding in examine(settings()) if finding.verdict == "error"]
    assert errors == []


def test_a_taken_sip_port_is_an_error_that_says_what_to_do(settings: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        text = f"udp:127.0.0.1:{taken.getsockname()[1]}"
        finding = found(settings(sip={"listen": (text,)}), "SIP")
    assert finding.verdict == "error"
    assert "--sip" in finding.advice


def test_ports_of_the_running_bridge_are_no_riddle(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        text = f"udp:127.0.0.1:{taken.getsockname()[1]}"
        running = {"pid": 4711, "listeners": [text], "media_ports": "27800-27803"}
        monkeypatch.setattr(check, "running_bridge", lambda settings: running)
        said = list(examine(settings(sip={"listen": (text,)})))
    assert not [finding for finding in said if finding.verdict == "error"]
    assert any("4711" in finding.detail for finding in said)


def test_media_ports_that_are_all_taken_are_an_error(settings: Any) -> None:
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
    try:
        for n, sock in enumerate(socks):
            sock.bind(("127.0.0.1", 27800 + n))
        assert found(settings(), "media ports").verdict == "error"
    finally:
        for sock in socks:
            sock.close()


@pytest.mark.parametrize(
    ("flags", "subject", "says"),
    [
        ({"sip": {"listen": ("tls:127.0.0.1:0",)}}, "TLS", "no certificate"),
        ({"sip": {"listen": ("tls:127.0.0.1:0",), "tls_certificate": "nix.pem"}}, "TLS", "nix.pem"),
        ({"sip": {"listen": ("tls:127.0.0.1:0",), "tls_authorities": "nix.pem"}}, "TLS", "authorities nix.pem"),
        ({"media": {"ports": "27800-27803", "codecs": ("PCMU", "SPEEX")}}, "codec SPEEX", "SPEEX"),
        ({"room": {"a": {"capacty": 3}}}, "rooms", "capacty"),
        ({"storage": {"data": "/proc/nowhere"}}, "data", "/proc/nowhere"),
    ],
)
def test_each_fault_is_an_error_with_advice(settings: Any, flags: Any, subject: str, says: str) -> None:
    finding = found(settings(**flags), subject)
    assert finding.verdict == "error"
    assert says in finding.detail
    assert finding.advice


class Server:
    """A registrar at a port of its own that answers every request with one code; 0: with nothing."""

    def __init__(self, code: int) -> None:
        self.code, self.got = code, []  # type: tuple[int, list[Request]]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.uri = f"sip:127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while True:
            data, there = self._socket.recvfrom(4096)
            if not data:
                return
            request = parse(data)
            assert isinstance(request, Request)
            self.got.append(request)
            if self.code:
                self._socket.sendto(bytes(Response.answering(request, self.code, tag="t")), there)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


def provider(settings: Any, registrar: str, listen: str = "udp:127.0.0.1:0") -> Finding:
    flags = {"listen": (listen,), "providers": ({"registrar": registrar, "user": "salle"},)}
    (finding,) = check._providers(settings(sip=flags))
    return finding


@pytest.mark.parametrize(("code", "verdict"), [(200, "ok"), (404, "ok"), (401, "ok"), (501, "ok"), (503, "warning")])
def test_a_provider_that_answers_is_there_whatever_it_says(settings: Any, code: int, verdict: str) -> None:
    with Server(code) as server:
        finding = provider(settings, server.uri)
    assert finding.verdict == verdict
    assert f"udp:127.0.0.1:{server.uri.rpartition(':')[2]} answers {code}" in finding.detail
    assert [request.method for request in server.got] == ["OPTIONS"]
    assert bool(finding.advice) is (verdict != "ok")


def test_a_provider_that_says_nothing_is_an_error(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 0.2)
    with Server(0) as server:
        finding = provider(settings, server.uri)
    assert finding.verdict == "error"
    assert "no answer from udp:127.0.0.1" in finding.detail
    assert "firewall" in finding.advice


def test_a_provider_that_refuses_connections_is_an_error(settings: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"sip:127.0.0.1:{closed.getsockname()[1]};transport=tcp"
        finding = provider(settings, uri, "tcp:127.0.0.1:0")
    assert finding.verdict == "error"
    assert "no answer from tcp:127.0.0.1" in finding.detail


def test_a_provider_that_no_listener_reaches_or_nobody_knows_is_an_error(settings: Any) -> None:
    finding = provider(settings, "sip:127.0.0.1:5060;transport=tls")
    assert finding.verdict == "error"
    assert "sip.listen" in finding.detail
    assert "[sip] listen" in finding.advice
    assert provider(settings, "sip:nowhere.invalid").verdict == "error"


def test_providers_are_part_of_the_report(settings: Any) -> None:
    with Server(200) as server:
        flags = {"listen": ("udp:127.0.0.1:0",), "providers": ({"registrar": server.uri, "user": "salle"},)}
        assert found(settings(sip=flags), "provider").verdict == "ok"


def test_more_workers_than_cores_is_a_warning(settings: Any) -> None:
    assert found(settings(media={"ports": "27800-27803", "workers": 200}), "workers").verdict == "warning"


def test_more_calls_than_streams_is_a_warning(settings: Any) -> None:
    assert found(settings(media={"ports": "27800-27803", "streams": 16}), "calls").verdict == "warning"


def test_pictures_are_looked_at_too(settings: Any) -> None:
    assert found(settings(), "video ports").verdict == "ok"
    assert found(settings(), "codec H264").verdict == "ok"
    assert found(settings(video={"enabled": False}), "video ports").detail == "pictures are turned off"
    wrong = settings(video={"ports": "27804-27807", "codecs": ("H264", "THEORA")})
    assert found(wrong, "codec THEORA").verdict == "error"
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:
        taken.bind(("::", 0))
        port = taken.getsockname()[1]
        assert found(settings(video={"ports": "27804-27807", "bfcp_port": port}), "BFCP").verdict == "warning"
