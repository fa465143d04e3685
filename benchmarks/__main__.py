"""``python -m benchmarks [SCENARIO...]``: run, print one Markdown table, keep one JSON file."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path

from . import page, pictures, quality
from .processes import machine
from .scenarios import SCENARIOS, Options, Result, as_plain, prepare

RESULTS = Path(__file__).parent / "results"
SHOWN = (
    ("cpu_us_per_pair", "CPU us/pair", 1.0),
    ("cpu_us_per_picture", "CPU us/picture", 1.0),
    ("ratio", "ratio", 1.0),
    ("core_share", "core %", 100.0),
    ("loss", "loss %", 100.0),
    ("beat_p50_ms", "beat p50", 1.0),
    ("beat_p99_ms", "beat p99", 1.0),
    ("latency_p50_ms", "delay p50", 1.0),
    ("latency_p99_ms", "delay p99", 1.0),
    ("kb_per_participant", "kB each", 1.0),
    ("failed", "failed", 1.0),
    ("fps_least", "pictures/s, least", 1.0),
    ("heard_p50_ms", "sound p50", 1.0),
    ("seen_p50_ms", "picture p50", 1.0),
)


def table(results: list[Result]) -> str:
    """The results in Markdown."""
    lines = [
        "| scenario | participants | " + " | ".join(title for _, title, _ in SHOWN) + " | target | met |",
        "|---" * (len(SHOWN) + 4) + "|",
    ]
    for result in results:
        cells = [f"{result.figures[key] * scale:.2f}" if key in result.figures else "" for key, _, scale in SHOWN]
        lines.append(
            f"| {result.name} | {result.participants} | " + " | ".join([*cells, result.target, result.verdict]) + " |"
        )
    return "\n".join(lines)


def judge_quality(port: int) -> int:
    """Renew the tables of docs/quality.md; 1 where a clean path takes more than 0.1 away."""
    lines = quality.measure(port, with_janus=bool(shutil.which("janus")), with_phones=bool(shutil.which("baresip")))
    facts = machine()
    versions = f"Python {facts['python']}, numpy {facts['numpy']}, PyAV {metadata.version('av')}"
    page.renew("quality.md", versions, quality.report(lines))
    print(quality.report(lines))
    print(f"a clean path takes away {quality.worst(lines):.2f} at most", file=sys.stderr)
    return int(quality.worst(lines) > 0.1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "scenarios",
        nargs="*",
        help=f"of {', '.join(SCENARIOS)}; all of these if none is named; or quality, or pictures",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="counted in each run")
    parser.add_argument("--runs", type=int, default=3, help="of each measurement; the median is shown")
    parser.add_argument("--port", type=int, default=24000, help="first port of the server under test")
    parser.add_argument("--no-file", action="store_true", help="keep no JSON file")
    asked = parser.parse_args()
    options = Options(asked.seconds, asked.runs, asked.port)
    if asked.scenarios == ["quality"]:
        return judge_quality(asked.port)
    if asked.scenarios == ["pictures"]:
        return pictures.judge()
    unknown = [name for name in asked.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    prepare()
    results: list[Result] = []
    for name in asked.scenarios or SCENARIOS:
        print(f"{name}...", file=sys.stderr, flush=True)
        try:
            results += SCENARIOS[name](options)
        except OSError as error:  # a tool that is not installed: the others go on
            results.append(Result(name, 0, note=str(error)))
            print(f"{name}: {error}", file=sys.stderr)
    print(table(results))
    if not asked.scenarios:
        facts = machine()
        where = f"{facts['cpus']} CPUs, {facts['cpu']}; Linux {facts['kernel']}, Python {facts['python']}"
        page.renew("benchmarks.md", f"{where}, numpy {facts['numpy']}", table(results))
    if not asked.no_file:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{time.strftime('%Y-%m-%d-%H%M')}.json"
        kept = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "results": [as_plain(r) for r in results]}
        path.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"kept as {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
