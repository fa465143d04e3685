"""The composition root: makes the parts of a bridge from its settings, joins, runs and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import os
import random
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import structlog
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from bridge.conference.demo import talkers
from bridge.conference.focus import Focus, WorkerPorts
from bridge.conference.presenting import FloorPorts
from bridge.conference.transports import TransportSettings
from bridge.conference.video import VideoPorts, VideoSettings
from bridge.io import Driver, Listener
from bridge.resolve import Resolver, flows
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.event import Event
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Uri
from bridge.signalling.registrar import Registrar
from bridge.worker.client import Spare, Worker
from bridge.worker.protocol import Begin, Ready
from bridge.worker.video.client import VIDEO, VideoWorker
from gateways.webrtc import turn
from gateways.webrtc.focus import FocusGateway
from gateways.webrtc.identity import Identity

from . import check, derived, guide, log, page, sip_socket, storage, tls, whip
from .api import application
from .bundle import BundlePorts
from .control import Control
from .feed import Feed
from .floor import FloorSockets
from .http import Http
from .journal import Journal
from .link import Links, read_key
from .live import LiveSockets
from .metrics import Metrics
from .providers import Providers
from .reach import Reach
from .registry import Registry
from .route import Routes, main_address
from .settings import Settings, parse_address
from .tcp_relay import TcpRelay

logger = structlog.get_logger("visiopont")

DRAIN = 10.0
"""Seconds for everybody to be told and hung up: Timer F is 32 s (RFC 3261 §17.1.2.2), but who has not answered a BYE in
five is gone, and service managers wait for us (Docker 10 s before SIGKILL, systemd 90 s)."""
SAME_SIGNAL = 1.0
"""Seconds in which another one is the same, come by a second way: to the process group, and passed on by a parent."""
RENEWAL = 86_400.0
"""Seconds between certificates for browsers: what is said on different days is not linked by them."""
DEMO = "demo"
VERSION = version("visiopont")
Contacts = dict[tuple[Transport, tuple[str, int]], tuple[str, int]]


async def run(settings: Settings, *, demo: bool) -> int:
    """Run a bridge until SIGTERM or SIGINT; the exit status: 1 when no media worker is left. A second signal ends
    it at once.

    Raises:
        OSError: an address, a port or a file can't be had.
        ValueError: settings that don't go together.
    """
    log.set_up(settings.log)
    asyncio.get_running_loop().set_exception_handler(_unexpected)
    stop = _on_signals()
    async with AsyncExitStack() as parts:
        bridge = await Assembly(settings, parts, demo=demo).start()
        await _first(stop, bridge.broken)
        logger.info("stopping: no new calls, BYE to everyone", calls=bridge.focus.calls)
        bridge.drain()
        await _empty(bridge)
    logger.info("stopped")
    return 0 if stop.is_set() else 1


async def _first(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def _on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    first = 0.0

    def told(number: int) -> None:
        nonlocal first
        if not stop.is_set():
            first = loop.time()
            stop.set()
        elif loop.time() - first > SAME_SIGNAL:
            os._exit(128 + number)  # workers end when our side of their sockets closes

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    return stop


def _unexpected(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What asyncio could not give to anybody else."""
    error = context.get("exception")
    logger.error("a bug; the bridge goes on", what=context.get("message"), exc_info=error)


async def _empty(bridge: Control) -> None:
    """Until every call has ended, or time is up."""
    until = time.monotonic() + DRAIN
    while bridge.focus.calls and time.monotonic() < until:  # noqa: ASYNC110 the focus is no asyncio thing
        await asyncio.sleep(0.05)
    if bridge.focus.calls:
        logger.warning("some calls did not end", calls=bridge.focus.calls)


def _identity() -> Identity:
    return Identity(datetime.datetime.now(datetime.UTC))


