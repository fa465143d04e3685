"""The video streams of a worker, one row each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bridge.media.rtp import HEADER
from bridge.media.video.extension import NUMBER, ROOM, template
from bridge.media.video.formats import by_name

from ..protocol_video import SetVideoStream, VideoFormat
from ..table import SourceTable

RTX = 64
"""Added to a format's kind: its retransmissions. Kinds count a stream's own formats from 1."""
MOST_FORMATS = RTX - 1


class VideoTable(SourceTable[SetVideoStream]):
    """Addresses, numbers and keys, and what the beat knows of the pictures."""

    def _make_own_rows(self, column: Callable[..., NDArray[Any]]) -> None:
        self.watched = column(np.bool_)
        """Its pictures are decoded."""
        self.pictured = column(np.float64)
        """When its room was last told that pictures come."""
        self.orientation = column(np.uint8)
        """Header extension id of its orientation."""
        self.turn = column(np.int16)
        """Degrees clockwise that make its pictures upright, as it last said."""
        self.octets = column(np.int64)
        """Of payload that came in."""
        self.numbered = column(np.uint8)
        """Header extension id of transport-wide numbers in both directions; 0: feedback was not negotiated."""
        self.transport = column(np.intp)
        """The row that stands for its transport (BUNDLE): itself, or the first that shares it."""
        self.layered = column(np.bool_)
        """It sends several encodings at once."""
        self.rid = column(np.uint8)
        self.repaired_rid = column(np.uint8)
        """Header extension ids that tell them apart."""
        self.lead = column(np.uint8, HEADER + ROOM)
        """The head of what it is sent, from octet 12 on its extension, numbers and times to be filled in."""
        self.lead_size = column(np.int64)
        """Octets of that; 12: no extension."""
        self.clocked = column(np.int64)
        """Where in the extension the time of sending lies; 0: nowhere."""
        self.tile = column(np.bool_)
        """It is a tile: others' pictures are forwarded in it, none of ours are sent."""
        self.forwarded = column(np.bool_)
        """Some tile shows its pictures."""
        self.arrived = column(np.float64)
        """When its last RTP packet came."""

    def configure(self, row: int, spec: SetVideoStream, room: int, socket: int) -> None:
        """Write a stream's description into its row.

        Raises:
            ValueError: a format is unknown or an address is none; the row is as it was.
        """
        if len(spec.receive) > MOST_FORMATS:
            raise ValueError(f"more than {MOST_FORMATS} formats")
        for each in (*spec.receive, *([spec.send] if spec.send else [])):
            check(each)
        if any(not 0 <= each <= 14 for each in msgspec.structs.astuple(spec.extensions)):
            raise ValueError(f"{spec.extensions}: no ids of one-byte header extensions")
        if spec.send is not None and not by_name(spec.send.name).encoder:
            raise ValueError(f"{spec.send.name} is received only")
        self.place(row, spec, room, socket)
        self.kinds[row] = 0
        for kind, each in enumerate(spec.receive, 1):
            self.kinds[row, each.payload_type] = kind
            if each.rtx_type:
                self.kinds[row, each.rtx_type] = kind + RTX
        self.send_kind[row] = spec.send is not None
        self.send_type[row] = spec.send.payload_type if spec.send else 0
        self.orientation[row] = spec.orientation
        ids = spec.extensions
        self.layered[row] = bool(spec.layers)
        self.rid[row], self.repaired_rid[row] = ids.rid, ids.repaired_rid
        number = ids.transport_sequence if spec.transport_cc else 0
        time = ids.absolute_time if spec.remb and not number else 0
        extension = template(number, time, ids.mid, spec.mid)
        self.numbered[row] = number
        self.clocked[row] = NUMBER if time else 0
        self.lead_size[row] = HEADER + len(extension)
        self.lead[row, HEADER : HEADER + len(extension)] = np.frombuffer(extension, np.uint8)


def check(format_: VideoFormat) -> None:
    """Raises:
    ValueError: nobody here speaks it, or its payload types are none.
    """
    try:
        by_name(format_.name)
    except LookupError:
        raise ValueError(f"no video format {format_.name} here") from None
    if not 0 <= format_.payload_type <= 127 or not 0 <= format_.rtx_type <= 127:
        raise ValueError(f"{format_.payload_type}, {format_.rtx_type}: no payload types")
