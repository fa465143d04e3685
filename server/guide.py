"""What is printed at the start: what to dial, in French and English."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

from bridge.io import Listener
from bridge.signalling.flow import Transport

EVERYWHERE = ("0.0.0.0", "::")
USUAL_HTTP = "http://127.0.0.1:8080"
"""Where ``visiopont top`` and the others look unless told."""


def uri(room: str, host: str, listener: Listener) -> str:
    """``sip:demo@192.0.2.7:5070;transport=tcp`` with no more than is needed."""
    shown = f"[{host}]" if ":" in host else host
    usual = 5061 if listener.transport is Transport.TLS else 5060
    port = "" if listener.port == usual else f":{listener.port}"
    transport = "" if listener.transport is Transport.UDP else f";transport={listener.transport.lower()}"
    return f"sip:{room}@{shown}{port}{transport}"


def addresses(room: str, listeners: Sequence[Listener], main: Callable[[bool], str]) -> list[str]:
    """What reaches ``room``, the easiest first; ``main(ipv6)`` is this machine's address as others reach it."""
    found: list[str] = []
    for listener in sorted(listeners, key=lambda each: list(Transport).index(each.transport)):
        if listener.host in EVERYWHERE:
            six = listener.host == "::"
            hosts = [main(six), "::1" if six else "127.0.0.1"]
        else:
            hosts = [listener.host]
        found += [uri(room, host, listener) for host in hosts]
    return list(dict.fromkeys(found))


def text(
    version: str,
    listeners: Sequence[Listener],
    main: Callable[[bool], str],
    room: str,
    http: str,
    *,
    demo: bool,
    page: str = "",
) -> str:
    """The whole of it. ``room``: the one to dial; ``http``: what the API's addresses begin with, empty without one;
    ``page``: what pages' do, where that is something else."""
    dial = addresses(room, listeners, main)
    first, others = dial[0], dial[1:3]
    there = next((each for each in dial if "127.0.0.1" in each or "[::1]" in each), first)
    lines = [
        "",
        f"Visiopont {version} est prêt.",
        f"  Composez    {first}" + "".join(f"\n       ou    {other}" for other in others),
    ]
    if demo:
        lines.append("  Trois personnes y parlent déjà. Faites ** pour entendre ce que font les touches.")
    lines += [
        f"Visiopont {version} is ready.",
        f"  Dial        {first}" + "".join(f"\n       or    {other}" for other in others),
    ]
    if demo:
        lines.append("  Three people talk there already. Key ** to hear what the keys do.")
    commands = [(f'baresip -e "/uanew sip:me@127.0.0.1;regint=0" -e "/dial {there}"', "un téléphone / a telephone")]
    if http:
        named = "" if http == USUAL_HTTP else f" --server {http}"
        commands += [
            (f"{page or http}/r/{quote(room, safe='')}", "un navigateur / a browser"),
            (f".venv/bin/visiopont top{named}", "en direct / live"),
            (f"{http}/api/docs", "API"),
        ]
    commands.append(("Ctrl-C", "raccrocher et finir / hang up and end"))
    width = max(len(command) for command, _ in commands)
    lines += ["", *(f"  {command:<{width}}   # {what}" for command, what in commands), ""]
    return "\n".join(lines)
