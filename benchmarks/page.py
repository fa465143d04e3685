"""Tables in the documentation that a benchmark itself renews: what stands between two marks."""

from __future__ import annotations

import time
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
FIRST = "<!-- measured -->"
LAST = "<!-- end of measured -->"


def renew(page: str, where: str, tables: str) -> None:
    """Put tables between the marks of a page of ``docs/``.

    Args:
        where: on what they were measured.
    """
    path = DOCS / page
    before, rest = path.read_text().split(FIRST, 1)
    _, after = rest.split(LAST, 1)
    measured = f"{FIRST}\nMeasured on {time.strftime('%Y-%m-%d')} ({where}).\n\n{tables}\n{LAST}"
    path.write_text(before + measured + after)
