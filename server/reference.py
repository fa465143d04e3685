"""``docs/configuration.md``, from the settings themselves."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from bridge.conference.settings import RoomSettings

from .settings import Account, Provider, Section, Settings

HEAD = """\
# Configuration

One TOML file (`visiopont.toml` in the working directory, or `--config FILE`), the environment, and flags, each over the
one before; all optional. `[sip] address` in the file is `VISIOPONT_SIP__ADDRESS` in the environment; lists are JSON
there: `VISIOPONT_SIP__LISTEN='["udp:0.0.0.0:5060"]'`. Files are named from the working directory. `visiopont check`
says what is wrong, `visiopont settings` what is in force.

This page is generated: `visiopont settings --markdown`.
"""
EXAMPLE = """\
```toml
[sip]
address = "203.0.113.9"          # behind NAT: what peers are told

[[sip.accounts]]
user = "salle-101"
password = "change-me"

[media]
workers = 2

[room.conseil]
number = "4001"
title = "Conseil d'administration"
host_pin = "8642"
lobby = "until-host"
keys = { "*8" = "lock" }         # see keys.md
```
"""
KEYS = (
    'A table that changes [what the keys do](keys.md): `{ "*8" = "lock" }` moves the lock to `*8`; an empty action '
    "takes a key away"
)


def markdown() -> str:
    """The whole page."""
    parts = [HEAD, EXAMPLE]
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            parts.append(_section(f"[{name}]", section))
        if name == "sip":
            parts += [_section("[[sip.accounts]]", Account), _section("[[sip.providers]]", Provider)]
    parts.append(_rooms())
    return "\n".join(parts)


def _section(title: str, section: type[BaseModel]) -> str:
    rows = [
        (
            key,
            "" if entry.is_required() else _shown(entry.get_default(call_default_factory=True)),
            (entry.description or "") + _choices(entry.annotation),
        )
        for key, entry in section.model_fields.items()
    ]
    return _table(title, inspect.cleandoc(section.__doc__ or ""), rows)


def _choices(kind: Any) -> str:
    """What a key may be, where that is a short list."""
    if get_origin(kind) is not Literal:
        return ""
    return f"; one of {', '.join(f'`{_toml(choice)}`' for choice in get_args(kind))}"


def _rooms() -> str:
    """The ``[room.NAME]`` sections: a dataclass, whose fields are described by the strings after them."""
    said = dict(_described(RoomSettings)) | {"keys": KEYS}
    kinds = get_type_hints(RoomSettings)
    rows = [
        (field.name, _shown(field.default), said.get(field.name, "").rstrip(".") + _choices(kinds[field.name]))
        for field in dataclasses.fields(RoomSettings)
        if field.name != "name"
    ]
    about = (
        "A room that is there from the start; NAME is what is dialled. The API takes the same keys. `language` and "
        "`capacity` are those of `[rooms]`, `loudest` and `agc` those of `[media]`, unless the room says otherwise."
    )
    return _table("[room.NAME]", about, rows)


def _described(kind: type) -> Iterator[tuple[str, str]]:
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    last = ""
    for statement in body.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            last = statement.target.id
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and last:
            text = " ".join(str(statement.value.value).replace("``", "`").split())
            yield last, text
            last = ""


def _table(title: str, about: str, rows: list[tuple[str, str, str]]) -> str:
    lines = [f"## {title}", "", about, "", "| key | default | meaning |", "|---|---|---|"]
    lines += [f"| `{key}` | {default} | {meaning} |" for key, default, meaning in rows]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    """A default as TOML has it; what is empty is left empty."""
    if value in ("", (), None):
        return ""
    if isinstance(value, tuple):
        return ", ".join(f"`{_toml(item)}`" for item in value)
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)
