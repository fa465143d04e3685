"""The command line: ``visiopont serve``, ``demo``, ``rooms``, ``call``, ``transfer``, ``snapshot``, ``link``, ``top``,
``check``, ``settings``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import httpx
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from . import reference
from . import settings as settings_module
from .link import HOURS
from .settings import Settings
from .top import marks
from .usage import Command, Group
from .words import language, line, say, translated

app = typer.Typer(
    cls=Group,
    help=say("Visiopont: a SIP/RTP conference bridge."),
    subcommand_metavar=say("COMMAND [ARGS]..."),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar=say("FILE"), help=say("TOML file; default: visiopont.toml if it is there")),
]
SipFlag = Annotated[
    list[str] | None,
    typer.Option("--sip", metavar=say("ADDRESS"), help=say("listener, as udp:127.0.0.1:5060; repeatable")),
]
HttpFlag = Annotated[
    str | None, typer.Option("--http", metavar=say("ADDRESS"), help=say("HTTP address, as 127.0.0.1:8080; '' for none"))
]
PortsFlag = Annotated[
    str | None, typer.Option("--media-ports", metavar="PORTS", help=say("UDP port range, as 16000-16255"))
]
VideoFlag = Annotated[
    str | None,
    typer.Option(
        "--video-ports", metavar="PORTS", help=say("UDP port range for pictures, as 17000-17255; '' for none")
    ),
]
WorkersFlag = Annotated[
    int | None, typer.Option("--workers", metavar=say("NUMBER"), help=say("media processes, one a core"))
]
DataFlag = Annotated[
    Path | None, typer.Option("--data", metavar=say("DIRECTORY"), help=say("directory for what is kept"))
]
Server = Annotated[
    str,
    typer.Option("--server", metavar="URL", envvar="VISIOPONT_SERVER", help=say("the running bridge's HTTP address")),
]
FILES = 16_384
"""Open files: :data:`bridge.io.CONNECTIONS`, HTTP, handshakes and workers, with room to spare."""
DEFAULT_SERVER = "http://127.0.0.1:8080"


def _flags(
    sip: list[str] | None,
    http: str | None,
    ports: str | None,
    video: str | None,
    workers: int | None,
    data: Path | None,
) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    if sip:
        flags["sip"] = {"listen": tuple(sip)}
    if http is not None:
        flags["http"] = {"listen": http}
    media: dict[str, Any] = {}
    if ports is not None:
        media["ports"] = ports
    if workers is not None:
        media["workers"] = workers
    if media:
        flags["media"] = media
    if video is not None:
        flags["video"] = {"ports": video} if video else {"enabled": False}
    if data is not None:
        flags["storage"] = {"data": data}
    return flags


def _load(config: Path | None, flags: dict[str, Any]) -> Settings:
    try:
        return settings_module.load(config, flags)
    except ValidationError as error:
        for fault in settings_module.faults(error):
            _complain(say("settings"), fault)
    except (OSError, ValueError) as error:
        _complain(say("settings"), translated(str(error)))
    raise typer.Exit(2)


def _complain(subject: str, text: str) -> None:
    """One line on standard error, not wrapped: others may read it too."""
    said = Text(line(subject, text))
    said.stylize("bold red", 0, len(subject) + 2)
    err.print(said, soft_wrap=True)


@app.command(cls=Command, help=say("Run the bridge."))
def serve(
    config: Config = None,
    sip: SipFlag = None,
    http: HttpFlag = None,
    media_ports: PortsFlag = None,
    video_ports: VideoFlag = None,
    workers: WorkersFlag = None,
    data: DataFlag = None,
) -> None:
    _run(_load(config, _flags(sip, http, media_ports, video_ports, workers, data)), demo=False)


@app.command(cls=Command, help=say("Run the bridge with a room `demo` in which three people talk already."))
def demo(
    config: Config = None,
    sip: SipFlag = None,
    http: HttpFlag = None,
    media_ports: PortsFlag = None,
    video_ports: VideoFlag = None,
    workers: WorkersFlag = None,
    data: DataFlag = None,
) -> None:
    _run(_load(config, _flags(sip, http, media_ports, video_ports, workers, data)), demo=True)


def _take_files() -> None:
    """As many open files as we may have: with 1,024, the usual soft limit, a flood of connections would take those that
    a media worker's successor needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _run(settings: Settings, *, demo: bool) -> None:
    from .app import run

    _take_files()
    try:
        status = asyncio.run(run(settings, demo=demo))
    except (OSError, ValueError) as error:
        _complain("visiopont", translated(str(error)))
        err.print(say("`visiopont check` says more."), highlight=False)
        status = 1
    raise typer.Exit(status)


