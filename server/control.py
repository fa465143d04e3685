"""The control plane at run time: what moves the focus, and what must follow each of its moves.

The signalling driver, the media workers, the API and one timer mutate the focus; after every mutation what it wants
sent is sent, what it tells is told, and the timer is set again. Nothing here decides about calls or rooms.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec
import structlog

from bridge.conference import event as room_event
from bridge.conference.error import Refused
from bridge.conference.focus import Focus
from bridge.conference.focus_event import ResolveWanted, SnapshotTaken, TilesChanged
from bridge.conference.house import NoSuchRoom
from bridge.conference.participant import Role
from bridge.conference.room import Room
from bridge.conference.settings import RoomSettings
from bridge.io import Driver
from bridge.resolve import Unresolved
from bridge.signalling import event as sip
from bridge.signalling.flow import Flow
from bridge.worker import protocol, protocol_video
from bridge.worker.client import Worker
from bridge.worker.video.client import VideoWorker

from .feed import Feed
from .floor import FloorSockets
from .journal import Journal
from .link import Links
from .live import LiveSockets
from .metrics import Figures, Metrics, VideoFigures, WorkerFigures
from .registry import Registry
from .status import Picture, count, together, video_worker_status, worker_status

log = structlog.get_logger("control")

T = TypeVar("T")
Command: TypeAlias = Callable[[Room, float], T]

ORDERS = (room_event.Tone, room_event.Announce, room_event.Hangup)
"""What a room asks the focus to do: nobody else's news."""
RESOLVING = 256
"""Names looked up at once: a REFER or an API call starts each; the next is refused."""
SNAPSHOTS = 8
"""Pictures of rooms that are written at once."""
SNAPSHOT = 5.0
"""Seconds that one may take: a worker that hangs is replaced after 4."""
CHECK = 1.0
"""Seconds between looks at the workers, which report once a second."""
SWEEP = 60.0
"""Seconds between sweeps of idle connections, which live for minutes."""


@dataclass(frozen=True, slots=True)
class Found:
    """How somebody is reached."""

    uri: str
    """The Request-URI: what was asked for, or a registered terminal's Contact."""
    targets: Sequence[Flow]
    """Best first."""


class Resolver(Protocol):
    async def __call__(self, uri: str) -> Found:
        """Raises :class:`bridge.resolve.Unresolved`."""


