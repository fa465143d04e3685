"""``/api/docs``: the API for people, out of its OpenAPI document; no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = (
    "body{font:16px sans-serif;margin:2em;max-width:70em}"
    "td,th{text-align:left;padding:.2em 1em .2em 0;vertical-align:top}"
)


def page(document: Mapping[str, Any]) -> str:
    """The HTML page of an OpenAPI document."""
    info = document["info"]
    rows = "\n".join(_rows(document))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f"<style>{STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}: HTTP API</h1>"
        '<p>For programs: <a href="/api/v1.json">OpenAPI</a>. Errors are problem documents (RFC 9457).</p>'
        f"<table><tr><th>request<th>body<th>does</tr>\n{rows}</table></html>"
    )


def _rows(document: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            said = operation.get("description") or operation.get("summary", "")
            yield (
                f"<tr><td><code>{method.upper()} {escape(path)}</code>"
                f"<td>{escape(_body(document, operation))}<td>{escape(said)}</tr>"
            )


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    """The keys of its JSON object."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    reference = str(content.get("schema", {}).get("$ref", ""))
    schema = document.get("components", {}).get("schemas", {}).get(reference.rpartition("/")[2], {})
    return ", ".join(schema.get("properties", {})) or ("object" if content else "")
