"""``visiopont top``: the live terminal view."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

PERIOD = 1.0
"""Seconds: workers report once a second."""


def meter(level_dbov: float, width: int = 16) -> Text:
    """A level bar: -60 dBov is empty, -10 full."""
    filled = round(min(max((level_dbov + 60) / 50, 0.0), 1.0) * width)
    colour = "red" if level_dbov > -12 else "green"
    return Text("█" * filled, style=colour) + Text("·" * (width - filled), style="dim")


def picture(status: dict[str, Any]) -> Group:
    """One picture of the bridge as the API's ``status`` says it is."""
    parts: list[Any] = []
    head = Table.grid(padding=(0, 2))
    head.add_row(
        f"[bold]Visiopont[/] {status['version']}",
        f"rooms {len(status['rooms'])}",
        f"calls {status['calls']}",
        f"up {int(status['uptime'])} s",
    )
    parts.append(head)
    workers = Table("worker", "pid", "streams", "beat p50", "p99", "max", "late", "CPU", "restarts", box=None)
    for worker in status["workers"]:
        workers.add_row(
            str(worker["number"]),
            str(worker["pid"]),
            str(worker["streams"]),
            f"{worker['beat_p50_ms']:.2f} ms",
            f"{worker['beat_p99_ms']:.2f} ms",
            f"{worker['beat_max_ms']:.2f} ms",
            str(worker["beats_late"]),
            f"{worker['cpu'] * 100:.0f} %",
            str(worker["restarts"]),
        )
    parts.append(workers)
    for room in status["rooms"]:
        people = Table(
            f"[bold]{room['name']}[/] {room['number']}",
            "level",
            "codec",
            "loss",
            "jitter",
            "delay",
            "round trip",
            "",
            box=None,
            title_justify="left",
        )
        for person in room["participants"]:
            media = person.get("media") or {}
            marks = [
                mark
                for mark, on in (
                    ("speaking", person["speaking"]),
                    ("muted by host", person["muted_by_host"]),
                    ("muted", person["muted_by_self"]),
                    (f"hand {person['hand']}", person["hand"]),
                    ("lobby", person["state"] == "lobby"),
                )
                if on
            ]
            received, lost = media.get("received", 0), media.get("lost", 0)
            people.add_row(
                person["name"],
                meter(media.get("level_dbov", -127.0)),
                media.get("codec", ""),
                f"{100 * lost / max(received + lost, 1):.1f} %",
                f"{media.get('jitter_ms', 0.0):.1f} ms",
                f"{media.get('delay_ms', 0.0):.0f} ms",
                f"{media.get('round_trip_ms', 0.0):.0f} ms",
                ", ".join(marks),
            )
        parts.append(people)
    return Group(*parts)


def watch(fetch: Callable[[], dict[str, Any]], console: Console, *, once: bool) -> None:
    """Show the bridge until Ctrl-C (or once)."""
    if once:
        console.print(picture(fetch()))
        return
    try:
        with Live(picture(fetch()), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(PERIOD)
                live.update(picture(fetch()), refresh=True)
    except KeyboardInterrupt:
        pass
