"""``visiopont top``: the live terminal view."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

PERIOD = 1.0
"""Seconds: workers report once a second."""
WIDTH = 10
"""Characters of a level bar."""
SILENCE = -127.0
"""dBov (RFC 6464 §3)."""
Json = Mapping[str, Any]


def meter(level_dbov: float) -> Text:
    """A level bar: -60 dBov is empty, -10 full."""
    filled = round(min(max((level_dbov + 60) / 50, 0.0), 1.0) * WIDTH)
    colour = "red" if level_dbov > -12 else "green"
    return Text("█" * filled, style=colour) + Text("·" * (WIDTH - filled), style="dim")


def marks(person: Json) -> list[str]:
    """What is particular about a participant, in words."""
    said = (
        ("speaking", person["speaking"]),
        ("lobby", person["state"] == "lobby"),
        ("muted by host", person["muted_by_host"]),
        ("muted", person["muted_by_self"]),
        ("deaf", person["deaf"]),
        (f"hand {person['hand']}", person["hand"]),
        ("on hold", (person["media"] or {}).get("on_hold")),
        ("SRTP", (person["media"] or {}).get("secure")),
    )
    return [mark for mark, on in said if on]


def interest(person: Json) -> tuple[bool, bool, float]:
    """Who is shown where there is not room for all: who speaks, whose hand is up, who is loud."""
    return not person["speaking"], not person["hand"], -float((person["media"] or {}).get("level_dbov", SILENCE))


def picture(status: Json, lines: int) -> Group:
    """One picture of the bridge as the API's ``status`` says it is, in about ``lines`` lines."""
    on = [room for room in status["rooms"] if room["on"]]
    parts: list[Any] = [_head(status, on), "", _workers(status["workers"])]
    left = lines - 4 - len(status["workers"])
    for number, room in enumerate(on):
        if left < 4:
            parts.append(Text(f"... and {len(on) - number} more rooms", style="dim"))
            break
        share = max(2, left // (len(on) - number) - 2)
        table, used = _room(room, share)
        parts += ["", table]
        left -= used + 2
    return Group(*parts)


def _head(status: Json, on: Sequence[Json]) -> Text:
    hours, rest = divmod(int(status["uptime"]), 3600)
    head = Text(f"Visiopont {status['version']}", style="bold")
    people = sum(len(room["participants"]) for room in on)
    head.append(
        f"   rooms {len(on)}   participants {people}   calls {status['calls']}"
        f"   registered {status['registrations']}   up {hours}:{rest // 60:02}:{rest % 60:02}",
        style="not bold",
    )
    if not status["ready"]:
        head.append("   takes no calls", style="bold red")
    return head


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True, min_width=14, max_width=28)
    for name in others:
        left = name in ("level", "codec", "")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    return table


def _workers(workers: Sequence[Json]) -> Table:
    table = _table("worker", "pid", "streams", "beat p50", "p99", "max ms", "late", "CPU", "restarts")
    for worker in workers:
        table.add_row(
            "failed" if worker["failed"] else str(worker["number"]),
            str(worker["pid"]),
            str(worker["streams"]),
            *(f"{worker[f'beat_{name}_ms']:.2f}" for name in ("p50", "p99", "max")),
            str(worker["beats_late"]),
            f"{worker['cpu'] * 100:.0f} %",
            str(worker["restarts"]),
        )
    return table


def _room(room: Json, share: int) -> tuple[Table, int]:
    """A room in at most ``share`` lines, and how many it took."""
    name = f"[bold]{escape(room['name'])}[/] {room['number']}{' (locked)' if room['locked'] else ''}"
    table = _table(name, "level", "codec", "loss", "jitter", "delay", "rtt ms", "")
    people = room["participants"]
    shown = people if len(people) <= share else sorted(people, key=interest)[: share - 1]
    for person in shown:
        table.add_row(escape(person["name"]), *_media(person["media"]), ", ".join(marks(person)))
    if len(shown) < len(people):
        table.add_row(f"[dim]... and {len(people) - len(shown)} more[/]")
    return table, min(len(people), share)


def _media(media: Json | None) -> tuple[Text | str, ...]:
    if media is None:
        return "", "[dim]simulated[/]", "", "", "", ""
    if "received" not in media:
        return meter(SILENCE), media["codec"], "", "", "", ""
    received, lost = media["received"], media["lost"]
    return (
        meter(media["level_dbov"]),
        media["codec"],
        f"{100 * lost / max(received + lost, 1):.1f} %",
        f"{media['jitter_ms']:.1f}",
        f"{media['delay_ms']:.0f}",
        f"{media['round_trip_ms']:.0f}",
    )


def watch(fetch: Callable[[], Json], console: Console, *, once: bool) -> None:
    """Show the bridge until Ctrl-C (or once)."""
    if once:
        console.print(picture(fetch(), 1000))
        return
    try:
        with Live(picture(fetch(), console.height), console=console, screen=True, auto_refresh=False) as live:
            live.refresh()
            while True:
                time.sleep(PERIOD)
                live.update(picture(fetch(), console.height), refresh=True)
    except KeyboardInterrupt:
        pass
