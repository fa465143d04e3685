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

from .words import decimal, say

PERIOD = 1.0
"""Seconds: workers report once a second."""
WIDTH = 8
"""Characters of a level bar."""
SILENCE = -127.0
"""dBov (RFC 6464 §3)."""
Json = Mapping[str, Any]


def meter(level_dbov: float) -> Text:
    """A level bar: -60 dBov is empty, -10 full."""
    filled = round(min(max((level_dbov + 60) / 50, 0.0), 1.0) * WIDTH)
    colour = "red" if level_dbov > -12 else "green"
    return Text("█" * filled, style=colour) + Text("·" * (WIDTH - filled), style="dim")


def marks(person: Json, *, presenting: bool = False) -> list[str]:
    """What is particular about a participant, in words."""
    said = (
        (say("speaking"), person["speaking"]),
        (say("lobby"), person["state"] == "lobby"),
        (say("wants help"), person["help_wanted"]),
        (say("muted by host"), person["muted_by_host"]),
        (say("muted"), person["muted_by_self"]),
        (say("deaf"), person["deaf"]),
        (say("presents"), presenting),
        (say("hand {place}", place=person["hand"]), person["hand"]),
        (say("on hold"), (person["media"] or {}).get("on_hold")),
        (say("SRTP"), (person["media"] or {}).get("secure")),
    )
    return [mark for mark, on in said if on]


def interest(person: Json) -> tuple[bool, bool, bool, float]:
    """Who is shown where there is not room for all: who wants help, who speaks, whose hand is up, who is loud."""
    level = float((person["media"] or {}).get("level_dbov", SILENCE))
    return not person["help_wanted"], not person["speaking"], not person["hand"], -level