class Control:
    """Made without its parts, which need its methods; :meth:`join` gives them to it."""

    def __init__(
        self,
        journal: Journal,
        metrics: Metrics,
        feed: Feed,
        *,
        version: str,
        max_rooms: int,
        media_ports: str,
        video_ports: str = "",
    ) -> None:
        self.journal, self.counters, self.feed = journal, metrics, feed
        self.version, self.max_rooms, self.media_ports = version, max_rooms, media_ports
        self.video_ports = video_ports
        self.worker_status = worker_status()
        self.video_status = video_worker_status()
        self.seeing: Mapping[int, VideoWorker] = {}
        self._floors: FloorSockets | None = None
        self._live: LiveSockets | None = None
        self._links: Links | None = None
        self._snapshots: dict[int, asyncio.Future[str]] = {}
        self.draining = False
        self.broken = asyncio.Event()
        """No media worker is left."""
        self._started = time.monotonic()
        self._leave: Callable[[], None] = lambda: None
        self._timer: asyncio.TimerHandle | None = None
        self._settling = False
        self._tasks: set[asyncio.Task[None]] = set()

    def join(
        self,
        focus: Focus,
        driver: Driver[sip.Event],
        workers: Mapping[int, Worker],
        resolver: Resolver,
        registry: Registry,
    ) -> None:
        self.focus, self.driver, self.workers = focus, driver, workers
        self.registry, self._resolver = registry, resolver
        self.picture = Picture(focus)

    def see(self, workers: Mapping[int, VideoWorker]) -> None:
        """The video workers; without them nobody has a picture."""
        self.seeing = workers

    def govern(self, floors: FloorSockets) -> None:
        """Where terminals ask for the right to show something."""
        self._floors = floors
        floors.serve(self.focus.presenting)

    def show(self, live: LiveSockets) -> None:
        """The pages beside calls."""
        self._live = live

    def invite(self, links: Links, base: str) -> None:
        """What makes links, and what they begin with: ``https://meet.example.org``."""
        self._links, self._base = links, base

    def failed(self, where: str, what: str) -> None:
        """A bug that somebody else has caught; to be called in the ``except`` clause."""
        self.counters.bugs.inc()
        self.journal.bug(where, what)

    def _processes(self) -> list[Worker | VideoWorker]:
        return [*self.workers.values(), *self.seeing.values()]

    # What moves the focus

    def deliver(self, event: sip.Event) -> None:
        """The driver's: something the endpoint tells. One call's bug must not keep the others' events back."""
        now = time.monotonic()
        try:
            if isinstance(event, sip.Rejected | sip.Malformed):
                self.counters.refused(event)
                self.journal.refused(event)
            elif isinstance(event, sip.BindingsChanged | sip.RegistrationChanged):
                self.registry.changed(event, now)
                self._tell(event)
            else:
                self.focus.signalled(event, now)
        except Exception:
            self.counters.bugs.inc()
            self.journal.bug("event", type(event).__name__)
        self.settle_soon()

    def heard(self, worker: int, event: protocol.Event) -> None:
        """The workers': something a worker tells."""
        now = time.monotonic()
        if isinstance(event, protocol.Report):
            self.worker_status.reported(worker, event, now)
        if not hasattr(self, "focus"):
            return  # we are starting: nobody has a stream there
        try:
            self.focus.heard(worker, event, now)
        except Exception:
            self.counters.bugs.inc()
            self.journal.bug("worker event", type(event).__name__)
        self.settle_soon()

    def watched(self, worker: int, event: protocol_video.VideoEvent) -> None:
        """The video workers': something one tells."""
        now = time.monotonic()
        if isinstance(event, protocol_video.VideoReport):
            self.video_status.reported(worker, event, now)
        if not hasattr(self, "focus"):
            return
        try:
            self.focus.watched(worker, event, now)
        except Exception:
            self.counters.bugs.inc()
            self.journal.bug("video worker event", type(event).__name__)
        self.settle_soon()

    def run(self, command: Callable[[float], T]) -> T:
        """Mutate the focus by a command of the server's own; it gets ``now``."""
        try:
            return command(time.monotonic())
        finally:
            self.picture.forget()
            self.settle()

    # What follows

    def settle_soon(self) -> None:
        """Once in this turn of the loop, however many events it brought."""
        if not self._settling:
            self._settling = True
            asyncio.get_running_loop().call_soon(self.settle)

    def settle(self) -> None:
        """Send, tell, set the timer."""
        self._settling = False
        self.driver.drain()
        if self._floors is not None:
            self._floors.drain()
        for event in self.focus.events():
            self._tell(event)
        if self._live is not None:
            self._live.drain()
            self.driver.drain()  # what is written in a room goes to terminals too
        deadline = self.focus.deadline()
        if self._timer is not None:
            if self._timer.when() == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        try:
            self.focus.expire(time.monotonic())
        except Exception:
            self.counters.bugs.inc()
            self.journal.bug("timer", "focus")
        self.settle()

    def _tell(self, event: object) -> None:
        if isinstance(event, ResolveWanted):
            self._resolve(event)
            return
        if isinstance(event, SnapshotTaken):
            waiting = self._snapshots.pop(event.snapshot, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(event.error)
            return
        if isinstance(event, TilesChanged):  # one page's business, and often
            if self._live is not None:
                self._live.told(event)
            return
        self.journal.tell(event)
        if not isinstance(event, ORDERS):
            self.counters.told(event)
            self.feed.tell(event)
            if self._live is not None:
                self._live.told(event)

    # Names

    def _resolve(self, wanted: ResolveWanted) -> None:
        if len(self._tasks) >= RESOLVING:
            self._resolved(wanted.participant, None, "too many names are being looked up")
            return
        task = asyncio.get_running_loop().create_task(self._look_up(wanted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_up(self, wanted: ResolveWanted) -> None:
        try:
            found, error = await self._resolver(wanted.uri), ""
        except Unresolved as failure:
            found, error = None, str(failure)
        self._resolved(wanted.participant, found, error)

    def _resolved(self, participant: int, found: Found | None, error: str) -> None:
        now = time.monotonic()
        if found is None or not found.targets:
            self.focus.resolved(participant, (), error or "no address was found", now)
        else:
            self.focus.resolved(participant, found.targets, "", now, uri=found.uri)
        self.settle_soon()

    # Time

    async def watch(self) -> None:
        """Look after workers and connections until cancelled."""
        swept = time.monotonic()
        while True:
            await asyncio.sleep(CHECK)
            now = time.monotonic()
            for worker in self._processes():
                worker.check(now)
            if all(worker.failed for worker in self.workers.values()) and not self.broken.is_set():
                log.critical("no media worker is left: ending, so that whoever watches over us starts us anew")
                self.broken.set()
            if now - swept >= SWEEP:
                self.driver.sweep(now)
                if self._floors is not None:
                    self._floors.sweep(now)
                swept = now

    async def close(self) -> None:
        """Let go of timer and look-ups; the parts are closed by who made them."""
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What the API wants

    @property
    def ready(self) -> bool:
        return not self.draining and not any(worker.failed for worker in self._processes())

    def tell(self, room: str, command: Command[T]) -> T:
        return self.run(lambda now: self.focus.tell(room, lambda found: command(found, now), now))

    def dial(self, room: str, uri: str) -> int:
        if not self.ready:
            raise Refused("stopping", "The bridge is stopping: it makes no new calls.")
        return self.run(lambda now: self.focus.dial(room, uri, now))

    def move(self, room: str, participant: int, target: str) -> None:
        def act(now: float) -> None:
            self.focus.tell(room, lambda found: found.participant(participant), now)
            self.focus.move(participant, target, now)

        self.run(act)

    def transfer(self, room: str, participant: int, uri: str) -> None:
        def act(now: float) -> None:
            self.focus.tell(room, lambda found: found.participant(participant), now)
            self.focus.transfer(participant, uri, now)

        self.run(act)

    async def snapshot(self, room: str) -> bytes:
        """What the room sees, as PNG.

        Raises:
            NoSuchRoom: it is not on.
            Refused: it has no picture, or it can't be had now.
        """
        if len(self._snapshots) >= SNAPSHOTS:
            raise Refused("full", f"{SNAPSHOTS} pictures are being taken already: ask again in a moment.")
        with tempfile.TemporaryDirectory(prefix="visiopont-") as folder:
            path = Path(folder) / "picture.png"
            waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            number = self.run(lambda now: self.focus.snapshot(room, str(path), now))
            self._snapshots[number] = waiting
            try:
                async with asyncio.timeout(SNAPSHOT):
                    error = await waiting
            except TimeoutError:
                error = "the video worker did not answer in time"
            finally:
                self._snapshots.pop(number, None)
            if error:
                raise Refused("no-picture", f"The picture could not be taken: {error}")
            return await asyncio.to_thread(path.read_bytes)

    def link(self, room: str, role: Role, hours: float, name: str) -> dict[str, Any]:
        """A link into a room, for whoever is to have it.

        Raises:
            NoSuchRoom: it can't be dialled.
            Refused: there is no page.
            ValueError: hours or name can't be.
        """
        settings = self.focus.attendance.settings(room)
        if self._links is None:
            raise Refused("no-page", "This bridge has no page to link to: see [http] listen.")
        token, granted = self._links.make(settings.name, role, hours, name)
        ends = datetime.fromtimestamp(granted.expires, UTC)
        return {
            "url": f"{self._base}/r/{quote(settings.name, safe='')}?t={token}",
            "token": token,
            "room": settings.name,
            "role": role,
            "expires": ends.isoformat().replace("+00:00", "Z"),
            "name": granted.name,
        }

    def open_room(self, settings: RoomSettings) -> None:
        if self.picture.room(settings.name) is not None:
            raise Refused(
                "present", f"There is a room {settings.name} already: choose another name, or DELETE it first."
            )
        if len(self.picture.rooms()) >= self.max_rooms:
            raise Refused("full", f"There are {self.max_rooms} rooms already: raise [rooms] limit.")
        self.run(lambda now: self.focus.add_room(settings))

    def close_room(self, name: str) -> None:
        self.room(name)
        self.run(lambda now: self.focus.remove_room(name, now))

    def about(self) -> dict[str, Any]:
        """The process: what ``visiopont check`` asks for."""
        return {
            "version": self.version,
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._started, 1),
            "ready": self.ready,
            "listeners": [str(listener) for listener in self.driver.listeners],
            "media_ports": self.media_ports,
            "video_ports": self.video_ports,
        }

    def status(self) -> bytes:
        head = self.about() | {
            "calls": self.focus.calls,
            "registrations": self.registry.count(),
            "workers": self.worker_status.shown(self.workers),
            "video_workers": self.video_status.shown(self.seeing),
        }
        return together(head, self.picture.encoded())

    def rooms(self) -> bytes:
        return together({}, self.picture.encoded())

    def room(self, name: str) -> bytes:
        found = self.picture.room(name)
        if found is None:
            raise NoSuchRoom(f"There is no room {name[:64]!r}: GET /api/v1/rooms lists those that there are.")
        return msgspec.json.encode(found)

    def registrations(self) -> list[dict[str, Any]]:
        return self.registry.shown()

    def figures(self) -> Figures:
        on, participants, received, lost = count(self.picture.rooms())
        return Figures(
            calls=self.focus.calls,
            rooms=on,
            participants=participants,
            registrations=self.registry.count(),
            listeners=len(self.feed),
            refused_connections=self.driver.refused,
            wrong_pins=self.focus.tries.wrong,
            refused_pins=self.focus.tries.refused,
            received=received,
            lost=lost,
            workers={
                number: WorkerFigures(worker.restarts, worker.streams, self.worker_status.reports.get(number))
                for number, worker in self.workers.items()
            },
            video_workers={
                number: VideoFigures(worker.restarts, worker.streams, self.video_status.reports.get(number))
                for number, worker in self.seeing.items()
            },
        )

    def on_drain(self, leave: Callable[[], None]) -> None:
        """What is to be done besides when no new calls shall come."""
        self._leave = leave

    def metrics(self) -> bytes:
        return self.counters.text()

    def drain(self) -> None:
        """No new calls; BYE to everyone."""
        self.draining = True
        self.run(self.focus.drain)
        self._leave()
