"""Draws the layouts of ``docs/layouts.md``: ``.venv/bin/python -m docs.draw_layouts``; all there are, in any size, with
``FOLDER WIDTH HEIGHT``.

The people are drawn, too: a plain background in each one's colour, head and shoulders, and a number, in all the shapes
in which pictures come: 16:9, 4:3, upright, turned, odd.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.media.video.swscale import Swscale
from bridge.media.video.text import mask
from bridge.mixer.canvas import Canvas, Planes, colour, disc, from_rgba
from bridge.mixer.choose import Chooser, Look, Scene
from bridge.mixer.compose import Composer, Picture
from bridge.mixer.layout import Kind, Place, Rect
from bridge.mixer.scale import NumpyScaler

U8 = NDArray[np.uint8]
PAGE = Path(__file__).with_name("layouts.md")
FOLDER = Path(__file__).with_name("layouts")
NAMES = (
    "Françoise Bélanger",
    "Benoît Côté",
    "Siobhán Ní Dhuibhir",
    "Élise Tremblay-Gagné",
    "Łukasz Żółkiewski",
    "José Muñoz",
    "Nguyễn Thị Hương",
    "Björn Åström",
    "ᐊᓄᕐᐊᖅ Paniaq",
    "Zoë O’Brien",
    "Salle 4 — « Réunion du comité de révision budgétaire »",
    "Ελένη Παππά",
    "Дмитрий Ковалёв",
    "Ana Conceição",
    "Jean-Sébastien Dufour",
    "Mary Smith",
    "Noël Lévesque",
    "Çağla Öztürk",
    "Ivana Šimić",
    "Ruairí",
    "Anne-Gaëlle Hébert",
    "Chloé Roy",
    "Gaétan Thibault",
    "Marguerite Bourgeoys",
    "Ōta Kenji",
)
SHAPES = ((640, 360), (640, 480), (352, 288), (360, 640), (1280, 720), (427, 241), (640, 360))
"""Width and height; every third upright one comes lying on its side."""
INTERPRETER, SLIDES = 100, 200
SHOT = 3.0
"""Seconds into the meeting at which the picture is taken."""


def hue(turn: float, light: float, strength: float) -> tuple[int, int, int]:
    """R'G'B' of a hue of 0 to 1."""
    wheel = np.clip(np.abs((turn * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    rgb = light * (1 - strength + strength * wheel)
    return int(rgb[0] * 255), int(rgb[1] * 255), int(rgb[2] * 255)


def person(number: int, width: int, height: int) -> Planes:
    """A portrait of somebody, with his number."""
    canvas = Canvas(width // 2 * 2 + 2, height // 2 * 2 + 2)
    turn = number * 0.381966 % 1
    for i in range(24):  # a wall with light from above
        top = canvas.height * i // 24 // 2 * 2
        canvas.fill(Rect(0, top, canvas.width, canvas.height - top), colour(*hue(turn, 0.86 - 0.018 * i, 0.42)))
    small = min(width, height * 1.2)
    head, middle = int(small * 0.17) * 2, width // 4 * 2
    crown = int((height - small * 0.78) * (0.55 if height > width else 0.75)) // 2 * 2
    shirt, skin = hue(turn + 0.45, 0.5, 0.6), hue(0.07, 0.9 - 0.5 * (number * 0.61 % 1), 0.36)
    broad = int(small * 0.42) * 2
    shoulders = crown + int(head * 1.05) // 2 * 2
    high = min(canvas.height - shoulders, broad) // 2 * 2
    x = (middle - broad // 2) // 2 * 2
    if high > 0 and x >= 0:
        canvas.stain(x, shoulders, disc(broad)[:high], colour(*shirt))
    canvas.stain((middle - head // 2) // 2 * 2, crown, disc(head), colour(*skin))
    digits = mask(str(number), max(int(small * 0.13), 6), width)
    canvas.stain(
        (middle - digits.shape[1] // 2) // 2 * 2, shoulders + int(small * 0.12) // 2 * 2, digits, colour(250, 250, 250)
    )
    half_w, half_h = (width + 1) // 2, (height + 1) // 2
    return canvas.y[:height, :width], canvas.u[:half_h, :half_w], canvas.v[:half_h, :half_w]


def portrait(number: int) -> Picture:
    """Of whoever has a number, in the shape in which he sends it."""
    width, height = SHAPES[number % len(SHAPES)]
    planes = person(number, width, height)
    turn = 90 if (width, height) == (360, 640) and number % 2 else 0
    if turn:  # it was lying when it was sent
        planes = tuple(np.ascontiguousarray(np.rot90(plane, turn // 90)) for plane in planes)  # type: ignore[assignment]
    return Picture(planes, number=1, turn=turn, pixel=12 / 11 if (width, height) == (352, 288) else 1.0)


def slides() -> Picture:
    """A page of a talk, 4:3."""
    canvas = Canvas(1024, 768)
    canvas.fill(Rect(0, 0, 1024, 768), colour(250, 250, 247))
    canvas.fill(Rect(0, 0, 1024, 120), colour(34, 66, 110))
    canvas.stain(48, 26, mask("Budget 2026 : où va l’argent ?", 52, 940), colour(255, 255, 255))
    for i, (what, part) in enumerate((("Santé", 430), ("Éducation", 280), ("Réseaux", 170), ("Autres", 90))):
        y = 190 + 130 * i
        canvas.fill(Rect(300, y, part * 3 // 2 // 2 * 2, 70), colour(*hue(0.58 + 0.08 * i, 0.75, 0.6)))
        canvas.stain(48, y + 10, mask(what, 38, 240), colour(40, 44, 52))
    return Picture((canvas.y, canvas.u, canvas.v), number=1)


def logo() -> tuple[Planes, U8]:
    """Two discs that overlap: a bridge."""
    picture = np.zeros((64, 112, 4), np.uint8)
    for x, rgb in ((0, (255, 190, 60)), (48, (90, 170, 250))):
        part, alpha = picture[:, x : x + 64], disc(64)[..., None] / 255.0
        part[..., :3] = (
            part[..., :3] * (1 - alpha * 0.8) + np.array(rgb) * alpha * 0.8 + 0.2 * np.array(rgb) * (part[..., 3:] == 0)
        )
        part[..., 3] = np.maximum(part[..., 3], disc(64))
    return from_rgba(picture)


def png(planes: Planes) -> bytes:
    """I420 as a PNG file."""
    y, u, v = (plane.astype(np.float32) for plane in planes)
    u, v = (np.repeat(np.repeat(plane - 128, 2, 0), 2, 1)[: y.shape[0], : y.shape[1]] for plane in (u, v))
    light = 255 / 219 * (y - 16)
    rgb = np.stack([light + 1.596 * v, light - 0.392 * u - 0.813 * v, light + 2.017 * u], axis=-1)
    rows = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", y.shape[1], y.shape[0], 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")


def room(people: int, look: Look, *, speaker: int = 1, interpreter: bool = False, content: bool = False) -> Chooser:
    """A room in which everybody sends pictures, somebody speaks, every fourth is muted."""
    chooser = Chooser(look)
    for who in range(people):
        chooser.join(who, NAMES[who], muted=who % 4 == 3)
        chooser.picture(who, 0.0)
    if interpreter:
        chooser.join(INTERPRETER, "Interprète LSQ")
        chooser.picture(INTERPRETER, 0.0)
        chooser.reserve(INTERPRETER)
    if content:
        chooser.present(SLIDES, owner=0, name="Budget 2026.pdf")
    for now, who in ((0.0, 0), (0.1, min(speaker, people - 1))):
        chooser.speaks(who, now)
        chooser.scene(now)
    for who in (*range(people), INTERPRETER):
        chooser.picture(who, SHOT)
    return chooser


def scenes() -> dict[str, Scene]:
    """All that is drawn, by the file's name."""
    titled = {"title": "Comité de révision — Review committee", "logo": True}
    found: dict[str, Scene] = {}
    for kind, counts in (
        (Kind.SINGLE, (2,)),
        (Kind.STRIP, (2, 3, 4, 6, 9)),
        (Kind.GRID, range(2, 26)),
        (Kind.SIDE_BY_SIDE, (2, 5)),
    ):
        for people in counts:
            found[f"{kind}-{people}"] = shot(room(people, Look(kind)))
            if people in (2, 4, 6, 9, 16):
                found[f"{kind}-{people}-interpreter"] = shot(room(people, Look(kind, **titled), interpreter=True))
    for people in (0, 1, 3, 5, 8):
        found[f"presentation-{people}"] = shot(room(people, Look(), content=True))
    found["presentation-4-interpreter"] = shot(room(4, Look(**titled), interpreter=True, content=True))
    drawn = (
        Place(0, 0, 1, 1),
        Place(0.03, 0.05, 0.24, 0.24),
        Place(0.03, 0.36, 0.24, 0.24),
        Place(0.03, 0.67, 0.24, 0.24),
    )
    found["fixed-4"] = shot(room(4, Look(Kind.FIXED, drawn, (1, None, 0))))
    words = "En attente des autres participants…"
    found["waiting-0"] = shot(room(0, Look(waiting=words, **titled)))
    found["waiting-1"] = shot(room(1, Look(waiting="Waiting for the others…", **titled)))
    chooser = room(6, Look(Kind.GRID, voices=True))
    chooser.no_picture(2)
    for who in (0, 1, 3, 4):
        chooser.picture(who, 5.0)
    found["grid-6-stalled"] = shot(chooser, 5.0)
    return found


def shot(chooser: Chooser, now: float = SHOT) -> Scene:
    return chooser.scene(now)


def main() -> None:
    folder, width, height, kept = FOLDER, 640, 360, PAGE.read_text()
    if len(sys.argv) == 4:
        folder, width, height, kept = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), ""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {who: portrait(who) for who in range(len(NAMES))}
    pictures |= {INTERPRETER: Picture(person(42, 640, 360), 1), SLIDES: slides()}
    composer = Composer(width, height, scaler=Swscale(NumpyScaler()), lettering=mask, logo=logo())
    for name, scene in scenes().items():
        if kept and f"layouts/{name}.png" not in kept:
            continue
        composer.compose(scene, pictures)
        (folder / f"{name}.png").write_bytes(png((composer.canvas.y, composer.canvas.u, composer.canvas.v)))


if __name__ == "__main__":
    main()