def picture(status: Json, lines: int) -> Group:
    """One picture of the bridge as the API's ``status`` says it is, in about ``lines`` lines."""
    on = [room for room in status["rooms"] if room["on"]]
    parts: list[Any] = [_head(status, on), "", _workers(status["workers"])]
    left = lines - 4 - len(status["workers"])
    seeing = [worker for worker in status.get("video_workers", ()) if worker["streams"]]
    if seeing:
        parts += ["", _video_workers(seeing)]
        left -= 2 + len(seeing)
    for number, room in enumerate(on):
        if left < 4:
            parts.append(Text(say("... and {count} more rooms", count=len(on) - number), style="dim"))
            break
        share = max(2, left // (len(on) - number) - 2)
        table, used = _room(room, share)
        parts += ["", table]
        left -= used + 2
    return Group(*parts)


def _head(status: Json, on: Sequence[Json]) -> Text:
    hours, rest = divmod(int(status["uptime"]), 3600)
    head = Text(f"Visiopont {status['version']}", style="bold", no_wrap=True, overflow="ellipsis")
    if not status["ready"]:
        head.append(f"  {say('takes no calls')}", style="bold red")
    people = sum(len(room["participants"]) for room in on)
    figures = (
        say("rooms {count}", count=len(on)),
        say("participants {count}", count=people),
        say("calls {count}", count=status["calls"]),
        say("registered {count}", count=status["registrations"]),
        say("up {time}", time=f"{hours}:{rest // 60:02}:{rest % 60:02}"),
    )
    for figure in figures:
        head.append(f"  {figure}", style="not bold")
    return head


def _table(first: str, least: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(_cut(first), min_width=least, max_width=28)
    return table


def _cut(markup: str) -> Text:
    """Words that are cut where there is not room for them. A column of such gives way first: the figures stay."""
    text = Text.from_markup(markup)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _words(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, no_wrap=True)


def _figures(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def _workers(workers: Sequence[Json]) -> Table:
    table = _table(say("worker"), 8)
    _figures(table, say("pid"), say("streams"), say("beat p50"), say("p99"), say("max ms"))
    _figures(table, say("late"), say("CPU"), say("restarts"))
    for worker in workers:
        table.add_row(
            say("failed") if worker["failed"] else str(worker["number"]),
            str(worker["pid"]),
            str(worker["streams"]),
            *(decimal(worker[f"beat_{name}_ms"], 2) for name in ("p50", "p99", "max")),
            str(worker["beats_late"]),
            f"{worker['cpu'] * 100:.0f} %",
            str(worker["restarts"]),
        )
    return table


def _video_workers(workers: Sequence[Json]) -> Table:
    table = _table(say("pictures"), 8)
    _figures(table, say("pid"), say("streams"), say("beat p50"), say("p99 ms"), say("encodings"))
    _figures(table, say("late"), say("CPU"), say("restarts"))
    for worker in workers:
        table.add_row(
            say("failed") if worker["failed"] else str(worker["number"]),
            str(worker["pid"]),
            str(worker["streams"]),
            *(decimal(worker[f"beat_{name}_ms"], 2) for name in ("p50", "p99")),
            str(worker["encodings"]),
            str(worker["late"]),
            f"{worker['cpu'] * 100:.0f} %",
            str(worker["restarts"]),
        )
    return table


def _pictures(media: Json | None) -> str:
    """What somebody sends and is sent: ``H264 640x360 30 ↑0.4 ↓1.2`` in Mbit/s."""
    for video in (media or {}).get("video", ()):
        if not video["content"]:
            sent, got = video["in"], video["out"]
            size = f" {sent['width']}x{sent['height']} {sent['rate']:.0f}" if sent["width"] else ""
            rates = (f"{mark}{decimal(each['bitrate'] / 1e6, 1)}" for mark, each in (("↑", sent), ("↓", got)))
            return f"{sent['codec'] or got['codec']}{size} {' '.join(rates)}"
    return ""


def _room(room: Json, share: int) -> tuple[Table, int]:
    """A room in at most ``share`` lines, and how many it took."""
    name = f"[bold]{escape(room['name'])}[/] {room['number']}"
    if room["locked"]:
        name += f" {say('(locked)')}"
    table = _table(name, 16)
    _words(table, say("level"), say("codec"))
    _figures(table, say("loss"), say("jitter ms"), say("delay ms"), say("rtt ms"))
    people = room["participants"]
    presenter = room.get("presenter")

    def said(person: Json) -> list[str]:
        return marks(person, presenting=presenter is not None and person["number"] == presenter)

    seen = any(_pictures(person["media"]) for person in people)
    if seen:
        table.add_column(_cut(say("picture")))
    table.add_column("")
    shown = people if len(people) <= share else sorted(people, key=interest)[: share - 1]
    for person in shown:
        picture = (_cut(escape(_pictures(person["media"]))),) if seen else ()
        table.add_row(_cut(escape(person["name"])), *_media(person["media"]), *picture, _cut(", ".join(said(person))))
    if len(shown) < len(people):
        table.add_row(_cut(f"[dim]{say('... and {count} more', count=len(people) - len(shown))}[/]"))
    return table, min(len(people), share)


def _media(media: Json | None) -> tuple[Text | str, ...]:
    if media is None:
        return "", "", "", "", "", ""
    if not media["codec"]:
        return meter(media["level_dbov"]), f"[dim]{say('simulated')}[/]", "", "", "", ""
    if "received" not in media:
        return meter(SILENCE), _codec(media["codec"]), "", "", "", ""
    received, lost = media["received"], media["lost"]
    return (
        meter(media["level_dbov"]),
        _codec(media["codec"]),
        f"{decimal(100 * lost / max(received + lost, 1), 1)} %",
        decimal(media["jitter_ms"], 1),
        f"{media['delay_ms']:.0f}",
        f"{media['round_trip_ms']:.0f}",
    )


def _codec(name: str) -> str:
    """Without its clock rate, where that says nothing."""
    return name if name.startswith("L16") else name.partition("/")[0]


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
