"""The bridge at one moment, as JSON: what the API, ``visiopont top`` and the metrics show.

A picture of 3,000 participants is some megabyte and some ten milliseconds of control's time, so one is made for all who
ask within :data:`FRESH`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from bridge.conference.focus import Focus
from bridge.conference.participant import Participant
from bridge.conference.settings import RoomSettings
from bridge.conference.snapshot import RoomSnapshot
from bridge.conference.status import MediaStatus, RoomStatus
from bridge.conference.video import VideoStatus
from bridge.worker.protocol import Report
from bridge.worker.protocol_video import VideoReport

FRESH = 0.5
"""Seconds: figures come from the workers once a second."""
SILENCE = -127.0
"""dBov: no sound at all (RFC 6464 §3)."""
_encode = msgspec.json.Encoder().encode


def media_status(media: MediaStatus) -> dict[str, Any]:
    """One participant's stream."""
    found: dict[str, Any] = {
        "codec": media.codec,
        "secure": media.secure,
        "on_hold": media.on_hold,
        "worker": media.worker,
        "level_dbov": SILENCE,
    }
    report = media.report
    if report is not None:
        found |= {
            "level_dbov": round(report.level_dbov, 1),
            "received": report.received,
            "lost": report.lost,
            "late": report.late,
            "discarded": report.discarded,
            "concealed_ms": report.concealed_ms,
            "jitter_ms": round(report.jitter_ms, 2),
            "delay_ms": round(report.delay_ms, 1),
            "sent": report.sent,
            "remote_lost": round(report.remote_lost, 4),
            "round_trip_ms": round(report.round_trip_ms, 1),
        }
    found["video"] = [video_status(each) for each in media.video]
    return found


def video_status(video: VideoStatus) -> dict[str, Any]:
    """One of a participant's pictures: ``in`` is what it sends, ``out`` what it is sent."""
    report = video.report
    return {
        "content": video.content,
        "secure": video.secure,
        "in": {
            "codec": video.sends,
            "width": report.width if report else 0,
            "height": report.height if report else 0,
            "rate": round(report.rate, 1) if report else 0.0,
            "bitrate": report.bitrate if report else 0,
            "received": report.received if report else 0,
            "lost": report.lost if report else 0,
            "errors": report.errors if report else 0,
            "frozen_ms": report.frozen_ms if report else 0,
            "keyframes_asked": report.keyframes_asked if report else 0,
        },
        "out": {
            "codec": video.receives,
            "width": report.sent_width if report else 0,
            "height": report.sent_height if report else 0,
            "rate": round(report.sent_rate, 1) if report else 0.0,
            "bitrate": report.sent_bitrate if report else 0,
            "sent": report.sent if report else 0,
            "remote_lost": round(report.remote_lost, 4) if report else 0.0,
            "round_trip_ms": round(report.round_trip_ms, 1) if report else 0.0,
        },
    }


def participant_status(person: Participant, media: MediaStatus | None, offset: float) -> dict[str, Any]:
    """One participant. ``offset``: what makes Unix seconds of monotonic ones."""
    found: dict[str, Any] = msgspec.to_builtins(person)
    found["joined"] = round(person.joined + offset, 3)
    found["muted"] = person.muted
    found["media"] = media_status(media) if media is not None else None
    return found


def room_status(status: RoomStatus, offset: float) -> dict[str, Any]:
    """A room that is on."""
    now = status.snapshot
    return {
        **_head(now),
        "on": True,
        "locked": now.locked,
        "everybody_muted": now.everybody_muted,
        "started": None if now.started is None else round(now.started + offset, 3),
        "ends": None if now.ends is None else round(now.ends + offset, 3),
        "speaker": now.speaker,
        "hands": now.hands,
        "layout": now.layout,
        "pinned": now.pinned,
        "reserved": now.reserved,
        "presenter": now.presenter,
        "participants": [participant_status(p, status.media.get(p.number), offset) for p in now.participants],
        "dialling": [{"participant": each.participant, "uri": each.uri} for each in status.dialling],
    }


def quiet_room(settings: RoomSettings) -> dict[str, Any]:
    """A room that nobody is in."""
    return {
        **_head(settings),
        "on": False,
        "locked": False,
        "everybody_muted": False,
        "started": None,
        "ends": None,
        "speaker": None,
        "hands": (),
        "layout": settings.layout,
        "pinned": None,
        "reserved": None,
        "presenter": None,
        "participants": [],
        "dialling": [],
    }


