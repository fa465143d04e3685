"""Draws the state machines of ``docs/architecture.md`` from their tables: ``.venv/bin/python docs/draw.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from bridge.signalling import session_table, transaction_table

PAGE = Path(__file__).with_name("architecture.md")
MACHINES: Mapping[str, tuple[Mapping[Any, Mapping[Any, Any]], Enum]] = {
    "INVITE client transaction": (transaction_table.INVITE_CLIENT, transaction_table.State.CALLING),
    "non-INVITE client transaction": (transaction_table.CLIENT, transaction_table.State.TRYING),
    "INVITE server transaction": (transaction_table.INVITE_SERVER, transaction_table.State.PROCEEDING),
    "non-INVITE server transaction": (transaction_table.SERVER, transaction_table.State.TRYING),
    "session that was called (UAS)": (session_table.UAS, session_table.State.INCOMING),
    "session that calls (UAC)": (session_table.UAC, session_table.State.CALLING),
}
BLOCK = re.compile(r"<!-- drawn: (.*?) -->\n.*?<!-- end -->", re.DOTALL)


def mermaid(table: Mapping[Any, Mapping[Any, Any]], first: Enum) -> str:
    """A state diagram; causes that lead to the same state share an arrow, those that change nothing are left out."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, row in table.items():
        for cause, step in row.items():
            after = getattr(step, "state", step)
            if after is not state:
                arrows.setdefault((state.name, after.name), []).append(str(cause.value))
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first.name}"]
    lines += [f"    {before} --> {after}: {', '.join(causes)}" for (before, after), causes in arrows.items()]
    return "\n".join([*lines, "```"])


def drawn(page: str) -> str:
    """The page with every diagram as its table is now.

    Raises:
        KeyError: the page wants a machine that there is not.
    """

    def draw(found: re.Match[str]) -> str:
        return f"<!-- drawn: {found[1]} -->\n{mermaid(*MACHINES[found[1]])}\n<!-- end -->"

    return BLOCK.sub(draw, page)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
