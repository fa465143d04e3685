"""How many calls a second the whole server takes: sipp against ``visiopont serve``."""

from __future__ import annotations

import csv
import shutil
import subprocess
import tempfile
from pathlib import Path

from .processes import cpu_seconds
from .server import WholeServer

SCENARIO = Path(__file__).parent / "call.xml"


def run(port: int, *, rate: int = 100, seconds: int = 60, cpu: int = 0, sipp_cpu: int = 1) -> dict[str, float]:
    """``rate`` calls a second for ``seconds``, each a second long: what became of them."""
    if not shutil.which("sipp"):
        raise OSError("sipp is not installed: apt-get install sip-tester")
    # All calls come from one address here, which no scanner's brake must slow.
    server = WholeServer(port, cpu=cpu, settings=f"[sip]\ncalls_per_second = {4 * rate}\n")
    try:
        with tempfile.TemporaryDirectory(prefix="sipp-") as folder:
            before = cpu_seconds(server.pids)
            figures = _sipp(Path(folder), server.sip, port + 80, rate, seconds, sipp_cpu)
            used = cpu_seconds(server.pids) - before
    finally:
        server.stop()
    figures["cpu_ms_per_call"] = 1000 * used / max(figures["calls"], 1)
    figures["core_share"] = used / seconds
    return figures


def _sipp(folder: Path, target: int, port: int, rate: int, seconds: int, cpu: int) -> dict[str, float]:
    stats = folder / "stats.csv"
    command = [
        *("timeout", "-k", "2", str(seconds + 30), "taskset", "-c", str(cpu), "sipp", f"127.0.0.1:{target}"),
        *("-sf", str(SCENARIO), "-s", "bench", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(port), "-nostdin"),
        *("-mp", str(port + 2), "-r", str(rate), "-m", str(rate * seconds), "-l", str(rate * 10)),
        *("-trace_stat", "-stf", str(stats), "-fd", "1"),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    rows = list(csv.DictReader(stats.read_text().splitlines(), delimiter=";")) if stats.exists() else []
    if not rows:
        raise OSError(f"sipp ended with {done.returncode}: {done.stderr[-500:]}")
    last = rows[-1]
    return {
        "calls": float(last["TotalCallCreated"]),
        "successful": float(last["SuccessfulCall(C)"]),
        "failed": float(last["FailedCall(C)"]),
        "retransmissions": float(last["Retransmissions(C)"]),
        "answer_ms": _milliseconds(last.get("ResponseTime1(C)", "")),
    }


def _milliseconds(text: str) -> float:
    """``00:00:00:007000`` as sipp writes a time."""
    parts = text.split(":")
    if len(parts) != 4:
        return 0.0
    hours, minutes, seconds, micros = (float(part) for part in parts)
    return 1000 * (3600 * hours + 60 * minutes + seconds) + micros / 1000