@app.command(
    cls=Command, help=say("Say what is wrong with settings, ports, providers, codecs or clock, and what to do.")
)
def check(
    config: Config = None,
    sip: SipFlag = None,
    http: HttpFlag = None,
    media_ports: PortsFlag = None,
    video_ports: VideoFlag = None,
    workers: WorkersFlag = None,
    data: DataFlag = None,
) -> None:
    from .check import examine

    settings = _load(config, _flags(sip, http, media_ports, video_ports, workers, data))
    failed = False
    verdicts = {"ok": say("ok"), "warning": say("warning"), "error": say("error")}
    colours = {"ok": "green", "warning": "yellow", "error": "red"}
    width = max(map(len, verdicts.values())) + 1
    for finding in examine(settings):
        failed |= finding.verdict == "error"
        verdict = Text(f"{verdicts[finding.verdict]:<{width}}", style=colours[finding.verdict])
        out.print(verdict + Text(line(finding.subject, finding.detail)), soft_wrap=True)
        if finding.advice:
            out.print(Text(" " * width + finding.advice), soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


@app.command("settings", cls=Command, help=say("Print the settings in force, or their reference."))
def show_settings(
    config: Config = None,
    markdown: Annotated[bool, typer.Option("--markdown", help=say("the reference page instead of the values"))] = False,
) -> None:
    if markdown:
        sys.stdout.write(reference.markdown())
        return
    shown = _load(config, {}).model_dump(mode="json", exclude={"sip": {"accounts", "providers"}, "storage": {"url"}})
    for section in shown["room"].values():
        section.update({key: "****" for key in section if key.endswith("_pin")})
    out.print_json(data=shown)


def _ask(server: str, method: str, path: str, **wanted: Any) -> Any:
    """One API call; every failure ends in a sentence that says what to do."""
    return _understood(server, _reach(server, method, path, **wanted))


def _reach(server: str, method: str, path: str, **wanted: Any) -> httpx.Response:
    try:
        headers = {"Accept-Language": language()}
        address = server.rstrip("/") + path
        return httpx.request(
            method, address, json=wanted or None, headers=headers, timeout=10, verify=_certified(server)
        )
    except httpx.HTTPError as error:
        why = translated(str(error))
        _complain("visiopont", say("no bridge answers at {server} ({error}).", server=server, error=why))
        err.print(say("Start one with `visiopont demo`, or name yours with --server."), highlight=False)
        raise typer.Exit(1) from None


def _certified(server: str) -> bool:
    """Must the bridge's certificate be its name's? Not on this machine: certificates name no loopback address."""
    return not settings_module.is_loopback(urlsplit(server).hostname or "")


def _understood(server: str, answer: httpx.Response) -> Any:
    """What the bridge said, unless it said no."""
    body: Any = None
    with contextlib.suppress(ValueError):
        body = answer.json()
    if not isinstance(body, dict):
        _complain("visiopont", say("{server} answers, but is no Visiopont: name yours with --server.", server=server))
        raise typer.Exit(1)
    if answer.is_error:
        _complain("visiopont", str(body.get("detail", answer.reason_phrase)))
        raise typer.Exit(1)
    return body


@app.command(cls=Command, help=say("List the rooms of a running bridge and who is in them."))
def rooms(server: Server = DEFAULT_SERVER) -> None:
    found = _ask(server, "GET", "/api/v1/rooms")["rooms"]
    if not found:
        out.print(say("No room is on. Dial any name to open one, as in sip:meeting@HOST."), highlight=False)
        return
    names = say("room"), say("number"), say("state"), say("no."), say("participant"), say("role"), ""
    table = Table(*names, box=None)
    roles = {"host": say("host"), "guest": say("guest")}
    for room in found:
        state = say("locked") if room["locked"] else say("on") if room["on"] else say("empty")
        head = (escape(room["name"]), room["number"], state)
        for person in room["participants"]:
            role = roles.get(person["role"], person["role"])
            table.add_row(*head, str(person["number"]), escape(person["name"]), role, ", ".join(marks(person)))
            head = ("", "", "")
        for callee in room["dialling"]:
            table.add_row(*head, str(callee["participant"]), escape(callee["uri"]), "", say("being called"))
            head = ("", "", "")
        if head[0]:
            table.add_row(*head, "", "", "", "")
    out.print(table)


@app.command(cls=Command, help=say("Dial out: call somebody into a room."))
def call(
    uri: Annotated[str, typer.Argument(metavar="URI", help=say("whom to call, as sip:alice@192.0.2.7"))],
    room: Annotated[str, typer.Option("--room", metavar=say("ROOM"), help=say("the room that the call joins"))],
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help=say("tell how the call went"))] = True,
    server: Server = DEFAULT_SERVER,
) -> None:
    with contextlib.ExitStack() as stack:
        # The events first, so that none of the call's is missed.
        events = stack.enter_context(_events(server)) if wait else iter(())
        answer = _ask(server, "POST", f"/api/v1/rooms/{quote(room, safe='')}/calls", uri=uri)
        number = answer["participant"]
        said = say(
            "Calling {uri} into room {room} (participant {participant}).", uri=uri, room=room, participant=number
        )
        out.print(Text(said), soft_wrap=True)
        for event in events:
            if event.get("participant") != number:
                continue
            if event["event"] in ("Joined", "Waiting"):
                out.print(Text(say("{uri} has answered.", uri=uri)), soft_wrap=True)
                return
            if event["event"] == "CallOver":
                why = f"{event['code']} {translated(event['reason'])}".strip()
                _complain("visiopont", say("{uri} did not come: {reason}.", uri=uri, reason=why))
                raise typer.Exit(1)


