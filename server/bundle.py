"""The ports that a worker's voice and pictures share (BUNDLE, RFC 9143), held by the process that outlives workers.

Both processes of a worker get the socket: the audio process reads it and sends voice, the video process sends pictures.
What the audio process reads of pictures it hands on by a relay.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from socket import socket

from bridge.media import relay
from bridge.media.wire import open_socket


@dataclass(slots=True)
class Shared:
    """Of one audio worker."""

    port: int
    bound: socket
    written: socket
    """The relay's ends."""
    read: socket


class BundlePorts:
    """One for each audio worker."""

    def __init__(self, host: str, ports: Sequence[int]) -> None:
        """A port that is taken has another in its place: browsers read it in each call's SDP.

        Raises:
            OSError: the host is none of ours.
        """
        self._shared: list[Shared] = []
        try:
            for port in ports:
                try:
                    bound = open_socket(host, port)
                except OSError:
                    bound = open_socket(host, 0)
                self._shared.append(Shared(bound.getsockname()[1], bound, *relay.pair()))
        except BaseException:
            self.close()
            raise

    @property
    def ports(self) -> tuple[int, ...]:
        """By audio worker."""
        return tuple(each.port for each in self._shared)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """By audio worker: where this machine reaches the port, which is on loopback if that is allowed."""
        return tuple((_reached(each.bound.getsockname()[0]), each.port) for each in self._shared)

    def audio(self, worker: int) -> tuple[tuple[int, ...], list[int]]:
        """The bundle ports and the descriptors of an audio worker's beginning."""
        each = self._shared[worker]
        return (each.port,), [each.bound.fileno(), each.written.fileno()]

    def video(self, worker: int, workers: int) -> tuple[tuple[int, ...], list[int]]:
        """Those of a video worker, of ``workers``: of all audio workers whose pictures it has."""
        mine = self._shared[worker::workers]
        sockets = [each.bound.fileno() for each in mine]
        return tuple(each.port for each in mine), sockets + [each.read.fileno() for each in mine]

    def close(self) -> None:
        for each in self._shared:
            for sock in (each.bound, each.written, each.read):
                sock.close()


def _reached(host: str) -> str:
    """An address at which a socket bound to ``host`` is reached from here."""
    ip = ipaddress.IPv6Address(host)
    return "127.0.0.1" if ip.is_unspecified else str(ip.ipv4_mapped or ip)
