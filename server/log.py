"""Logging: one line an event, for people or for machines, and none that a stranger makes long or many."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from .settings import Log

LONGEST = 300
"""Characters of a value; what a peer sent may be 64 kB."""
CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: " ", 0x2029: " "}
"""Characters that would forge a line or steer a terminal, as they are shown instead."""


def set_up(settings: Log) -> None:
    """Send everything, the libraries' logging included, to standard error in one form."""
    level = getattr(logging, settings.level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        bounded,
    ]
    last: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.json_lines
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    relay = logging.StreamHandler(sys.stderr)
    relay.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [relay]
    root.setLevel(max(level, logging.WARNING))


def bounded(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """No value is longer than :data:`LONGEST` or carries control characters."""
    for key, value in event.items():
        if key in ("exc_info", "stack_info") or isinstance(value, int | float | None):
            continue
        text = value if isinstance(value, str) else str(value)
        if len(text) > LONGEST:
            text = text[:LONGEST] + "…"
        event[key] = text.translate(CONTROL)
    return event


class Sampler:
    """Lets the first ``burst`` lines of a kind through in each period, counts the others and says how many they were.

    Kinds must be few (a code, a method): one counter is kept for each.
    """

    def __init__(self, burst: int, period: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._period, self._clock = burst, period, clock
        self._kinds: dict[str, list[float]] = {}

    def let(self, kind: str) -> int | None:
        """None: no line now. Else how many lines of this kind were left out before it."""
        now = self._clock()
        since, passed, left_out = self._kinds.setdefault(kind, [now, 0, 0])
        if now - since >= self._period:
            self._kinds[kind] = [now, 1, 0]
            return int(left_out)
        if passed < self._burst:
            self._kinds[kind][1] += 1
            return 0
        self._kinds[kind][2] += 1
        return None
