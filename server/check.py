"""``visiopont check``: what is wrong with this machine or these settings, and what to do about it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from bridge.io import Listener
from bridge.media.wire import open_socket
from bridge.resolve import Resolver, Unresolved
from bridge.signalling.flow import Transport

from . import derived, tls
from .probe import PATIENCE, Answered, NoAnswer, ask
from .settings import Settings, is_loopback, parse_address, parse_ports
from .words import decimal, say, translated

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
    running = running_bridge(settings)
    yield from _platform()
    yield from _rooms(settings)
    if running:
        said = say("one runs already, process {pid}: its ports are not free, of course", pid=running["pid"])
        yield Finding("ok", say("bridge"), said)
    yield from _listeners(settings, running)
    yield from _http(settings, running)
    yield from _tls(settings)
    yield from _providers(settings)
    yield from _media(settings, running)
    yield from _video(settings, running)
    yield from _codecs(settings)
    yield from _clock()
    yield from _kernel(settings)
    yield from _data(settings)


def limits(settings: Settings) -> Iterator[Finding]:
    """What does not keep a bridge from starting, but from holding many callers."""
    yield from _workers(settings)
    yield from _kernel(settings)


def _platform() -> Iterator[Finding]:
    if platform.system() != "Linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        advice = say("Visiopont needs 64-bit Linux (recvmmsg, sendmmsg).")
        yield Finding("error", say("platform"), platform.platform(), advice)
    else:
        yield Finding(
            "ok", say("platform"), f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
        )


def running_bridge(settings: Settings) -> Mapping[str, Any]:
    """What the bridge that listens on our HTTP address says of itself; empty: none does."""
    if not settings.http.listen:
        return {}
    try:
        answer = httpx.get(f"{_here(settings)}/api/v1/bridge", timeout=2, verify=False)
        found = answer.json()
    except (httpx.HTTPError, ValueError):
        return {}
    return found if answer.is_success and isinstance(found, dict) and "pid" in found else {}


def _here(settings: Settings) -> str:
    """What the API's addresses begin with, on this machine."""
    host, port = parse_address(settings.http.listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{'https' if settings.http.tls_certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _rooms(settings: Settings) -> Iterator[Finding]:
    try:
        rooms = derived.rooms(settings)
    except ValueError as error:
        yield Finding("error", say("rooms"), translated(str(error)), say("Mend that key in the settings file."))
    else:
        yield Finding("ok", say("rooms"), ", ".join(room.name for room in rooms) or say("none from the start"))


def _listeners(settings: Settings, running: Mapping[str, Any]) -> Iterator[Finding]:
    for text in settings.sip.listen:
        listener = Listener.parse(text)
        kind = socket.SOCK_DGRAM if listener.transport is Transport.UDP else socket.SOCK_STREAM
        fault = _taken(listener.host, listener.port, kind)
        if not fault:
            yield Finding("ok", f"SIP {listener}", say("free"))
        elif same := _same_port(listener, running):
            there = say("the running bridge listens there ({listener})", listener=same)
            yield Finding("ok", f"SIP {listener}", there)
        else:
            advice = say("Stop what uses it (ss -lnp shows it), or listen elsewhere with --sip.")
            yield Finding("error", f"SIP {listener}", fault, advice)


def _same_port(listener: Listener, running: Mapping[str, Any]) -> str:
    """The running bridge's listener that is in the way; empty: none is."""
    ours = [Listener.parse(text) for text in running.get("listeners", ())]
    near = [str(o) for o in ours if (o.transport, o.port) == (listener.transport, listener.port)]
    return str(listener) if str(listener) in near else next(iter(near), "")


def _http(settings: Settings, running: Mapping[str, Any]) -> Iterator[Finding]:
    if not settings.http.listen:
        advice = say("Without it `visiopont rooms`, `call` and `top` see nothing.")
        yield Finding("warning", "HTTP", say("off"), advice)
        return
    yield from _https(settings)
    fault = _taken(*parse_address(settings.http.listen), socket.SOCK_STREAM)
    if not fault:
        yield Finding("ok", f"HTTP {settings.http.listen}", say("free"))
    elif running:
        yield Finding("ok", f"HTTP {settings.http.listen}", say("the running bridge answers"))
    else:
        advice = say("Stop what uses it (ss -lntp shows it), or listen elsewhere with --http.")
        yield Finding("error", f"HTTP {settings.http.listen}", fault, advice)


def _https(settings: Settings) -> Iterator[Finding]:
    http = settings.http
    try:
        context = tls.server_context(http)
    except OSError as error:
        advice = say("Check that both files are readable, are PEM, and belong together.")
        yield Finding("error", "HTTPS", translated(str(error)), advice)
        return
    if context is not None:
        yield Finding("ok", "HTTPS", http.tls_certificate)
    elif not is_loopback(parse_address(http.listen)[0]) and not http.public_url:
        advice = say("Set [http] tls_certificate (and tls_key), or [http] public_url where a proxy speaks HTTPS.")
        yield Finding("warning", "HTTPS", say("browsers elsewhere get neither camera nor microphone"), advice)


def _taken(host: str, port: int, kind: socket.SocketKind) -> str:
    """Why we can't listen there; empty: we can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, kind) as sock:
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except OSError as error:
        return translated(error.strerror or str(error))
    return ""


def _tls(settings: Settings) -> Iterator[Finding]:
    wanted = [text for text in settings.sip.listen if text.startswith("tls:")]
    if not wanted:
        return
    try:
        context = tls.server_context(settings.sip)
        tls.client_context(settings.sip)
    except OSError as error:
        advice = say("Check that both files are readable, are PEM, and belong together.")
        yield Finding("error", "TLS", translated(str(error)), advice)
        return
    if context is None:
        advice = say("Set [sip] tls_certificate (and tls_key) to PEM files.")
        yield Finding("error", "TLS", say("no certificate"), advice)
    else:
        yield Finding("ok", "TLS", settings.sip.tls_certificate)


def _providers(settings: Settings) -> Iterator[Finding]:
    """Those that we register with, all asked at once."""
    registrars = list(dict.fromkeys(provider.registrar for provider in settings.sip.providers))
    if not registrars:
        return

    async def all_of_them() -> list[Answered | BaseException]:
        resolver = Resolver()
        asked = (ask(registrar, settings.sip, resolver) for registrar in registrars)
        return await asyncio.gather(*asked, return_exceptions=True)

    for registrar, outcome in zip(registrars, asyncio.run(all_of_them()), strict=True):
        yield _provider(say("provider {registrar}", registrar=registrar), outcome)


def _provider(subject: str, outcome: Answered | BaseException) -> Finding:
    match outcome:
        case Answered(code, reason, where):
            said = say("{where} answers {code} {reason}", where=where, code=code, reason=reason)
            if code < 500 or code == 501:  # whatever it thinks of OPTIONS from a stranger, it is there
                return Finding("ok", subject, said)
            return Finding("warning", subject, said, say("It takes no requests now; ask the provider if that lasts."))
        case NoAnswer():
            said = say("no answer from {addresses} in {seconds} s", addresses=outcome, seconds=decimal(PATIENCE, 1))
            advice = say(
                "Check registrar in [[sip.providers]], and that a firewall lets SIP through both ways. For TLS, see "
                "also [sip] tls_authorities."
            )
            return Finding("error", subject, said, advice)
        case Unresolved() | ValueError():
            advice = say("Check registrar in [[sip.providers]], [sip] listen, and this machine's name servers.")
            return Finding("error", subject, translated(str(outcome)), advice)
        case OSError():
            return Finding("error", subject, translated(outcome.strerror or str(outcome)), say("Mend that first."))
        case _:
            raise outcome


def _media(settings: Settings, running: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _workers(settings)
    subject, wanted = say("media ports"), settings.media.ports
    used = running.get("media_ports") == wanted
    yield from _ports(settings, subject, wanted, used=used, advice=say("Set --media-ports."))


def _video(settings: Settings, running: Mapping[str, Any]) -> Iterator[Finding]:
    subject, video = say("video ports"), settings.video
    if not video.enabled:
        yield Finding("ok", subject, say("pictures are turned off"))
        return
    used = running.get("video_ports") == video.ports
    yield from _ports(settings, subject, video.ports, used=used, advice=say("Set --video-ports."))
    if video.presentation and not used:
        yield from _floor(settings)
    for name in video.codecs:
        fault = _without(name)
        if fault:
            advice = say("Take it out of [video] codecs, or mend the installation.")
            yield Finding("error", say("codec {name}", name=name), fault, advice)
        else:
            yield Finding("ok", say("codec {name}", name=name), say("works"))


def _floor(settings: Settings) -> Iterator[Finding]:
    port, host = settings.video.bfcp_port, derived.media_host(settings) or "::"
    try:
        open_socket(host, port, buffer=4096).close()
    except OSError as error:
        fault = say("{port} is not free: {error}", port=port, error=translated(error.strerror or str(error)))
        yield Finding(
            "warning", "BFCP", fault, say("Any other port serves; set [video] bfcp_port where a firewall must know it.")
        )
    else:
        yield Finding("ok", "BFCP", say("port {port} is free", port=port))


def _without(name: str) -> str:
    """What libavcodec lacks for a video codec; "": nothing."""
    from av import Codec
    from av.codec.codec import UnknownCodecError

    from bridge.media.video.formats import by_name

    try:
        known = by_name(name)
        Codec(known.decoder, "r")
        if known.encoder:
            Codec(known.encoder, "w")
    except LookupError:
        return say("nobody knows it")
    except UnknownCodecError as error:
        return translated(str(error))
    return ""


def _ports(settings: Settings, subject: str, wanted: str, *, used: bool, advice: str) -> Iterator[Finding]:
    """``used``: they are the running bridge's."""
    if used:
        yield Finding("ok", subject, say("{ports} serve the running bridge", ports=wanted))
        return
    ports = parse_ports(wanted)
    host = derived.media_host(settings) or "::"
    taken = []
    for port in ports:
        try:
            open_socket(host, port, buffer=4096).close()
        except OSError as error:
            taken.append((port, error.strerror or str(error)))
    if len(taken) >= len(ports) - 1:
        fault = say("none of {ports} is free: {error}", ports=wanted, error=translated(taken[0][1]))
        yield Finding("error", subject, fault, advice)
    elif taken:
        some = say("{taken} of {all} are taken; the others serve.", taken=len(taken), all=len(ports))
        yield Finding("warning", subject, some)
    else:
        yield Finding("ok", subject, say("{ports} free", ports=wanted))


def _workers(settings: Settings) -> Iterator[Finding]:
    cores, media = len(os.sched_getaffinity(0)), settings.media
    if media.workers > max(1, cores - 1):
        said = say("{workers} workers on {cores} cores", workers=media.workers, cores=cores)
        advice = say("Leave a core to signalling: --workers {workers}.", workers=max(1, cores - 1))
        yield Finding("warning", say("workers"), said, advice)
    else:
        yield Finding("ok", say("workers"), say("{workers} on {cores} cores", workers=media.workers, cores=cores))
    streams = media.workers * media.streams
    if settings.sip.max_calls > streams:
        said = say(
            "[sip] max_calls is {calls}, but the workers hold {streams} streams",
            calls=settings.sip.max_calls,
            streams=streams,
        )
        advice = say("Raise [media] workers or streams, or lower max_calls.")
        yield Finding("warning", say("calls"), said, advice)


def _codecs(settings: Settings) -> Iterator[Finding]:
    from bridge.media.codecs import by_name

    for text in settings.media.codecs:
        name, _, clock = text.partition("/")
        default = {"OPUS": 48000}.get(name.upper(), 8000)
        try:
            by_name(name.upper(), int(clock or default))
        except (LookupError, ValueError, OSError) as error:
            advice = say("Take it out of [media] codecs, or mend the installation.")
            yield Finding("error", say("codec {name}", name=text), translated(str(error)), advice)
        else:
            yield Finding("ok", say("codec {name}", name=text), say("works"))


def _clock() -> Iterator[Finding]:
    resolution = time.get_clock_info("monotonic").resolution
    late = []
    for _ in range(25):
        start = time.monotonic()
        time.sleep(0.002)
        late.append(time.monotonic() - start - 0.002)
    worst = max(late) * 1000
    if resolution > 1e-4 or worst > 10:
        said = say("a 2 ms sleep took up to {longest} ms", longest=decimal(worst + 2, 1))
        yield Finding("warning", say("clock"), said, say("This machine is too busy for steady sound."))
    else:
        yield Finding("ok", say("clock"), say("wakes within {worst} ms", worst=decimal(worst, 2)))

    class Timex(ctypes.Structure):
        _fields_ = (("modes", ctypes.c_uint), ("pad", ctypes.c_byte * 512))

    if ctypes.CDLL(None).adjtimex(ctypes.byref(Timex())) == 5:  # TIME_ERROR
        advice = say("Run an NTP client: call records carry its time (media does not).")
        yield Finding("warning", say("wall clock"), say("not synchronised"), advice)


def _kernel(settings: Settings) -> Iterator[Finding]:
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    with open_socket(derived.media_host(settings) or "::", 0) as sock:
        got = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    if got < 4 << 20:
        said = say("{size} kB a media socket (net.core.rmem_max is {limit})", size=got >> 10, limit=limit)
        advice = say(
            "For more than some hundred callers: sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608."
        )
        yield Finding("warning", say("socket buffers"), said, advice)
    else:
        yield Finding("ok", say("socket buffers"), say("{size} MB a media socket", size=got >> 20))


def _data(settings: Settings) -> Iterator[Finding]:
    data = settings.storage.data
    try:
        data.mkdir(parents=True, exist_ok=True)
        probe = data / ".probe"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        advice = say("Choose a writable one with --data.")
        yield Finding("error", say("data directory"), translated(str(error)), advice)
    else:
        yield Finding("ok", say("data directory"), str(data))
