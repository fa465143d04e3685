"""Control's side of the TCP relay: holds its listeners, starts it when somebody comes, and again when it died.

The listeners are ours, so that whoever connects while no relay runs waits in the kernel for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateways.webrtc.tcp_relay import SEND_BUFFER, Address, Figures

log = structlog.get_logger("relay")

BACKLOG = 512
"""Connections that wait to be accepted: an office that comes back at once."""
STALLED = 5.0
"""Seconds without figures (due every second; a start takes a part of one) after which it is taken for hung."""
RESTARTS = 5
"""Deaths within a minute after which the next start waits :data:`REST`: a restart does not cure what is wrong."""
REST = 10.0
"""Seconds; likewise where no process can be had."""
MODULE = "gateways.webrtc.tcp_relay"


def listening(host: str, port: int) -> socket.socket:
    """A listener on ``host``; empty: on every address.

    Raises:
        OSError: it can't be had.
    """
    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        ip = ipaddress.ip_address(host or "::")
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # accepted ones have it from here
        sock.bind((f"::ffff:{ip}" if ip.version == 4 else str(ip), port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class TcpRelay(Collector):
    """One process for all workers, a port each."""

    def __init__(self, host: str, ports: Sequence[int], targets: Sequence[Address]) -> None:
        """A port that can't be had has another in its place: browsers read it in each call's SDP.

        Args:
            targets: the bundle port behind each.

        Raises:
            OSError: the host is none of ours.
        """
        self._listeners: list[socket.socket] = []
        self._targets = list(targets)
        try:
            for port in ports:
                self._listeners.append(self._listening(host, port))
        except BaseException:
            self._close_listeners()
            raise
        self._popen: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = False
        self._heard = 0.0
        self._deaths: list[float] = []
        self._before = Figures()
        """Of those that died."""
        self._last = Figures()
        self.restarts = -1
        """Starts after the first."""

    def _listening(self, host: str, port: int) -> socket.socket:
        try:
            return listening(host, port)
        except OSError as error:
            found = listening(host, 0)
            got = found.getsockname()[1]
            log.warning("[webrtc] tcp_port can't be had; another serves", wanted=port, port=got, error=str(error))
            return found

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(each.getsockname()[1] for each in self._listeners)

    @property
    def pid(self) -> int:
        """0: none runs."""
        return self._popen.pid if self._popen else 0

    def arm(self) -> None:
        """Start the process as soon as somebody connects."""
        self._timer = None
        if not self._armed:
            self._armed = True
            for each in self._listeners:
                asyncio.get_running_loop().add_reader(each, self._launch)

    def figures(self) -> Figures:
        """Of all processes so far."""
        before, last = self._before, self._last
        summed = {
            name: getattr(before, name) + getattr(last, name)
            for name in ("accepted", "refused", "idle", "received", "sent", "late", "cpu_seconds")
        }
        return Figures(last.connections, last.unproven, **summed)

    async def close(self) -> None:
        self._disarm()
        if self._timer is not None:
            self._timer.cancel()
        popen = self._popen
        self._detach()  # it reads the end of its socket and goes
        if popen is not None:
            try:
                await asyncio.to_thread(popen.wait, 2.0)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
        self._close_listeners()

    def collect(self) -> Iterator[Metric]:
        """For ``/metrics``."""
        now = self.figures()
        yield GaugeMetricFamily("visiopont_tcp_connections", "Browsers' TCP connections", now.connections)
        for name, text, value in (
            ("tcp_accepted", "Browsers' TCP connections accepted", now.accepted),
            ("tcp_refused", "TCP connections closed that proved to be no browser's", now.refused),
            ("tcp_received_packets", "Packets from browsers by TCP", now.received),
            ("tcp_sent_packets", "Packets to browsers by TCP", now.sent),
            ("tcp_late_packets", "Packets that a browser's TCP connection was too slow for", now.late),
            ("tcp_relay_cpu_seconds", "CPU time of the TCP relay", now.cpu_seconds),
            ("tcp_relay_restarts", "TCP relays replaced", max(0, self.restarts)),
        ):
            yield CounterMetricFamily(f"visiopont_{name}", text, value)

    # The process

    def _launch(self) -> None:
        self._disarm()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        descriptors = [each.fileno() for each in self._listeners]
        behind = [f"{fd}={host}:{port}" for fd, (host, port) in zip(descriptors, self._targets, strict=True)]
        try:
            with theirs:
                self._popen = subprocess.Popen(
                    [sys.executable, "-m", MODULE, str(theirs.fileno()), *behind],
                    pass_fds=[theirs.fileno(), *descriptors],
                    stdin=subprocess.DEVNULL,
                )
        except OSError as error:  # no process, no descriptor to be had
            ours.close()
            log.error("no TCP relay can be started; trying again", error=str(error))
            self._rest()
            return
        self._control = ours
        self._heard = time.monotonic()
        self.restarts += 1
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, self._read)
        self._timer = loop.call_later(1.0, self._check)

    def _read(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._died()
            return
        self._heard = time.monotonic()
        with contextlib.suppress(msgspec.MsgspecError):
            self._last = msgspec.json.decode(data, type=Figures)

    def _check(self) -> None:
        assert self._popen is not None
        if time.monotonic() - self._heard > STALLED:
            log.error("TCP relay hangs; replacing it", pid=self._popen.pid)
            self._popen.send_signal(signal.SIGKILL)
            self._heard = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(1.0, self._check)

    def _died(self) -> None:
        assert self._popen is not None
        popen = self._popen
        self._detach()
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(1)
        log.error("TCP relay died; another one starts when somebody connects", status=popen.poll())
        self._before = self.figures()
        self._last = Figures()
        now = time.monotonic()
        self._deaths = [when for when in self._deaths if now - when < 60] + [now]
        if len(self._deaths) > RESTARTS:
            self._rest()
        else:
            self.arm()

    def _rest(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(REST, self.arm)

    def _detach(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
        self._popen = None

    def _disarm(self) -> None:
        if self._armed:
            self._armed = False
            for each in self._listeners:
                asyncio.get_running_loop().remove_reader(each)

    def _close_listeners(self) -> None:
        for each in self._listeners:
            each.close()
