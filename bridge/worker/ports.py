"""The sockets of a media process: those of the ports it was given that it can have."""

from __future__ import annotations

import socket

from bridge.media.wire import VOICE, open_pairs


def open_ports(
    host: str, ports: tuple[int, ...], *, dscp: int = VOICE
) -> tuple[list[int], list[socket.socket], list[socket.socket]]:
    """Sockets of even RTP ports and their odd RTCP neighbours: the numbers, the RTP sockets, the RTCP sockets.

    Raises:
        OSError: not one pair can be bound.
    """
    if not ports:
        raise OSError("no media ports are given")
    numbers, rtp, rtcp = open_pairs(host, range(min(ports), max(ports) + 2), dscp=dscp)
    keep = [n for n, port in enumerate(numbers) if port in ports]
    for n in set(range(len(numbers))) - set(keep):
        rtp[n].close()
        rtcp[n].close()
    return [numbers[n] for n in keep], [rtp[n] for n in keep], [rtcp[n] for n in keep]
