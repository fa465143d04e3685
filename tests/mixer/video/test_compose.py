"""Painting: what is where, and what is not painted again."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.media.video.swscale import Swscale
from bridge.media.video.text import mask
from bridge.mixer.canvas import Canvas, Colour, Planes, blended, colour, from_rgba
from bridge.mixer.choose import Scene, Showing, Shown
from bridge.mixer.compose import Composer, Palette, Picture, cropped, initials
from bridge.mixer.layout import Fit, Kind, Place, Rect, Tile, fitted
from bridge.mixer.scale import NumpyScaler

U8 = NDArray[np.uint8]
PALETTE = Palette()


def bars(number: int, width: int = 640, height: int = 360, **how: float) -> Picture:
    """Eight bars whose order, with the number in bits below, tells one source from another."""
    order = np.random.default_rng(number).permutation(8)
    paints = [colour(*((bar >> bit & 1) * 191 + 30 for bit in range(3))) for bar in order]
    planes = []
    for part in "yuv":
        w, h = (width, height) if part == "y" else ((width + 1) // 2, (height + 1) // 2)
        plane = np.empty((h, w), np.uint8)
        for i, paint in enumerate(paints):
            plane[:, w * i // 8 : w * (i + 1) // 8] = getattr(paint, part)
        for bit in range(6):
            high = 235 if number >> bit & 1 else 16
            plane[h * 3 // 4 :, w * bit // 6 : w * (bit + 1) // 6] = high if part == "y" else 128
        planes.append(plane)
    return Picture((planes[0], planes[1], planes[2]), number=1, **how)  # type: ignore[arg-type]


def scene(people: int, kind: Kind = Kind.GRID, **more: object) -> Scene:
    shown = tuple(Shown(who, f"Élise {who}") for who in range(people))
    return Scene(kind, shown, **more)  # type: ignore[arg-type]


def composer(width: int = 1280, height: int = 720, **how: object) -> Composer:
    how.setdefault("lettering", mask)
    return Composer(width, height, scaler=Swscale(NumpyScaler()), **how)  # type: ignore[arg-type]


def at(canvas: Canvas, x: int, y: int) -> Colour:
    return Colour(int(canvas.y[y, x]), int(canvas.u[y // 2, x // 2]), int(canvas.v[y // 2, x // 2]))


def near(one: Colour, other: Colour, by: int = 3) -> bool:
    return abs(one.y - other.y) <= by and abs(one.u - other.u) <= by and abs(one.v - other.v) <= by


def inside(canvas: Canvas, tile: Tile) -> Planes:
    """The tile's picture without its label."""
    inner = tile.inner
    return canvas.part(Rect(inner.x, inner.y, inner.w, tile.label.y - inner.y if tile.label else inner.h))


def sampled(picture: Planes, width: int, height: int) -> U8:
    """A reference at one luma sample in the middle of each new one's area."""
    h, w = picture[0].shape
    ys = ((np.arange(height) + 0.5) * h / height).astype(int)
    xs = ((np.arange(width) + 0.5) * w / width).astype(int)
    return picture[0][ys[:, None], xs[None, :]]


