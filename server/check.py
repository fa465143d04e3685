"""``visiopont check``: what is wrong with this machine or these settings, and what to do about it."""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bridge.io import Listener
from bridge.media.wire import open_socket
from bridge.signalling.flow import Transport

from .settings import Settings, parse_ports

Verdict = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    verdict: Verdict
    subject: str
    detail: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """All findings, in the order in which one would set things right."""
    yield from _platform()
    yield from _listeners(settings)
    yield from _tls(settings)
    yield from _media(settings)
    yield from _codecs(settings)
    yield from _clock()
    yield from _kernel(settings)
    yield from _data(settings)


def _platform() -> Iterator[Finding]:
    if platform.system() != "Linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        yield Finding("error", "platform", platform.platform(), "Visiopont needs 64-bit Linux (recvmmsg, sendmmsg).")
    else:
        yield Finding("ok", "platform", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}")


def _listeners(settings: Settings) -> Iterator[Finding]:
    for text in settings.sip.listen:
        listener = Listener.parse(text)
        kind = socket.SOCK_DGRAM if listener.transport is Transport.UDP else socket.SOCK_STREAM
        family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
        try:
            with socket.socket(family, kind) as sock:
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((listener.host, listener.port))
        except OSError as error:
            yield Finding(
                "error",
                f"SIP {listener}",
                error.strerror or str(error),
                "Stop what uses it (ss -lnp shows it), or listen elsewhere with --sip.",
            )
        else:
            yield Finding("ok", f"SIP {listener}", "free")


def _tls(settings: Settings) -> Iterator[Finding]:
    wanted = [text for text in settings.sip.listen if text.startswith("tls:")]
    if not wanted:
        return
    if not settings.sip.tls_certificate:
        yield Finding("error", "TLS", "no certificate", "Set [sip] tls_certificate (and tls_key) to PEM files.")
        return
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.sip.tls_certificate, settings.sip.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        yield Finding("error", "TLS", str(error), "Check that both files are readable, are PEM, and belong together.")
    else:
        yield Finding("ok", "TLS", settings.sip.tls_certificate)


def _media(settings: Settings) -> Iterator[Finding]:
    ports = parse_ports(settings.media.ports)
    host = settings.media.host or "::"
    taken = []
    for port in ports:
        try:
            open_socket(host, port, buffer=4096).close()
        except OSError as error:
            taken.append((port, error.strerror))
    if len(taken) >= len(ports) - 1:
        yield Finding(
            "error", "media ports", f"none of {settings.media.ports} is free: {taken[0][1]}", "Set --media-ports."
        )
    elif taken:
        yield Finding("warning", "media ports", f"{len(taken)} of {len(ports)} are taken; the others serve.")
    else:
        yield Finding("ok", "media ports", f"{settings.media.ports} free")
    cores = len(os.sched_getaffinity(0))
    if settings.media.workers > max(1, cores - 1):
        yield Finding(
            "warning",
            "workers",
            f"{settings.media.workers} workers on {cores} cores",
            f"Leave a core to signalling: --workers {max(1, cores - 1)}.",
        )
    else:
        yield Finding("ok", "workers", f"{settings.media.workers} on {cores} cores")


def _codecs(settings: Settings) -> Iterator[Finding]:
    from bridge.media.codecs import by_name

    for text in settings.media.codecs:
        name, _, clock = text.partition("/")
        default = {"OPUS": 48000}.get(name.upper(), 8000)
        try:
            by_name(name.upper(), int(clock or default))
        except (LookupError, ValueError, OSError) as error:
            yield Finding(
                "error", f"codec {text}", str(error), "Take it out of [media] codecs, or mend the installation."
            )
        else:
            yield Finding("ok", f"codec {text}", "works")


def _clock() -> Iterator[Finding]:
    resolution = time.get_clock_info("monotonic").resolution
    late = []
    for _ in range(25):
        start = time.monotonic()
        time.sleep(0.002)
        late.append(time.monotonic() - start - 0.002)
    worst = max(late) * 1000
    if resolution > 1e-4 or worst > 10:
        yield Finding(
            "warning",
            "clock",
            f"a 2 ms sleep took up to {worst + 2:.1f} ms",
            "This machine is too busy for steady sound.",
        )
    else:
        yield Finding("ok", "clock", f"wakes within {worst:.2f} ms")

    class Timex(ctypes.Structure):
        _fields_ = (("modes", ctypes.c_uint), ("pad", ctypes.c_byte * 512))

    if ctypes.CDLL(None).adjtimex(ctypes.byref(Timex())) == 5:  # TIME_ERROR
        yield Finding(
            "warning",
            "wall clock",
            "not synchronised",
            "Run an NTP client: call records carry its time (media does not).",
        )


def _kernel(settings: Settings) -> Iterator[Finding]:
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    with open_socket(settings.media.host or "::", 0) as sock:
        got = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    if got < 4 << 20:
        yield Finding(
            "warning",
            "socket buffers",
            f"{got >> 10} kB a media socket (net.core.rmem_max is {limit})",
            "For more than some hundred callers: sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608.",
        )
    else:
        yield Finding("ok", "socket buffers", f"{got >> 20} MB a media socket")


def _data(settings: Settings) -> Iterator[Finding]:
    data = settings.storage.data
    try:
        data.mkdir(parents=True, exist_ok=True)
        probe = data / ".probe"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        yield Finding("error", "data directory", str(error), "Choose a writable one with --data.")
    else:
        yield Finding("ok", "data directory", str(data))
