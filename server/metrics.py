"""``/metrics``: counters that are counted as things happen, and a state that is read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.signalling.event import Malformed, Rejected
from bridge.signalling.gate import METHODS
from bridge.worker.protocol import Report
from bridge.worker.protocol_video import VideoReport

disable_created_metrics()  # type: ignore[no-untyped-call] # they double the lines and nobody reads them


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One worker as of its last report."""

    restarts: int
    streams: int
    report: Report | None


@dataclass(frozen=True, slots=True)
class VideoFigures:
    """One video worker, likewise."""

    restarts: int
    streams: int
    report: VideoReport | None


@dataclass(frozen=True, slots=True)
class Figures:
    """The state at one moment."""

    calls: int
    rooms: int
    participants: int
    registrations: int
    listeners: int
    refused_connections: int
    received: int
    lost: int
    """RTP packets of the streams that are there now."""
    workers: Mapping[int, WorkerFigures]
    video_workers: Mapping[int, VideoFigures] = field(default_factory=dict)
    wrong_pins: int = 0
    refused_pins: int = 0


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._rejections = Counter(
            "visiopont_sip_rejections", "Requests answered with an error", ("method", "code"), registry=self.registry
        )
        self._malformed = Counter("visiopont_sip_malformed", "What was no SIP message", registry=self.registry)
        self._events = Counter("visiopont_events", "What calls and rooms told", ("event",), registry=self.registry)
        self.bugs = Counter("visiopont_bugs", "Exceptions that should not be", registry=self.registry)
        ProcessCollector(registry=self.registry)

    def refused(self, event: Rejected | Malformed) -> None:
        if isinstance(event, Malformed):
            self._malformed.inc()
            return
        # Method names are a stranger's to choose: only those that we know become labels.
        method = event.method if event.method in METHODS else "other"
        self._rejections.labels(method, str(event.code)).inc()

    def told(self, event: object) -> None:
        self._events.labels(type(event).__name__).inc()

    def observe(self, figures: Callable[[], Figures]) -> None:
        """Read the state from ``figures`` at each scrape."""
        self.registry.register(_State(figures))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _State(Collector):
    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> list[Metric]:
        """None: the state is not there yet when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        now = self._figures()
        for name, text, value in (
            ("calls", "Calls held, those that are ending included", now.calls),
            ("rooms", "Rooms", now.rooms),
            ("participants", "Participants in rooms and lobbies", now.participants),
            ("registrations", "Addresses of record with a binding", now.registrations),
            ("event_listeners", "Readers of the event stream", now.listeners),
            ("rtp_received_packets", "RTP packets of the streams that are there now", now.received),
            ("rtp_lost_packets", "RTP packets lost on the way to us, of the streams that are there now", now.lost),
        ):
            yield GaugeMetricFamily(f"visiopont_{name}", text, value)
        yield CounterMetricFamily(
            "visiopont_sip_connections_refused",
            "TCP and TLS connections that were one too many",
            now.refused_connections,
        )
        yield CounterMetricFamily("visiopont_pins_wrong", "Wrong PINs", now.wrong_pins)
        yield CounterMetricFamily(
            "visiopont_pins_refused", "Tries at PINs that came too soon after wrong ones", now.refused_pins
        )
        yield from _workers(now.workers)
        yield from _video_workers(now.video_workers)


def _video_workers(workers: Mapping[int, VideoFigures]) -> Iterator[Metric]:
    streams = GaugeMetricFamily("visiopont_video_streams", "Pictures taken in and sent", labels=["worker"])
    restarts = CounterMetricFamily("visiopont_video_worker_restarts", "Video workers replaced", labels=["worker"])
    beat = GaugeMetricFamily(
        "visiopont_video_beat_seconds", "Duration of the video beat in the last second", labels=["worker", "quantile"]
    )
    encodings = GaugeMetricFamily("visiopont_video_encodings", "Encodings that somebody watches", labels=["worker"])
    frames = CounterMetricFamily(
        "visiopont_video_frames",
        "Pictures decoded, encoded, left out for want of change (still) or of time (late)",
        labels=["worker", "what"],
    )
    cpu = CounterMetricFamily("visiopont_video_worker_cpu_seconds", "CPU time", labels=["worker"])
    strangers = CounterMetricFamily("visiopont_video_strangers", "Datagrams from nobody we know", labels=["worker"])
    malformed = CounterMetricFamily("visiopont_video_malformed", "Datagrams that are no RTP or RTCP", labels=["worker"])
    for number, worker in workers.items():
        label = str(number)
        streams.add_metric([label], worker.streams)
        restarts.add_metric([label], worker.restarts)
        report = worker.report
        if report is None:
            continue
        for quantile, value in (("0.5", report.beat_p50_ms), ("0.99", report.beat_p99_ms)):
            beat.add_metric([label, quantile], value / 1000)
        encodings.add_metric([label], report.encodings)
        for what in ("decoded", "encoded", "still", "late"):
            frames.add_metric([label, what], getattr(report, what))
        cpu.add_metric([label], report.cpu_seconds)
        strangers.add_metric([label], report.strangers)
        malformed.add_metric([label], report.malformed)
    yield from (streams, restarts, beat, encodings, frames, cpu, strangers, malformed)


def _workers(workers: Mapping[int, WorkerFigures]) -> Iterator[Metric]:
    streams = GaugeMetricFamily("visiopont_worker_streams", "Streams held", labels=["worker"])
    restarts = CounterMetricFamily("visiopont_worker_restarts", "Workers replaced", labels=["worker"])
    beat = GaugeMetricFamily(
        "visiopont_beat_seconds", "Duration of the beat in the last second", labels=["worker", "quantile"]
    )
    late = CounterMetricFamily("visiopont_beats_late", "Beats begun more than one beat late", labels=["worker"])
    cpu = CounterMetricFamily("visiopont_worker_cpu_seconds", "CPU time", labels=["worker"])
    strangers = CounterMetricFamily("visiopont_rtp_strangers", "Datagrams from nobody we know", labels=["worker"])
    malformed = CounterMetricFamily("visiopont_rtp_malformed", "Datagrams that are no RTP or RTCP", labels=["worker"])
    for number, worker in workers.items():
        label = str(number)
        streams.add_metric([label], worker.streams)
        restarts.add_metric([label], worker.restarts)
        report = worker.report
        if report is None:
            continue
        for quantile, value in (
            ("0.5", report.beat_p50_ms),
            ("0.99", report.beat_p99_ms),
            ("1", report.beat_max_ms),
        ):
            beat.add_metric([label, quantile], value / 1000)
        late.add_metric([label], report.beats_late)
        cpu.add_metric([label], report.cpu_seconds)
        strangers.add_metric([label], report.strangers)
        malformed.add_metric([label], report.malformed)
    yield from (streams, restarts, beat, late, cpu, strangers, malformed)