@contextlib.contextmanager
def _events(server: str) -> Iterator[Iterator[dict[str, Any]]]:
    """What happens at the bridge, from now on; nothing where it can't be followed."""
    followed = False
    try:
        # The stream says something every 15 s, if only that it is there.
        address, timeout = server.rstrip("/") + "/api/v1/events", httpx.Timeout(10, read=45)
        with httpx.stream("GET", address, timeout=timeout, verify=_certified(server)) as answer:
            followed = True
            yield (
                json.loads(text.partition(":")[2])
                for text in (answer.iter_lines() if answer.is_success else ())
                if text.startswith("data:")
            )
    except httpx.HTTPError:
        if not followed:
            yield iter(())


@app.command(cls=Command, help=say("Send a participant's terminal to somebody else: it calls them and leaves here."))
def transfer(
    room: Annotated[str, typer.Argument(metavar=say("ROOM"), help=say("the room that it is in"))],
    participant: Annotated[
        int, typer.Argument(metavar="PARTICIPANT", help=say("its number, as `visiopont rooms` shows it"))
    ],
    uri: Annotated[str, typer.Argument(metavar="URI", help=say("whom to call, as sip:alice@192.0.2.7"))],
    server: Server = DEFAULT_SERVER,
) -> None:
    path = f"/api/v1/rooms/{quote(room, safe='')}/participants/{participant}/transfer"
    _ask(server, "POST", path, uri=uri)
    out.print(Text(say("Participant {participant} was asked to call {uri}.", participant=participant, uri=uri)))


@app.command(cls=Command, help=say("Write what a room sees to a PNG file."))
def snapshot(
    room: Annotated[str, typer.Argument(metavar=say("ROOM"), help=say("the room"))],
    file: Annotated[Path, typer.Option("--out", metavar=say("FILE"), help=say("the file to write"))],
    server: Server = DEFAULT_SERVER,
) -> None:
    answer = _reach(server, "GET", f"/api/v1/rooms/{quote(room, safe='')}/snapshot")
    if answer.headers.get("content-type") != "image/png":
        _understood(server, answer)
    try:
        file.write_bytes(answer.content)
    except OSError as error:
        _complain(str(file), translated(error.strerror or str(error)))
        raise typer.Exit(1) from None
    out.print(Text(say("Written to {file}.", file=file)), soft_wrap=True)


@app.command(cls=Command, help=say("Make a signed link into a room, for a browser."))
def link(
    room: Annotated[str, typer.Argument(metavar=say("ROOM"), help=say("the room"))],
    role: Annotated[str, typer.Option("--role", metavar=say("ROLE"), help=say("host or guest"))] = "guest",
    hours: Annotated[
        float, typer.Option("--hours", metavar=say("NUMBER"), help=say("how long it opens the room"))
    ] = HOURS,
    name: Annotated[str, typer.Option("--name", metavar=say("NAME"), help=say("whom it is for"))] = "",
    server: Server = DEFAULT_SERVER,
) -> None:
    path = f"/api/v1/rooms/{quote(room, safe='')}/links"
    answer = _ask(server, "POST", path, role=role, hours=hours, name=name)
    # Nothing else: others may read it.
    out.print(Text(answer["url"]), soft_wrap=True)


@app.command(cls=Command, help=say("Watch rooms, participants, levels, loss, jitter and the beat, live."))
def top(
    server: Server = DEFAULT_SERVER,
    once: Annotated[bool, typer.Option("--once", help=say("print one picture and end"))] = False,
) -> None:
    from .top import watch

    watch(lambda: _ask(server, "GET", "/api/v1/status"), out, once=once)


def main() -> None:
    """The ``visiopont`` command."""
    try:
        app()
    except BrokenPipeError:  # `visiopont rooms | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