async def renew(gateway: FocusGateway, wait: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
    """Give the gateway another certificate each day, until cancelled; calls that have one keep it."""
    while True:
        await wait(RENEWAL)
        gateway.renew(_identity())
        logger.info("browsers' calls have a new certificate from now on")


class Assembly:
    """Puts one bridge together; ``parts`` takes it apart again in the reverse order, also after half a start."""

    def __init__(self, settings: Settings, parts: AsyncExitStack, *, demo: bool) -> None:
        self._settings, self._parts, self._demo = settings, parts, demo
        self._contacts: Contacts = {}
        self._routes = Routes(settings.sip.address)
        self._listeners: list[Listener] = []
        self._seeing: dict[int, VideoWorker] = {}
        self._bundles: BundlePorts | None = None
        self._relay: TcpRelay | None = None
        self._page = ""
        self._resolver = Resolver()

    async def start(self) -> Control:
        settings = self._settings
        known = derived.rooms(settings)
        control = Control(
            Journal(),
            Metrics(),
            Feed(),
            version=VERSION,
            max_rooms=settings.rooms.limit,
            media_ports=settings.media.ports,
            video_ports=settings.video.ports if settings.video.enabled else "",
        )
        self._parts.push_async_callback(control.close)
        kept = self._storage()
        self._open_bundles(control)
        ports = await self._workers(control)
        video = await self._video(control)
        floor = await self._floor(control)
        self._warn()
        registrar = Registrar(derived.registrar(settings))
        focus, endpoint, driver = self._signalling(control, ports, video, floor, registrar)
        registry = Registry(registrar, kept)
        registry.recover(time.monotonic())
        workers = {number: each.worker for number, each in ports.items() if isinstance(each.worker, Worker)}
        accounts = {account.user for account in settings.sip.accounts}
        reach = Reach(registry, self._lookup, ours=self._ours, accounts=accounts)
        control.join(focus, driver, workers, reach, registry)
        control.see(self._seeing)
        if floor is not None:
            control.govern(self._floors)
        for room in known:
            focus.add_room(room)
        if self._demo:
            self._simulate(control)
        await self._listen(driver)
        self._providers(control, endpoint)
        http = self._http(control)
        self._watch(control)
        gc.collect()
        gc.freeze()
        self._guide(http)
        return control

    # Parts

    def _signalling(
        self,
        control: Control,
        ports: dict[int, WorkerPorts],
        video: VideoSettings | None,
        floor: FloorPorts | None,
        registrar: Registrar,
    ) -> tuple[Focus, Endpoint, Driver[Event]]:
        settings = self._settings
        endpoint_settings = derived.endpoint(settings, self._contacts, self._routes, VERSION)
        accounts = {account.user: account.password for account in settings.sip.accounts}
        endpoint = Endpoint(
            endpoint_settings,
            random.SystemRandom(),  # tags and branches must not be guessed, nonces neither
            passwords=accounts.get,
            registrar=registrar if accounts else None,
            now=time.monotonic(),
        )
        focus = Focus(
            replace(derived.focus(settings), links=self._links, realm=settings.sip.realm),
            endpoint,
            endpoint_settings,
            ports,
            rng=random.SystemRandom(),
            random_bytes=secrets.token_bytes,
            video=video,
            floor=floor,
            transports=self._transports(),
        )
        driver: Driver[Event] = Driver(
            endpoint,
            control.deliver,
            server_tls=tls.server_context(settings.sip),
            client_tls=tls.client_context(settings.sip),
        )
        self._driver = driver
        self._parts.push_async_callback(driver.close)
        return focus, endpoint, driver

    def _warn(self) -> None:
        """Of what ``visiopont check`` would."""
        for finding in check.limits(self._settings):
            if finding.verdict != "ok":
                logger.warning(finding.subject, what=finding.detail, advice=finding.advice)

    def _storage(self) -> storage.Storage:
        data = self._settings.storage.data
        data.mkdir(parents=True, exist_ok=True)
        url = storage.address(self._settings.storage.url, data)
        try:
            kept = storage.Storage(url)
        except (SQLAlchemyError, storage.WrongVersion, ImportError) as error:
            raise OSError(f"the database can't be opened: {error}") from None
        kept.start()
        self._parts.push_async_callback(kept.close)
        self._links = Links(read_key(data))
        return kept

    def _open_bundles(self, control: Control) -> None:
        if self._settings.webrtc.enabled:
            self._bundles = BundlePorts(derived.media_host(self._settings), self._settings.bundle_ports)
            self._parts.callback(self._bundles.close)
            for wanted, port in zip(self._settings.bundle_ports, self._bundles.ports, strict=True):
                if port != wanted:
                    logger.warning("[webrtc] port is taken; another serves", wanted=wanted, port=port)
            if self._settings.bundle_tcp_ports:
                self._open_relay(self._bundles, control)

    def _open_relay(self, bundles: BundlePorts, control: Control) -> None:
        """The way to the bundle ports by TCP."""
        host, ports = derived.media_host(self._settings), self._settings.bundle_tcp_ports
        self._relay = TcpRelay(host, ports, bundles.addresses)
        self._parts.push_async_callback(self._relay.close)
        self._relay.arm()
        control.counters.registry.register(self._relay)

    def _transports(self) -> TransportSettings | None:
        """Of calls whose keys come by DTLS; None: settings want none."""
        if self._bundles is None:
            return None
        gateway = FocusGateway(_identity(), secrets.token_bytes)
        self._spawn(renew(gateway))
        public, ports = self._settings.webrtc.address, self._bundles.ports
        tcp_ports = dict(zip(ports, self._relay.ports, strict=True)) if self._relay else {}
        return TransportSettings(gateway, dict(enumerate(ports)), (public,) if public else (), tcp_ports)

    async def _workers(self, control: Control) -> dict[int, WorkerPorts]:
        media = self._settings.media
        spare = Spare()
        self._parts.callback(spare.close)
        workers: dict[int, Worker] = {}
        host = derived.media_host(self._settings)
        shares = derived.shares(media.ports, media.workers)
        for number, ports in enumerate(shares):
            shared, descriptors = self._bundles.audio(number) if self._bundles else ((), [])
            begin = Begin(host, ports, media.streams, bundle_ports=shared, relays=len(shared))
            workers[number] = Worker(number, begin, control.heard, spare, descriptors)
            self._parts.push_async_callback(workers[number].stop)
        ready = await asyncio.gather(*(worker.start() for worker in workers.values()))
        for number, told in enumerate(ready):
            self._missing(number, told, shares[number])
        return {number: WorkerPorts(workers[number], told.ports) for number, told in enumerate(ready)}

    async def _video(self, control: Control) -> VideoSettings | None:
        """The video processes; None: settings want none."""
        video = self._settings.video
        if not video.enabled:
            return None
        capabilities = derived.video(self._settings)
        spare = Spare(VIDEO)
        self._parts.callback(spare.close)
        host = derived.media_host(self._settings)
        shares = derived.shares(video.ports, video.workers, "video")
        tiles, held = derived.tiles(self._settings)
        for number, ports in enumerate(shares):
            shared, descriptors = self._bundles.video(number, video.workers) if self._bundles else ((), [])
            begin = Begin(host, ports, video.streams + held, bundle_ports=shared, relays=len(shared))
            self._seeing[number] = VideoWorker(number, begin, control.watched, spare, descriptors)
            self._parts.push_async_callback(self._seeing[number].stop)
        try:
            ready = await asyncio.gather(*(worker.start() for worker in self._seeing.values()))
        except OSError as error:
            raise OSError(f"[video] ports {video.ports}: {error}") from None
        for number, told in enumerate(ready):
            self._missing(number, told, shares[number])
        found = {number: VideoPorts(self._seeing[number], told.ports) for number, told in enumerate(ready)}
        return VideoSettings(capabilities, found, video.streams, video.send_bitrate, tiles, held)

    async def _floor(self, control: Control) -> FloorPorts | None:
        """Where terminals ask by BFCP for the right to show something; None: settings want no second picture."""
        video = self._settings.video
        if not (video.enabled and video.presentation):
            return None
        self._floors = FloorSockets(control.settle_soon)
        host = derived.media_host(self._settings)
        try:
            port = await self._floors.open(host, video.bfcp_port)
        except OSError as error:
            # Terminals read the port in each call's SDP, so any other does as well: a firewall's rule may not know it.
            port = await self._floors.open(host, 0)
            logger.warning(
                "[video] bfcp_port is taken; another serves", wanted=video.bfcp_port, port=port, error=str(error)
            )
        self._parts.push_async_callback(self._floors.close)
        return FloorPorts(port, port)

    def _missing(self, number: int, ready: Ready, wanted: Sequence[int]) -> None:
        if len(ready.ports) < len(wanted):
            logger.warning(
                "some media ports are taken; the others serve",
                worker=number,
                wanted=len(wanted),
                bound=len(ready.ports),
            )

    async def _listen(self, driver: Driver[Event]) -> None:
        for text in self._settings.sip.listen:
            wanted = Listener.parse(text)
            try:
                bound = await driver.listen(wanted)
            except OSError as error:
                raise OSError(f"can't listen on {text}: {error.strerror or error}") from None
            local = (bound.host, bound.port)
            self._contacts[bound.transport, local] = derived.contact(bound, self._settings.sip.address)
            self._listeners.append(bound)

    def _http(self, control: Control) -> str:
        """What the API's addresses begin with, on this machine; empty: no HTTP."""
        settings = self._settings
        if not settings.http.listen:
            return ""
        host, port = parse_address(settings.http.listen)
        serving, access = tls.server_context(settings.http), derived.access(settings)
        app = application(control, VERSION)
        self._pages(app, control)
        http = Http(app, host, port, tls=serving, access=access)
        try:
            host, port = http.open()
        except OSError as error:
            raise OSError(f"can't listen on http {self._settings.http.listen}: {error.strerror or error}") from None
        self._parts.push_async_callback(http.stop)
        self._parts.callback(control.feed.close)
        control.counters.observe(control.figures)
        self._page = derived.links_base(settings, port)
        control.invite(self._links, self._page)
        http.start()
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"{'https' if serving else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def _pages(self, app: FastAPI, control: Control) -> None:
        """What browsers use: the page, SIP, and the socket beside it."""
        settings, focus = self._settings, control.focus
        webrtc = settings.webrtc
        door = page.Door(
            focus.attendance.settings,
            self._links,
            focus.tries,
            lambda host: derived.domain(settings, host),
            # A name of its own for each visitor, by which a relay's log and quota know it.
            lambda room: turn.ice_servers(
                webrtc.turn, webrtc.turn_secret, f"{room}-{secrets.token_hex(4)}", time.time()
            ),
            video=settings.video.enabled,
            present=settings.video.presentation,
            tiles=derived.tiles(settings)[0],
            ad_hoc=settings.rooms.ad_hoc,
        )
        live = LiveSockets(focus, lambda: control.run(lambda now: None), bug=control.failed)
        control.show(live)
        self._parts.callback(live.close)
        sip_socket.serve(app, self._driver)
        live.serve(app)
        page.serve(app, door)
        publishing = whip.Whip(
            self._driver,
            door,
            domain=derived.domain(settings, ""),
            refuse=lambda room, role: whip.turned_away(focus, room, role),
            version=VERSION,
        )
        self._parts.push_async_callback(publishing.close)
        whip.serve(app, publishing)

    async def _lookup(self, uri: str) -> Sequence[Flow]:
        """Raises :class:`bridge.resolve.Unresolved`."""
        transports = dict.fromkeys(listener.transport for listener in self._listeners)
        found = flows(await self._resolver.targets(uri, transports), self._listeners)
        domain = Uri.parse(uri).host.strip("[]")
        for flow in found:
            self._driver.expect(flow.remote, domain)
        return found

    def _ours(self, uri: Uri) -> bool:
        return derived.ours(self._settings, uri, self._listeners)

    def _providers(self, control: Control, endpoint: Endpoint) -> None:
        providers = Providers(self._settings.sip.providers, control, endpoint, self._lookup)
        control.on_drain(providers.leave)
        self._parts.push_async_callback(providers.close)
        providers.start()

    def _simulate(self, control: Control) -> None:
        """The demo's room and its talkers."""
        voices = [(talker.name, talker.clips) for talker in talkers()]
        control.run(lambda now: control.focus.simulate(DEMO, voices, now))

    def _watch(self, control: Control) -> None:
        self._spawn(control.watch())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """What runs until the end."""
        task = asyncio.get_running_loop().create_task(work)

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._parts.push_async_callback(end)

    def _guide(self, http: str) -> None:
        rooms = list(self._settings.room)
        room = DEMO if self._demo else rooms[0] if rooms else "test"
        print(
            guide.text(VERSION, self._listeners, main_address, room, http, demo=self._demo, page=self._page), flush=True
        )