def ssim(one: U8, other: U8, window: int = 8) -> float:
    """Mean structural similarity (Wang et al. 2004) over windows that don't overlap."""
    h, w = (n // window * window for n in one.shape)
    a, b = (
        p[:h, :w]
        .astype(float)
        .reshape(h // window, window, w // window, window)
        .transpose(0, 2, 1, 3)
        .reshape(-1, window**2)
        for p in (one, other)
    )
    ma, mb = a.mean(1), b.mean(1)
    va, vb, both = a.var(1), b.var(1), ((a - ma[:, None]) * (b - mb[:, None])).mean(1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(np.mean((2 * ma * mb + c1) * (2 * both + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))))


@pytest.mark.parametrize("people", [2, 5, 9, 16, 25])
def test_every_source_is_where_the_layout_says_and_no_other(people: int) -> None:
    pictures = {who: bars(who) for who in range(people)}
    composed, what = composer(), scene(people)
    composed.compose(what, pictures)
    for tile, shown in what.tiles(1280, 720):
        assert shown
        here = composed.canvas.part(tile.inner)[0]
        rows = slice(0, tile.label.y - tile.inner.y if tile.label else tile.inner.h)
        likeness = []
        for who in range(people):
            crop = fitted(640, 360, tile.inner, tile.fit).crop
            wanted = sampled(cropped(pictures[who].planes, crop), tile.inner.w, tile.inner.h)
            likeness.append(ssim(here[rows], wanted[rows]))
        assert int(np.argmax(likeness)) == shown.who
        assert likeness[shown.who] > 0.9


def test_a_strips_large_tile_is_as_good_as_the_source() -> None:
    pictures = {who: bars(who, 1280, 720) for who in range(3)}
    composed, what = composer(), scene(3, Kind.STRIP)
    composed.compose(what, pictures)
    tile, _ = what.tiles(1280, 720)[0]
    wanted = sampled(pictures[0].planes, tile.inner.w, tile.inner.h)[: tile.label.y - tile.inner.y]  # type: ignore[union-attr]
    assert ssim(inside(composed.canvas, tile)[0], wanted) > 0.95


def test_a_letterboxed_picture_has_bars_and_nothing_is_cut() -> None:
    composed, what = composer(), Scene(Kind.SINGLE, (Shown(0, ""),))
    composed.compose(what, {0: bars(5, 640, 480)})
    assert at(composed.canvas, 80, 300) == PALETTE.bars
    assert at(composed.canvas, 1200, 300) == PALETTE.bars
    wanted = sampled(bars(5, 640, 480).planes, 960, 720)
    assert ssim(composed.canvas.y[:, 160:1120], wanted) > 0.95


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(640, 360), (427, 241), (176, 144), (99, 333)])
def test_turned_pictures_are_shown_upright(turn: int, size: tuple[int, int]) -> None:
    upright = bars(11, *size)
    sent = tuple(np.ascontiguousarray(np.rot90(plane, turn // 90)) for plane in upright.planes)
    one, other = composer(lettering=None), composer(lettering=None)
    what = Scene(Kind.SINGLE, (Shown(0, ""),))
    one.compose(what, {0: upright})
    other.compose(what, {0: Picture(sent, 1, turn=turn)})  # type: ignore[arg-type]
    error = np.abs(one.canvas.whole.astype(int) - other.canvas.whole)
    assert np.mean(error) < 1.0
    assert near(at(one.canvas, 640, 300), at(other.canvas, 640, 300), 4)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (1, 400), (400, 1), (17, 15), (4095, 3)])
def test_pictures_of_odd_and_tiny_sizes_are_painted(size: tuple[int, int]) -> None:
    for kind in (Kind.SINGLE, Kind.GRID):
        composed = composer()
        assert composed.compose(scene(2, kind), {0: bars(3, *size), 1: bars(4)})


def test_planes_that_do_not_belong_together_are_refused() -> None:
    y, half = np.zeros((10, 10), np.uint8), np.zeros((5, 5), np.uint8)
    with pytest.raises(ValueError, match="planes"):
        Picture((y, half, y), 1)
    with pytest.raises(ValueError, match="planes"):
        Picture((y[:0], half[:0], half[:0]), 1)
    with pytest.raises(ValueError, match="turned"):
        Picture((y, half, half), 1, turn=45)
    with pytest.raises(ValueError, match="pixels"):
        Picture((y, half, half), 1, pixel=float("nan"))


def test_a_picture_that_the_scaler_refuses_is_a_card_and_nobody_else_notices() -> None:
    def picky(source: Planes, target: Planes, full_range: bool) -> None:
        if source[0].shape[0] == 200:
            raise ValueError("no")
        NumpyScaler()(source, target, full_range)

    composed = Composer(640, 360, scaler=picky, lettering=mask)
    what = scene(2)
    composed.compose(what, {0: bars(1, 333, 200), 1: bars(2)})
    (first, _), (second, _) = what.tiles(640, 360)
    assert at(composed.canvas, first.inner.x + 2, first.inner.y + 2) == PALETTE.card
    assert not near(at(composed.canvas, second.inner.x + 6, second.inner.y + 2), PALETTE.card)


# ------------------------------------------------------------------------------------------- frames, labels, marks


def framed(canvas: Canvas, tile: Tile) -> bool:
    rect, t = tile.rect, tile.frame
    edges = [
        (rect.x, rect.y),
        (rect.right - 1, rect.bottom - 1),
        (rect.x + t - 1, rect.y + 40),
        (rect.x + 40, rect.bottom - t),
    ]
    found = {at(canvas, x, y) == PALETTE.speaking for x, y in edges}
    assert len(found) == 1
    return found.pop()


def test_the_speaker_has_a_frame_and_a_change_paints_no_picture_again() -> None:
    composed, what, pictures = composer(), scene(4), {who: bars(who) for who in range(4)}
    composed.compose(what, pictures)
    before, painted = composed.canvas.whole.copy(), composed.painted
    tiles = [tile for tile, _ in what.tiles(1280, 720)]
    assert not any(framed(composed.canvas, tile) for tile in tiles)
    speaking = replace(what, people=tuple(replace(one, speaking=one.who == 2) for one in what.people if one))
    assert composed.compose(speaking, pictures)
    assert [framed(composed.canvas, tile) for tile in tiles] == [False, False, True, False]
    assert composed.painted == painted
    assert composed.compose(what, pictures)
    assert np.array_equal(composed.canvas.whole, before)


def lit(planes: Planes) -> int:
    return int((planes[0] > 200).sum())


def test_names_are_in_their_labels_and_long_ones_end() -> None:
    composed = composer()
    people = (Shown(0, "Zoë"), Shown(1, "Marie-Françoise de la Durantaye-Bélanger, vice-présidente"), Shown(2, ""))
    what = Scene(Kind.GRID, people)
    dark = Picture(
        (np.full((90, 160), 20, np.uint8), np.full((45, 80), 128, np.uint8), np.full((45, 80), 128, np.uint8)), 1
    )
    composed.compose(what, dict.fromkeys(range(3), dark))
    ink = []
    for tile, _ in what.tiles(1280, 720):
        assert tile.label
        ink.append(lit(composed.canvas.part(tile.label)))
        rest = composed.canvas.part(Rect(tile.inner.x, tile.inner.y, tile.inner.w, tile.inner.h - tile.label.h))
        assert lit(rest) == 0, "nothing but in the label"
        past = tile.inner.x + int(tile.inner.w * 0.8) + 2
        assert (
            lit(composed.canvas.part(Rect(past // 2 * 2, tile.label.y, tile.inner.right - past // 2 * 2, tile.label.h)))
            == 0
        )
    assert ink[2] == 0
    assert 0 < ink[0] < ink[1]


def test_a_label_that_gets_shorter_leaves_nothing_behind() -> None:
    pictures = {0: bars(0), 1: bars(1)}
    short, long = scene(2), Scene(Kind.GRID, (Shown(0, "Maximilienne Robert-Lalonde"), Shown(1, "Élise 1")))
    changed, fresh = composer(), composer()
    changed.compose(long, pictures)
    changed.compose(short, pictures)
    fresh.compose(short, pictures)
    assert np.array_equal(changed.canvas.whole, fresh.canvas.whole)


@pytest.mark.parametrize(("people", "name"), [(2, "Benoît"), (2, ""), (25, "Benoît")])
def test_who_is_muted_has_a_mark(people: int, name: str) -> None:
    for size in ((1280, 720), (320, 180)):
        composed, pictures = composer(*size), {who: bars(0) for who in range(people)}
        open_ = Scene(Kind.GRID, tuple(Shown(who, name) for who in range(people)))
        composed.compose(open_, pictures)
        red = PALETTE.muted.v - 20
        tiles = [tile for tile, _ in open_.tiles(*size)]
        corners = [Rect(t.inner.x, t.inner.bottom - 26, 60, 26) if t.label else t.inner for t in tiles]
        before = [int((composed.canvas.part(corner)[2] > red).sum()) for corner in corners]
        muted = replace(open_, people=tuple(replace(one, muted=one.who == 1) for one in open_.people if one))
        assert composed.compose(muted, pictures)
        after = [int((composed.canvas.part(corner)[2] > red).sum()) for corner in corners]
        if size == (1280, 720):
            assert after[1] > before[1]
        assert [i for i in range(people) if composed_differs(after, before, i)] in ([1], [])


def composed_differs(after: list[int], before: list[int], index: int) -> bool:
    return after[index] != before[index]


def test_the_mark_stands_in_tiles_too_small_for_a_name() -> None:
    composed = composer(320, 180)
    what = Scene(Kind.GRID, tuple(Shown(who, "Zoë", muted=who == 3) for who in range(25)))
    composed.compose(what, {who: bars(0) for who in range(25)})
    tiles = [tile for tile, _ in what.tiles(320, 180)]
    assert tiles[0].label is None
    parts = [composed.canvas.part(tile.inner)[0] for tile in tiles]
    assert not np.array_equal(parts[3], parts[4])
    assert np.array_equal(parts[2], parts[1])


# ------------------------------------------------------------------------------------------- tiles without pictures


def test_a_stalled_sender_is_a_grey_tile_with_a_name_that_comes_back() -> None:
    pictures = {0: bars(0), 1: bars(1)}
    moving, composed = scene(2), composer()
    composed.compose(moving, pictures)
    whole = composed.canvas.whole.copy()
    stalled = Scene(Kind.GRID, (moving.people[0], Shown(1, "Élise 1", Showing.STALLED)))
    assert composed.compose(stalled, pictures)
    tile, _ = stalled.tiles(1280, 720)[1]
    part = composed.canvas.part(tile.inner)
    assert at(composed.canvas, tile.inner.x + 4, tile.inner.y + 4) == PALETTE.card
    middle = at(composed.canvas, tile.inner.x + tile.inner.w // 2 // 2 * 2, tile.inner.y + int(tile.inner.h * 0.34))
    assert near(middle, PALETTE.stalled)
    assert np.abs(part[1].astype(int) - 128).max() < 12, "grey"
    assert lit(composed.canvas.part(tile.label)) > 20  # type: ignore[arg-type]
    assert not composed.compose(stalled, {0: pictures[0], 1: replace(pictures[1], number=9)}), "whatever still comes"
    composed.compose(moving, pictures)
    assert np.array_equal(composed.canvas.whole, whole)


def test_a_source_of_which_there_is_no_picture_yet_is_a_card() -> None:
    composed, what = composer(), scene(2)
    composed.compose(what, {0: bars(0)})
    tile, _ = what.tiles(1280, 720)[1]
    assert at(composed.canvas, tile.inner.x + 4, tile.inner.y + 4) == PALETTE.card
    assert composed.compose(what, {0: bars(0), 1: bars(1)})
    assert not near(at(composed.canvas, tile.inner.x + 4, tile.inner.y + 4), PALETTE.card)


def test_callers_without_a_camera_have_a_colour_of_their_own() -> None:
    composed = composer()
    what = Scene(
        Kind.GRID, tuple(Shown(i, name, Showing.NAME) for i, name in enumerate(("Anne Roy", "Zoë", "Å", "ᐊᓄ")))
    )
    composed.compose(what, {})
    found = {
        at(composed.canvas, t.inner.x + t.inner.w // 2 // 2 * 2, t.inner.y + int(t.inner.h * 0.32) // 2 * 2)
        for t, _ in what.tiles(1280, 720)
    }
    assert found <= set(PALETTE.discs)
    assert len(found) >= 2


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("Anne-Marie de la Tour", "AT"), ("élise", "É"), ("", ""), ("« Salle 4 »", "S4"), ("+1 514", "5"), ("ß", "SS")],
)
def test_initials(name: str, wanted: str) -> None:
    assert initials(name) == wanted


def test_an_empty_place_is_dark() -> None:
    what = Scene(Kind.FIXED, (Shown(0, "A"), None), places=(Place(0, 0, 0.5, 1), Place(0.5, 0, 0.5, 1)))
    composed = composer()
    composed.compose(what, {0: bars(1)})
    assert at(composed.canvas, 900, 300) == PALETTE.bars


def test_the_waiting_picture_has_its_words_the_title_and_the_logo() -> None:
    logo = np.zeros((40, 60, 4), np.uint8)
    logo[:, :, 1:] = 255
    composed = composer(logo=from_rgba(logo))
    blank = Scene(Kind.WAITING, logo=True)
    composed.compose(blank, {})
    without = composed.canvas.whole.copy()
    said = Scene(Kind.WAITING, title="Comité", message="En attente des autres…", logo=True)
    composed.compose(said, {})
    layout = said.layout(1280, 720)
    assert layout.title
    assert layout.message
    changed = np.flatnonzero((composed.canvas.y != without[:720]).any(axis=1))
    assert changed[0] < layout.title.bottom
    assert changed[-1] < layout.message.bottom
    assert ((changed < layout.title.bottom) | (changed >= layout.message.y)).all()
    cyan = colour(0, 255, 255)
    corner = composed.canvas.part(Rect(1100, 0, 180, layout.title.h))
    assert (np.abs(corner[1].astype(int) - cyan.u) < 4).sum() > 100


# ------------------------------------------------------------------------------------------- what is painted when


def test_still_pictures_are_painted_once() -> None:
    composed, what, pictures = composer(), scene(9), {who: bars(who) for who in range(9)}
    assert composed.compose(what, pictures)
    number, painted = composed.number, composed.painted
    assert not composed.compose(what, pictures)
    assert not composed.compose(scene(9), dict(pictures)), "an equal scene is the same scene"
    assert (composed.number, composed.painted) == (number, painted)
    pictures[4] = replace(bars(40), number=2)
    assert composed.compose(what, pictures)
    assert (composed.number, composed.painted) == (number + 1, painted + 1)


def history() -> Iterable[tuple[Scene, dict[int, Picture]]]:
    """A meeting in which everything changes."""
    rng = np.random.default_rng(7)
    pictures = {who: bars(who) for who in range(26)}
    for step in range(30):
        people = int(rng.integers(1, 10))
        kind = list(Kind)[int(rng.integers(0, len(Kind)))]
        showing = list(Showing)
        shown = tuple(
            Shown(
                int(who),
                f"É{who}",
                showing[int(rng.choice(3, p=[0.8, 0.1, 0.1]))],
                bool(rng.random() < 0.2),
                bool(rng.random() < 0.3),
            )
            for who in rng.permutation(20)[:people]
        )
        places = (Place(0, 0, 1, 1), Place(0.1, 0.1, 0.5, 0.4), Place(0.4, 0.3, 0.5, 0.5, Fit.LETTERBOX))
        count = {Kind.FIXED: 3, Kind.SINGLE: 1, Kind.WAITING: 1, Kind.SIDE_BY_SIDE: 2, Kind.STRIP: 6}.get(kind, people)
        reserved = Shown(25, "Interprète") if rng.random() < 0.4 else None
        slides = Shown(24, "Page") if kind is Kind.PRESENTATION else None
        shown = shown[: min(count, 5 if kind is Kind.PRESENTATION else count)]
        what = Scene(kind, shown, slides, reserved, places if kind is Kind.FIXED else (), "Titre" if step % 3 else "")
        for _ in range(3):
            for who in rng.permutation(26)[:5]:
                size = ((640, 360), (176, 144), (360, 640))[int(rng.integers(0, 3))]
                pictures[int(who)] = replace(
                    bars(int(rng.integers(0, 60)), *size), number=pictures[int(who)].number + 1
                )
            yield what, pictures


def test_painting_only_what_changed_gives_what_painting_everything_gives() -> None:
    kept = composer(640, 360)
    for what, pictures in history():
        kept.compose(what, pictures)
        fresh = composer(640, 360)
        fresh.compose(what, pictures)
        assert np.array_equal(kept.canvas.whole, fresh.canvas.whole), what


def test_all_tiles_at_once_are_what_each_is_alone() -> None:
    pictures = {who: bars(who) for who in range(9)}
    whole, what = composer(), scene(9)
    whole.compose(what, pictures)
    for who in range(9):
        alone = composer()
        alone.compose(what, {who: pictures[who]})
        tile, _ = what.tiles(1280, 720)[who]
        for a, b in zip(whole.canvas.part(tile.inner), alone.canvas.part(tile.inner), strict=True):
            assert np.array_equal(a, b)


def test_a_thousand_pictures_leave_no_memory_behind() -> None:
    composed = composer(320, 180)
    numbers = [bars(n, 160, 90) for n in range(16)]

    def run(first: int, count: int) -> None:
        for n in range(first, first + count):
            what = scene(1 + n % 7, (Kind.GRID, Kind.STRIP)[n % 2])
            composed.compose(what, {who: replace(numbers[(n + who) % 16], number=n) for who in range(7)})

    tracemalloc.start()
    run(1, 200)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    run(201, 1000)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000
    assert len(composed._patches) <= 128


# ------------------------------------------------------------------------------------------- the canvas


def test_blending_is_exact_at_both_ends_and_rounds_between() -> None:
    under = np.array([[0, 255, 17, 200]], np.uint8)
    assert np.array_equal(blended(under, np.zeros_like(under), 99), under)
    assert (blended(under, np.full_like(under, 255), 99) == 99).all()
    assert np.array_equal(blended(under, np.full_like(under, 128), 255), [[128, 255, 136, 228]])


def test_a_canvas_is_one_block_as_an_encoder_takes_it() -> None:
    canvas = Canvas(64, 32)
    canvas.fill(Rect(0, 0, 64, 32), Colour(1, 2, 3))
    assert np.array_equal(
        canvas.whole.reshape(-1), np.repeat(np.array([1, 2, 3], np.uint8), [64 * 32, 32 * 16, 32 * 16])
    )
    with pytest.raises(ValueError, match="no canvas"):
        Canvas(63, 32)


@pytest.mark.parametrize(
    ("rgb", "ycc"), [((0, 0, 0), (16, 128, 128)), ((255, 255, 255), (235, 128, 128)), ((255, 0, 0), (81, 90, 240))]
)
def test_colours(rgb: tuple[int, int, int], ycc: tuple[int, int, int]) -> None:
    assert colour(*rgb) == Colour(*ycc)
