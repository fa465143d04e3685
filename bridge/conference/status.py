"""Everything that is shown of rooms at one moment: what the API, ``visiopont top`` and the metrics read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.worker.protocol import StreamReport

from .calls import Calls
from .house import House
from .leg import Leg
from .parties import Parties
from .party import Party, Talker
from .snapshot import RoomSnapshot
from .video import VideoPlane, VideoStatus


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
        secure = agreed is not None and (agreed.srtp_send is not None or agreed.transport is not None)
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


def statuses(house: House, parties: Parties, calls: Calls, video: VideoPlane | None) -> list[RoomStatus]:
    """Every conference that is on."""
    dialling: dict[str, list[Dialling]] = {}
    for party in parties:
        if party.invited and not party.room and party.bound_for is not None and not party.leaving:
            dialling.setdefault(party.bound_for.name, []).append(Dialling(party.number, party.uri))
    found = []
    for name, running in house.running.items():
        snapshot = running.room.snapshot()
        status = {}
        for person in snapshot.participants:
            who = parties.get(person.number)
            if who is not None and (media := _media(who, calls, video)) is not None:
                status[person.number] = media
        found.append(RoomStatus(snapshot, status, tuple(dialling.get(name, ()))))
    return found


def _media(party: Party, calls: Calls, video: VideoPlane | None) -> MediaStatus | None:
    if party.leg is not None:
        pictures = video.status(party.leg) if video is not None else ()
        return MediaStatus.of(party.leg, calls.reports.get(party.leg.stream), pictures)
    if party.talker is not None:
        return MediaStatus.simulated(party.talker)
    return None
