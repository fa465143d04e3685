"""What the settings mean to each part of the bridge."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bridge.conference import speech
from bridge.conference.focus import FocusSettings
from bridge.conference.phrase import Spoken
from bridge.conference.settings import RoomSettings
from bridge.io import Listener
from bridge.media.video.h264_level import level_for
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.flow import Transport
from bridge.signalling.message import Uri
from bridge.signalling.offer import Capabilities
from bridge.signalling.registrar import RegistrarSettings
from bridge.signalling.video_codec import VideoCapabilities

from .http import Access
from .route import main_address, own_addresses, same_family
from .settings import Settings, is_loopback, parse_address, parse_ports

EVERYWHERE = ("0.0.0.0", "::")
Contacts = Mapping[tuple[Transport, tuple[str, int]], tuple[str, int]]


def rooms(settings: Settings) -> list[RoomSettings]:
    """The ``[room.NAME]`` sections.

    Raises:
        ValueError: names the room and the key.
    """
    found = []
    for name, section in settings.room.items():
        try:
            found.append(RoomSettings.read(name, defaults(settings) | section))
        except ValueError as error:
            raise ValueError(f"[room.{name}] {error}") from None
    return found


def defaults(settings: Settings) -> dict[str, object]:
    """What a room is like that says nothing else."""
    return {
        "language": settings.rooms.language,
        "capacity": settings.rooms.capacity,
        "loudest": settings.media.loudest,
        "agc": settings.media.agc,
    }


def focus(settings: Settings) -> FocusSettings:
    """Raises ValueError for codecs that nobody knows."""
    prompts = settings.rooms.prompts

    @functools.lru_cache(maxsize=512)
    def clips(spoken: Spoken, language: str) -> tuple[str, ...]:
        return speech.clips(spoken, language, prompts)

    return FocusSettings(
        capabilities=Capabilities.of(settings.media.codecs, settings.media.srtp),
        clips=clips,
        template=RoomSettings.read("template", defaults(settings)),
        ad_hoc=settings.rooms.ad_hoc,
        entries={user.lower(): language for user, language in settings.rooms.entries.items()},
        max_rooms=settings.rooms.limit,
        streams=settings.media.streams,
        silence_timeout=settings.media.silence_timeout,
        refer=settings.rooms.refer,
        # Behind a NAT its address is the one to tell, wherever the sockets are.
        media_host="" if settings.sip.address or settings.media.host in EVERYWHERE else settings.media.host,
    )


def endpoint(settings: Settings, contacts: Contacts, route: Callable[[str], str], version: str) -> EndpointSettings:
    """``contacts`` may be filled later: the listeners' ports are known when they are open."""
    return EndpointSettings(
        contacts=contacts,
        route=route,
        domains=domains(settings),
        user_agent=f"Visiopont/{version}",
        realm=settings.sip.realm,
        authenticate_calls=settings.sip.require_authentication,
        max_calls=settings.sip.max_calls,
        max_calls_per_second=float(settings.sip.calls_per_second),
        call_burst=2 * settings.sip.calls_per_second,
        session_expires=settings.sip.session_expires,
    )


def domains(settings: Settings) -> frozenset[str]:
    """Hosts that mean us, lower case. Without ``[sip] domains`` whatever reaches us is for us."""
    if not settings.sip.domains:
        return frozenset()
    named = {name.lower() for name in (*settings.sip.domains, settings.sip.address) if name}
    listening = {Listener.parse(text).host for text in settings.sip.listen} - set(EVERYWHERE)
    return frozenset(named | listening | own_addresses())


def registrar(settings: Settings) -> RegistrarSettings:
    named = [*settings.sip.domains, settings.sip.address, "localhost"]
    return RegistrarSettings(domain=next(filter(None, named)), domains=domains(settings))


