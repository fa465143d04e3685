"""Everything that is shown of rooms at one moment: what the API, ``visiopont top`` and the metrics read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.worker.protocol import StreamReport

from .leg import Leg
from .party import Talker
from .snapshot import RoomSnapshot
from .video import VideoStatus


@dataclass(frozen=True, slots=True)
class MediaStatus:
    """One participant's stream."""

    codec: str
    """Empty: none, it is simulated."""
    secure: bool
    """SRTP."""
    on_hold: bool
    worker: int
    report: StreamReport | None
    """None: its worker has not reported yet (it does once a second)."""
    video: tuple[VideoStatus, ...] = ()

    @classmethod
    def of(cls, leg: Leg, report: StreamReport | None, video: tuple[VideoStatus, ...] = ()) -> MediaStatus:
        agreed = leg.agreed
        secure = agreed is not None and agreed.srtp_send is not None
        return cls(leg.codec, secure, agreed is not None and agreed.on_hold, leg.worker, report, video)

    @classmethod
    def simulated(cls, talker: Talker) -> MediaStatus:
        """Of a talker without a call: its level is all there is to tell."""
        return cls("", False, False, talker.worker, talker.report)


@dataclass(frozen=True, slots=True)
class Dialling:
    """Somebody who is being called into the room."""

    participant: int
    uri: str


@dataclass(frozen=True, slots=True)
class RoomStatus:
    snapshot: RoomSnapshot
    media: Mapping[int, MediaStatus]
    """By participant."""
    dialling: tuple[Dialling, ...]
