"""A real server process with its own ports and data directory."""

from __future__ import annotations

import datetime
import ipaddress
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .phones import ACCOUNT, PASSWORD
from .ports import free_ports
from .process import Process, until

ROOT = Path(__file__).resolve().parents[2]
SILENCE = 6
"""Seconds without a packet after which a call is taken for lost; the default of 60 is no time for a test."""
QUIET = {"entry": "silent", "announce_alone": False, "announce_people": False}
"""A room in which nothing is played that isn't said."""


def certificate(directory: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


NO_VIDEO = """
            [video]
            enabled = false
            """


class Server:
    """``visiopont serve``. Leaving it stops it by SIGTERM, and sees that it ended well and logged no traceback."""

    def __init__(self, directory: Path, *, more: str = "", streams: int = 256) -> None:
        self._directory = directory
        self.certificate = certificate(directory)
        self.port, self.tls_port, self._http = free_ports(2), free_ports(2), free_ports(2)
        media = free_ports(32)
        (directory / "visiopont.toml").write_text(
            f"""
            [sip]
            listen = ["udp:127.0.0.1:{self.port}", "tcp:127.0.0.1:{self.port}", "tls:127.0.0.1:{self.tls_port}"]
            tls_certificate = "{self.certificate}"
            accounts = [{{ user = "{ACCOUNT}", password = "{PASSWORD}" }}]
            [media]
            ports = "{media}-{media + 31}"
            streams = {streams}
            silence_timeout = {SILENCE}
            [http]
            listen = "127.0.0.1:{self._http}"
            [storage]
            data = "{directory / "data"}"
            {more if "[video]" in more else more + NO_VIDEO}
            """
        )
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{self._http}/api/v1", timeout=5.0)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "server.cli", "serve"]
        self.process = Process(
            [*command, "--config", str(self._directory / "visiopont.toml")],
            self._directory / "server.log",
            limit=900.0,
            grace=20.0,
            cwd=ROOT,
        )
        try:
            until(self._ready, "a server that is ready", 20.0)
        except BaseException as error:
            error.add_note(f"--- {self.process.log}\n{self.process.text[-4000:]}")
            self.process.kill()
            self.api.close()
            raise
        return self

    def _ready(self) -> bool:
        if not self.process.running:
            raise RuntimeError("the server ended")
        try:
            return httpx.get(f"http://127.0.0.1:{self._http}/ready", timeout=1.0).status_code == 200
        except httpx.HTTPError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.api.close()
        status = self.process.stop(15.0)
        log = self.process.text
        if kind is None:
            assert "Traceback" not in log, log[-6000:]
            assert status == 0, f"the server ended with {status}\n{log[-3000:]}"

    def uri(self, user: str, transport: str = "udp") -> str:
        """Without the transport parameter."""
        return f"sip:{user}@127.0.0.1:{self.tls_port if transport == 'tls' else self.port}"

    def open(self, name: str, **settings: Any) -> str:
        """A room, and how it is dialled."""
        answer = self.api.post("/rooms", json={"name": name, **QUIET, **settings})
        if answer.status_code == 409:  # of the test's first try
            self.api.delete(f"/rooms/{name}")
            answer = self.api.post("/rooms", json={"name": name, **QUIET, **settings})
        assert answer.status_code == 201, answer.text
        return self.uri(name)

    def post(self, path: str, **body: Any) -> Any:
        answer = self.api.post(path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json()

    def people(self, room: str) -> list[dict[str, Any]]:
        """Who is in ``room``, as the API says."""
        answer = self.api.get(f"/rooms/{room}")
        return list(answer.json().get("participants", [])) if answer.is_success else []

    def await_people(self, room: str, count: int, seconds: float = 10.0) -> list[dict[str, Any]]:
        until(lambda: len(self.people(room)) == count, f"{count} in {room}: {self.people(room)}", seconds)
        return self.people(room)

    def tracebacks(self) -> int:
        return self.process.text.count("Traceback")


def settle(seconds: float = 0.6) -> None:
    """Let what was on its way arrive: the jitter buffers at both ends hold up to a quarter of a second."""
    time.sleep(seconds)
