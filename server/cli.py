"""The command line: ``visiopont serve``, ``demo``, ``rooms``, ``call``, ``top``, ``check``, ``settings``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from . import reference
from . import settings as settings_module
from .settings import Settings
from .top import marks

app = typer.Typer(
    help="Visiopont: a SIP/RTP conference bridge. / Visiopont : un pont de conférence SIP/RTP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

Config = Annotated[Path | None, typer.Option("--config", help="TOML file; default: visiopont.toml if it is there")]
SipFlag = Annotated[list[str] | None, typer.Option("--sip", help="listener, as udp:127.0.0.1:5060; repeatable")]
HttpFlag = Annotated[str | None, typer.Option("--http", help="HTTP address, as 127.0.0.1:8080; '' for none")]
PortsFlag = Annotated[str | None, typer.Option("--media-ports", help="UDP port range, as 16000-16255")]
WorkersFlag = Annotated[int | None, typer.Option("--workers", help="media processes, one a core")]
DataFlag = Annotated[Path | None, typer.Option("--data", help="directory for what is kept")]
Server = Annotated[str, typer.Option("--server", envvar="VISIOPONT_SERVER", help="the running bridge's HTTP address")]
FILES = 16_384
"""Open files: :data:`bridge.io.CONNECTIONS`, HTTP, handshakes and workers, with room to spare."""
DEFAULT_SERVER = "http://127.0.0.1:8080"


def _flags(
    sip: list[str] | None, http: str | None, ports: str | None, workers: int | None, data: Path | None
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
    if data is not None:
        flags["storage"] = {"data": data}
    return flags


def _load(config: Path | None, flags: dict[str, Any]) -> Settings:
    try:
        return settings_module.load(config, flags)
    except ValidationError as error:
        for fault in settings_module.faults(error):
            _complain("settings", fault)
    except (OSError, ValueError) as error:
        _complain("settings", str(error))
    raise typer.Exit(2)


def _complain(subject: str, text: str) -> None:
    """One line on standard error, not wrapped: others may read it too."""
    err.print(Text(f"{subject}: ", style="bold red") + Text(text), soft_wrap=True)


@app.command()
def serve(
    config: Config = None,
    sip: SipFlag = None,
    http: HttpFlag = None,
    media_ports: PortsFlag = None,
    workers: WorkersFlag = None,
    data: DataFlag = None,
) -> None:
    """Run the bridge."""
    _run(_load(config, _flags(sip, http, media_ports, workers, data)), demo=False)


@app.command()
def demo(
    config: Config = None,
    sip: SipFlag = None,
    http: HttpFlag = None,
    media_ports: PortsFlag = None,
    workers: WorkersFlag = None,
    data: DataFlag = None,
) -> None:
    """Run the bridge with a room `demo` in which three people talk already."""
    _run(_load(config, _flags(sip, http, media_ports, workers, data)), demo=True)


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
        _complain("visiopont", str(error))
        err.print("`visiopont check` says more.", highlight=False)
        status = 1
    raise typer.Exit(status)


@app.command()
def check(
    config: Config = None,
    sip: SipFlag = None,
    http: HttpFlag = None,
    media_ports: PortsFlag = None,
    workers: WorkersFlag = None,
    data: DataFlag = None,
) -> None:
    """Say what is wrong with settings, ports, codecs or clock, and what to do."""
    from .check import examine

    settings = _load(config, _flags(sip, http, media_ports, workers, data))
    failed = False
    colours = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "error": "[red]error[/]  "}
    for finding in examine(settings):
        failed |= finding.verdict == "error"
        out.print(f"{colours[finding.verdict]} {escape(finding.subject)}: {escape(finding.detail)}", soft_wrap=True)
        if finding.advice:
            out.print(f"        {escape(finding.advice)}", soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


@app.command("settings")
def show_settings(
    config: Config = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="the reference page instead of the values")] = False,
) -> None:
    """Print the settings in force, or their reference."""
    if markdown:
        sys.stdout.write(reference.markdown())
        return
    shown = _load(config, {}).model_dump(mode="json", exclude={"sip": {"accounts", "providers"}, "storage": {"url"}})
    for section in shown["room"].values():
        section.update({key: "****" for key in section if key.endswith("_pin")})
    out.print_json(data=shown)


def _ask(server: str, method: str, path: str, **wanted: Any) -> Any:
    """One API call; every failure ends in a sentence that says what to do."""
    try:
        answer = httpx.request(method, server.rstrip("/") + path, json=wanted or None, timeout=10)
    except httpx.HTTPError as error:
        _complain("visiopont", f"no bridge answers at {server} ({error}).")
        err.print("Start one with `visiopont demo`, or name yours with --server.", highlight=False)
        raise typer.Exit(1) from None
    body: Any = None
    with contextlib.suppress(ValueError):
        body = answer.json()
    if not isinstance(body, dict):
        _complain("visiopont", f"{server} answers, but is no Visiopont: name yours with --server.")
        raise typer.Exit(1)
    if answer.is_error:
        _complain("visiopont", str(body.get("detail", answer.reason_phrase)))
        raise typer.Exit(1)
    return body


@app.command()
def rooms(server: Server = DEFAULT_SERVER) -> None:
    """List the rooms of a running bridge and who is in them."""
    found = _ask(server, "GET", "/api/v1/rooms")["rooms"]
    if not found:
        out.print("No room is on. Dial any name to open one, as in sip:meeting@HOST.", highlight=False)
        return
    table = Table("room", "number", "state", "no.", "participant", "role", "", box=None)
    for room in found:
        state = "locked" if room["locked"] else "on" if room["on"] else "empty"
        head = (escape(room["name"]), room["number"], state)
        for person in room["participants"]:
            table.add_row(
                *head, str(person["number"]), escape(person["name"]), person["role"], ", ".join(marks(person))
            )
            head = ("", "", "")
        for callee in room["dialling"]:
            table.add_row(*head, str(callee["participant"]), escape(callee["uri"]), "", "being called")
            head = ("", "", "")
        if head[0]:
            table.add_row(*head, "", "", "", "")
    out.print(table)


@app.command()
def call(
    uri: Annotated[str, typer.Argument(help="whom to call, as sip:alice@192.0.2.7")],
    room: Annotated[str, typer.Option("--room", help="the room that the call joins")],
    server: Server = DEFAULT_SERVER,
) -> None:
    """Dial out: call somebody into a room."""
    answer = _ask(server, "POST", f"/api/v1/rooms/{quote(room, safe='')}/calls", uri=uri)
    out.print(f"Calling {escape(uri)} into room {escape(room)} (participant {answer['participant']}).", highlight=False)


@app.command()
def top(
    server: Server = DEFAULT_SERVER,
    once: Annotated[bool, typer.Option("--once", help="print one picture and end")] = False,
) -> None:
    """Watch rooms, participants, levels, loss, jitter and the beat, live."""
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
