"""Composing alone: nine pictures of 640x360 into 1280x720, beside ffmpeg's ``xstack`` on the same files.

In both, pictures come from files in memory and are written to nowhere; the cost of a picture is the difference of a
long run and a short one by their number, so that no start counts. ``xstack`` within this process, on frames that are
there already, tells how much of that is its filters. Run as a module with arguments it is the composing side.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from bridge.media.video.swscale import Swscale
from bridge.media.video.text import mask
from bridge.mixer.choose import Scene, Shown
from bridge.mixer.compose import Composer, Picture
from bridge.mixer.layout import Kind, Rect
from bridge.mixer.scale import NumpyScaler

SOURCES, WIDTH, HEIGHT = 9, 640, 360
DRAWN = 60
"""Pictures in a file; they are taken again and again."""
SHORT, LONG = 60, 540
THEIRS, OURS = "ffmpeg xstack, from files", "ours, from files"
"""The two that do the same."""
NATURAL = (426, 240)
"""A third of 1280x720, even: the tiles that one would give to xstack."""
SIZE = WIDTH * HEIGHT * 3 // 2
SCENE = Scene(Kind.GRID, tuple(Shown(who, f"Élise {who}", speaking=who == 4) for who in range(SOURCES)))


def draw(folder: Path) -> None:
    """A file a source: texture that moves, as much of it as in a picture of a camera."""
    rng = np.random.default_rng(1)
    for who in range(SOURCES):
        texture = rng.normal(0, 1, (HEIGHT + 200, WIDTH + 200))
        for axis in (0, 1):
            texture = sum(np.roll(texture, shift, axis) for shift in range(-3, 4)) / 3
        luma = np.clip(128 + 40 * texture, 16, 235).astype(np.uint8)
        with (folder / f"{who}.yuv").open("wb") as file:
            for n in range(DRAWN):
                x, y = n * (who + 1) % 200, n * 2 % 200
                file.write(luma[y : y + HEIGHT, x : x + WIDTH].tobytes())
                file.write(np.full(SIZE - WIDTH * HEIGHT, 100 + (n + 9 * who) % 56, np.uint8).tobytes())


def pictures(block: Iterable[np.ndarray[Any, Any]], number: int) -> dict[int, Picture]:
    """Of the bytes of one picture a source."""
    luma, chroma = WIDTH * HEIGHT, WIDTH * HEIGHT // 4
    half = (HEIGHT // 2, WIDTH // 2)
    return {
        who: Picture(
            (
                row[:luma].reshape(HEIGHT, WIDTH),
                row[luma : luma + chroma].reshape(half),
                row[luma + chroma :].reshape(half),
            ),
            number,
        )
        for who, row in enumerate(block)
    }


def from_files(folder: Path, frames: int, scaler: str) -> None:
    composer = Composer(1280, 720, scaler=Swscale() if scaler == "swscale" else NumpyScaler(), lettering=mask)
    files = [np.memmap(folder / f"{who}.yuv", np.uint8, "r").reshape(-1, SIZE) for who in range(SOURCES)]
    with open(os.devnull, "wb", buffering=0) as out:
        for n in range(frames):
            composer.compose(SCENE, pictures([file[n % DRAWN] for file in files], n))
            out.write(composer.canvas.whole.data)


def xstack(folder: Path, frames: int, flags: str) -> list[str]:
    """The command that does the same."""
    inputs: list[str] = []
    for who in range(SOURCES):
        inputs += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-r", "30"]
        inputs += ["-stream_loop", "-1", "-i", str(folder / f"{who}.yuv")]
    one = ["-threads", "1"]
    command = ["ffmpeg", "-v", "error", "-y", "-nostdin", *one, "-filter_threads", "1", "-filter_complex_threads", "1"]
    out = ["-map", "[o]", *one, "-frames:v", str(frames), "-f", "rawvideo", os.devnull]
    return [*command, *inputs, "-filter_complex", graph(flags), *out]


def graph(flags: str) -> str:
    w, h = NATURAL
    scale = "".join(f"[{i}:v]scale={w}:{h}:flags={flags}[s{i}];" for i in range(SOURCES))
    places = "|".join(f"{i % 3 * w}_{i // 3 * h}" for i in range(SOURCES))
    return f"{scale}{''.join(f'[s{i}]' for i in range(SOURCES))}xstack=inputs={SOURCES}:layout={places}:fill=black[o]"


def cpu_of(command: list[str]) -> float:
    """CPU seconds of a process, its start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, timeout=60, cwd=Path(__file__).parent.parent)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_filter_graph(block: np.ndarray[Any, Any], flags: str, *, our_tiles: bool = False) -> float:
    """CPU us a picture of the same filters in this process, on frames in memory: no file, no start."""
    import av.filter

    made = av.filter.Graph()
    w, h = NATURAL
    tiles = [Rect(i % 3 * w, i // 3 * h, w, h) for i in range(SOURCES)]
    if our_tiles:
        tiles = [tile.inner for tile, _ in SCENE.tiles(1280, 720)]
    places = "|".join(f"{tile.x}_{tile.y}" for tile in tiles)
    stack, sink = made.add("xstack", f"inputs={SOURCES}:layout={places}:fill=black"), made.add("buffersink")
    buffers = []
    for i, tile in enumerate(tiles):
        buffer = made.add_buffer(width=WIDTH, height=HEIGHT, format="yuv420p", time_base=Fraction(1, 30))
        scale = made.add("scale", f"{tile.w}:{tile.h}:flags={flags}")
        buffer.link_to(scale)
        scale.link_to(stack, 0, i)
        buffers.append(buffer)
    stack.link_to(sink)
    made.configure()
    frames = [av.VideoFrame.from_ndarray(row.reshape(-1, WIDTH), format="yuv420p") for row in block]

    def once(n: int) -> None:
        for buffer, frame in zip(buffers, frames, strict=True):
            frame.pts, frame.time_base = n, Fraction(1, 30)
            buffer.push(frame)
        while True:
            try:
                sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return

    return timed(once)


def in_memory(block: np.ndarray[Any, Any], scaler: str, *, still: bool = False) -> float:
    """CPU us a picture of composing alone."""
    composer = Composer(1280, 720, scaler=Swscale() if scaler == "swscale" else NumpyScaler(), lettering=mask)
    return timed(lambda n: composer.compose(SCENE, pictures(block, 0 if still else n)))


def timed(once: Any, runs: int = 5, each: int = 24) -> float:
    """CPU us, the least of several runs: what else the machine does only ever adds."""
    for n in range(4):
        once(n)
    found = []
    for run in range(runs):
        start = time.process_time()
        for n in range(each):
            once(4 + run * each + n)
        found.append((time.process_time() - start) / each * 1e6)
    return min(found)


def run(runs: int) -> dict[str, float]:
    """CPU us a picture by what composes it, the medians of runs in turn."""
    found: dict[str, list[float]] = {}
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        draw(folder)
        block = np.stack([np.fromfile(folder / f"{who}.yuv", np.uint8, SIZE) for who in range(SOURCES)])
        me = [sys.executable, "-m", "benchmarks.compose", name]
        for _ in range(runs):
            pairs = {
                THEIRS: [xstack(folder, n, "bicubic") for n in (SHORT, LONG)],
                "ffmpeg xstack, from files, scaling by area": [xstack(folder, n, "area") for n in (SHORT, LONG)],
                OURS: [[*me, str(n), "swscale"] for n in (SHORT, LONG)],
            }
            for what, (short, long) in pairs.items():
                found.setdefault(what, []).append((cpu_of(long) - cpu_of(short)) / (LONG - SHORT) * 1e6)
            found.setdefault("ours, in memory", []).append(in_memory(block, "swscale"))
            found.setdefault("ours, in memory, numpy scales", []).append(in_memory(block, "numpy"))
            found.setdefault("ours, in memory, still pictures", []).append(in_memory(block, "swscale", still=True))
            for flags in ("bicubic", "area"):
                found.setdefault(f"xstack in this process, {flags}", []).append(in_filter_graph(block, flags))
            same = in_filter_graph(block, "area", our_tiles=True)
            found.setdefault("xstack in this process, area, our tiles", []).append(same)
    return {what: round(float(np.median(values)), 1) for what, values in found.items()}


if __name__ == "__main__":
    if len(sys.argv) == 4:
        from_files(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    else:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        for label, value in run(3).items():
            sys.stdout.write(f"{value:9.1f} us  {label}\n")