def _head(room: RoomSnapshot | RoomSettings) -> dict[str, Any]:
    return {
        "name": room.name,
        "number": room.number,
        "title": room.title or room.name,
        "language": room.language,
        "capacity": room.capacity,
        "lobby": room.lobby,
    }


R = TypeVar("R", Report, VideoReport)


class Process(Protocol):
    """A media process, as far as it is shown."""

    @property
    def pid(self) -> int: ...
    @property
    def streams(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    @property
    def failed(self) -> bool: ...


class ProcessStatus(Generic[R]):
    """The processes of one kind, with the share of a core that each used between its last two reports."""

    def __init__(self, figures: Mapping[str, float]) -> None:
        """``figures``: which of a report's are shown, and what stands for them before the first one."""
        self.reports: dict[int, R] = {}
        self._figures = figures
        self._cpu: dict[int, float] = {}
        self._since: dict[int, float] = {}

    def reported(self, worker: int, report: R, now: float) -> None:
        before, since = self.reports.get(worker), self._since.get(worker, now)
        if before is not None and now > since:
            self._cpu[worker] = max(0.0, report.cpu_seconds - before.cpu_seconds) / (now - since)
        self.reports[worker], self._since[worker] = report, now

    def shown(self, workers: Mapping[int, Process]) -> list[dict[str, Any]]:
        return [self._shown(number, worker) for number, worker in workers.items()]

    def _shown(self, number: int, worker: Process) -> dict[str, Any]:
        report = self.reports.get(number)
        return {
            "number": number,
            "pid": worker.pid,
            "streams": worker.streams,
            "restarts": worker.restarts,
            "failed": worker.failed,
            "cpu": round(self._cpu.get(number, 0.0), 3),
            **{name: getattr(report, name) if report else nothing for name, nothing in self._figures.items()},
        }


def worker_status() -> ProcessStatus[Report]:
    """The audio workers."""
    beat = {"beat_p50_ms": 0.0, "beat_p99_ms": 0.0, "beat_max_ms": 0.0, "beats_late": 0}
    return ProcessStatus({**beat, "strangers": 0, "malformed": 0})


def video_worker_status() -> ProcessStatus[VideoReport]:
    """The video workers."""
    beat = {"beat_p50_ms": 0.0, "beat_p99_ms": 0.0}
    pictures = {"encodings": 0, "encoded": 0, "still": 0, "decoded": 0, "late": 0}
    return ProcessStatus({**beat, **pictures, "strangers": 0, "malformed": 0})


class Picture:
    """All rooms at one moment, kept for :data:`FRESH` seconds."""

    def __init__(self, focus: Focus) -> None:
        self._focus = focus
        self._made = -FRESH
        self._rooms: list[dict[str, Any]] = []
        self._encoded = b""

    def forget(self) -> None:
        """A command was carried out: whoever asks next wants to see what it did."""
        self._made = -FRESH

    def rooms(self) -> list[dict[str, Any]]:
        now = time.monotonic()
        if now - self._made >= FRESH:
            self._made, self._encoded = now, b""
            offset = time.time() - now
            on = [room_status(status, offset) for status in self._focus.rooms()]
            names = {room["name"] for room in on}
            quiet = [quiet_room(known) for known in self._focus.known_rooms() if known.name not in names]
            self._rooms = sorted(on + quiet, key=lambda room: str(room["name"]))
        return self._rooms

    def encoded(self) -> bytes:
        """All rooms as a JSON array."""
        rooms = self.rooms()
        if not self._encoded:
            self._encoded = _encode(rooms)
        return self._encoded

    def room(self, name: str) -> dict[str, Any] | None:
        return next((room for room in self.rooms() if room["name"] == name.lower()), None)


def together(head: Mapping[str, Any], rooms: bytes) -> bytes:
    """``head`` with the rooms, which are JSON already."""
    return _encode({**head, "rooms": msgspec.Raw(rooms)})


def count(rooms: Sequence[Mapping[str, Any]]) -> tuple[int, int, int, int]:
    """Rooms that are on, participants, and RTP packets received and lost."""
    on = participants = received = lost = 0
    for room in rooms:
        on += bool(room["on"])
        participants += len(room["participants"])
        for person in room["participants"]:
            media = person["media"] or {}
            received += media.get("received", 0)
            lost += media.get("lost", 0)
    return on, participants, received, lost