def ours(settings: Settings, uri: Uri, listeners: Sequence[Listener]) -> bool:
    """It means us: by a name of ours, or by an address of this machine with a port on which we listen."""
    host = uri.host.strip("[]").lower()
    named = {name.lower() for name in (*settings.sip.domains, settings.sip.address, registrar(settings).domain) if name}
    if host in named and uri.port is None:
        return True
    usual = 5061 if uri.scheme == "sips" else 5060
    heard = host in named | own_addresses() | {listener.host for listener in listeners}
    return heard and (uri.port or usual) in {listener.port for listener in listeners}


def contact(listener: Listener, address: str) -> tuple[str, int]:
    """What peers are told of a listener: ``[sip] address``, if it is of the listener's kind."""
    if address and same_family(address, listener.host):
        return address, listener.port
    return listener.host, listener.port


def links_base(settings: Settings, port: int) -> str:
    """What links to the page begin with, where the HTTP server got ``port``."""
    if settings.http.public_url:
        return settings.http.public_url
    host, _ = parse_address(settings.http.listen)
    if host in EVERYWHERE:
        host = settings.sip.address or main_address(host == "::")
    scheme = "https" if settings.http.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def access(settings: Settings) -> Access:
    """Who may ask the HTTP server for what."""
    public = settings.http.public_url.partition("://")[2]
    local = is_loopback(parse_address(settings.http.listen)[0])
    return Access(local, settings.http.expose and not local, public, frozenset(settings.http.origins))


def domain(settings: Settings, host: str) -> str:
    """Of rooms' addresses, for a browser that reached us as ``host``."""
    found = next(iter(settings.sip.domains), "") or host or "localhost"
    return f"[{found}]" if ":" in found else found


def media_host(settings: Settings) -> str:
    """Where the media sockets are; empty: on every address."""
    if settings.media.host:
        return settings.media.host if settings.media.host not in EVERYWHERE else ""
    hosts = {Listener.parse(text).host for text in settings.sip.listen}
    return hosts.pop() if len(hosts) == 1 and not hosts & set(EVERYWHERE) else ""


SIZES: Mapping[int, tuple[int, int]] = {1080: (1920, 1080), 720: (1280, 720), 360: (640, 360)}
"""Width and height, by height."""
RATE = 30
"""Pictures a second that we take at most: cameras give no more, and rooms are composed at no more."""


def video(settings: Settings) -> VideoCapabilities:
    """Raises ValueError for codecs that nobody knows."""
    known = VideoCapabilities.of(settings.video.codecs, settings.media.srtp)
    width, height = SIZES[settings.video.max_height]
    return replace(
        known,
        level=level_for(width, height, RATE),
        max_fs=-(-width // 16) * -(-height // 16),
        max_fps=RATE,
        max_bitrate=settings.video.max_bitrate,
        content=settings.video.presentation,
    )


TILES_A_STREAM = 4
"""Tiles that a video process may have for each stream of its settings: a row of arrays each, so they cost little until
they are sent."""


def tiles(settings: Settings) -> tuple[int, int]:
    """Of one call, and of one video process."""
    most = settings.webrtc.tiles if settings.webrtc.enabled else 0
    return most, min(most, TILES_A_STREAM) * settings.video.streams


def shares(ports: str, workers: int, section: str = "media") -> Sequence[tuple[int, ...]]:
    """The even ports of the range (each with its odd neighbour, for RTCP), shared out among the workers.

    Raises:
        ValueError: there are not enough for all.

    >>> shares("16000-16007", 2)
    ((16000, 16002), (16004, 16006))
    """
    whole = parse_ports(ports)
    even = [port for port in whole if port % 2 == 0 and port + 1 in whole]
    if len(even) < workers:
        raise ValueError(f"[{section}] ports: {ports} has {len(even)} pairs of ports for {workers} workers")
    each, more = divmod(len(even), workers)
    cuts = [n * each + min(n, more) for n in range(workers + 1)]
    return tuple(tuple(even[start:end]) for start, end in itertools.pairwise(cuts))
