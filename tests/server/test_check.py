"""``visiopont check`` says what is wrong and what to do."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from server import check
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
