"""Geometry."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.mixer.layout import (
    MOST_CROPPED,
    NARROW,
    WIDE,
    Fit,
    Kind,
    Layout,
    Place,
    Rect,
    Role,
    capacity,
    covered,
    fitted,
    grid,
    lay_out,
)

SIZES = st.sampled_from(
    [(1280, 720), (1920, 1080), (640, 360), (320, 180), (352, 288), (176, 144), (720, 1280), (64, 64), (66, 190)]
) | st.tuples(st.integers(32, 680), st.floats(1 / 3, 3)).map(
    lambda it: (2 * max(min(int(it[0] * it[1]), 2048, 3 * it[0]), 32, -(-it[0] // 3)), 2 * it[0])
)
PLACES = st.lists(
    st.builds(
        lambda x, y, w, h: Place(x, y, max(w * (1 - x), 0.05), max(h * (1 - y), 0.05)),
        st.floats(0, 0.9),
        st.floats(0, 0.9),
        st.floats(0.1, 1),
        st.floats(0.1, 1),
    ),
    max_size=6,
).map(tuple)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    width, height = draw(SIZES)
    return lay_out(
        width,
        height,
        draw(st.sampled_from(Kind)),
        draw(st.integers(0, 40)),
        slides=draw(st.booleans()),
        reserved=draw(st.booleans()),
        titled=draw(st.booleans()),
        places=draw(PLACES),
    )


def numbers(rect: Rect) -> tuple[int, int, int, int]:
    return (rect.x, rect.y, rect.w, rect.h)


@given(layouts())
def test_tiles_lie_on_the_canvas_and_on_whole_chroma_samples(layout: Layout) -> None:
    canvas = Rect(0, 0, *layout.size)
    for tile in layout.tiles:
        assert canvas.holds(tile.rect)
        assert tile.rect.holds(tile.inner)
        assert not any(n % 2 for n in numbers(tile.rect) + numbers(tile.inner))
        assert tile.inner.w >= 2
        assert tile.inner.h >= 2
        if tile.label:
            assert tile.inner.holds(tile.label)
            assert not any(n % 2 for n in numbers(tile.label))
    for part in (layout.title, layout.message):
        assert part is None or (canvas.holds(part) and not any(n % 2 for n in numbers(part)))


@given(layouts())
def test_tiles_overlap_only_where_one_lies_over_the_other(layout: Layout) -> None:
    for one, other in combinations(layout.tiles, 2):
        if one.rect.overlaps(other.rect):
            assert one.z != other.z
    assert [tile.z for tile in layout.tiles] == sorted(tile.z for tile in layout.tiles), "painted lowest first"
    over = covered(layout.tiles)
    for i, tile in enumerate(layout.tiles):
        assert set(over[i]) == {j for j, it in enumerate(layout.tiles) if it.z > tile.z and it.rect.overlaps(tile.rect)}
        assert all(j > i for j in over[i])


@given(layouts())
def test_neither_title_nor_words_are_under_a_tile(layout: Layout) -> None:
    for tile in layout.tiles:
        assert layout.title is None or not layout.title.overlaps(tile.rect)
        assert layout.message is None or not layout.message.overlaps(tile.rect)


@given(SIZES, st.sampled_from(Kind), st.integers(0, 30), st.booleans(), st.booleans())
def test_as_many_tiles_as_there_is_something_to_show(
    size: tuple[int, int], kind: Kind, people: int, slides: bool, reserved: bool
) -> None:
    places = (Place(0, 0, 0.5, 0.5), Place(0.5, 0.5, 0.5, 0.5))
    layout = lay_out(*size, kind, people, slides=slides, reserved=reserved, places=places)
    roles = [tile.role for tile in layout.tiles]
    shown_as = Kind.PRESENTATION if slides else Kind.STRIP if kind is Kind.PRESENTATION else kind
    assert len(roles) - slides - reserved == min(people, capacity(shown_as, 2))
    assert roles.count(Role.SLIDES) == slides
    assert roles.count(Role.RESERVED) == reserved
    assert not reserved or roles[-1] is Role.RESERVED


@given(st.sampled_from([(1280, 720), (640, 360), (1920, 1080), (1024, 768)]), st.integers(1, 25))
def test_a_grids_tiles_are_alike_in_a_shape_of_cameras_and_its_last_row_is_in_the_middle(
    size: tuple[int, int], people: int
) -> None:
    rects = grid(Rect(0, 0, *size), people)
    assert len({(rect.w, rect.h) for rect in rects}) == 1
    assert NARROW * 0.96 <= rects[0].w / rects[0].h <= WIDE * 1.04
    last = [rect for rect in rects if rect.y == rects[-1].y]
    assert abs(last[0].x - (size[0] - last[-1].right)) <= 2
    assert rects == sorted(rects, key=lambda rect: (rect.y, rect.x)), "in reading order"


@pytest.mark.parametrize("people", [1, 4, 9, 16, 25])
def test_square_numbers_fill_a_wide_canvas(people: int) -> None:
    rects = grid(Rect(0, 0, 1280, 720), people)
    assert sum(rect.w * rect.h for rect in rects) > 0.97 * 1280 * 720


@given(st.integers(2, 24))
def test_one_more_changes_no_tile_as_long_as_rows_and_columns_do(people: int) -> None:
    area = Rect(0, 0, 1280, 720)
    few, many = grid(area, people), grid(area, people + 1)
    if (few[0].w, few[0].h) == (many[0].w, many[0].h) and few[-1].y == many[-1].y:
        whole = [rect for rect in few if rect.y != few[-1].y]
        assert many[: len(whole)] == whole


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.WAITING])
@pytest.mark.parametrize("slides", [False, True])
def test_the_interpreter_is_large_enough_to_be_read_in_every_layout(kind: Kind, slides: bool) -> None:
    places = tuple(Place(0.25 * i, 0, 0.25, 1) for i in range(4))
    for people in range(1, 26):
        layout = lay_out(1280, 720, kind, people, slides=slides, reserved=True, places=places)
        tile = next(tile for tile in layout.tiles if tile.role is Role.RESERVED)
        assert tile.inner.w * tile.inner.h >= 1280 * 720 / 12
        assert not any(it.z >= tile.z and it is not tile and it.rect.overlaps(tile.rect) for it in layout.tiles)


def test_the_speaker_is_at_least_three_times_as_wide_as_the_strip() -> None:
    layout = lay_out(1280, 720, Kind.STRIP, 6)
    large, *strip = layout.tiles
    assert large.role is Role.LARGE
    assert all(large.inner.w >= 3 * tile.inner.w for tile in strip)
    assert {tile.rect.right for tile in strip} == {1280}


def test_whoever_is_alone_in_the_picture_has_all_of_it_without_a_frame() -> None:
    (tile,) = lay_out(1280, 720, Kind.SINGLE, 1).tiles
    assert tile.inner == Rect(0, 0, 1280, 720)
    assert not tile.frame


def test_places_are_where_the_host_drew_them() -> None:
    places = (Place(0, 0, 1, 1, Fit.LETTERBOX), Place(0.75, 0.5, 0.25, 0.25))
    lowest, over = lay_out(1280, 720, Kind.FIXED, 2, places=places).tiles
    assert lowest.rect == Rect(0, 0, 1280, 720)
    assert lowest.fit is Fit.LETTERBOX
    assert over.rect == Rect(960, 360, 320, 180)
    assert over.z > lowest.z


@pytest.mark.parametrize(
    "place", [(-0.1, 0, 0.5, 0.5), (0, 0, 1.1, 1), (0, 0, 0, 1), (0.5, 0, 0.6, 1), (0, 1, 0.5, 0.5)]
)
def test_places_beside_the_canvas_are_refused(place: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="no place"):
        Place(*place)


def test_a_place_of_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        Place(float("nan"), 0, 0.5, 0.5)
    with pytest.raises(ValueError, match="no place"):
        Place(0, 0, float("nan"), 0.5)


@pytest.mark.parametrize("size", [(1281, 720), (1280, 721), (62, 64), (8192, 720), (1280, 420)])
def test_odd_and_senseless_canvases_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no canvas"):
        lay_out(*size, Kind.GRID, 4)


# ------------------------------------------------------------------------------------------- pictures in tiles

TILES = st.builds(
    lambda x, y, w, h: Rect(2 * x, 2 * y, 2 * w, 2 * h),
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(2, 700),
    st.integers(2, 500),
)


@given(
    st.integers(1, 4096),
    st.integers(1, 4096),
    TILES,
    st.sampled_from(Fit),
    st.sampled_from([0, 90, 180, 270]),
    st.sampled_from([1.0, 12 / 11, 10 / 11]),
)
def test_pictures_of_any_size_stay_in_their_tiles_and_keep_their_shape(
    width: int, height: int, inner: Rect, fit: Fit, turn: int, pixel: float
) -> None:
    found = fitted(width, height, inner, fit, turn=turn, pixel=pixel)
    assert inner.holds(found.target)
    assert not any(n % 2 for n in numbers(found.target))
    assert Rect(0, 0, width, height).holds(found.crop)
    assert found.crop.x % 2 == found.crop.y % 2 == 0
    assert found.crop.w * found.crop.h >= (1 - MOST_CROPPED) * width * height - max(width, height)
    if fit is Fit.LETTERBOX:
        assert (found.crop.w, found.crop.h) == (width, height)
    if min(found.target.w, found.target.h) >= 40 and min(found.crop.w, found.crop.h) >= 40:
        across, down = found.crop.w * pixel, float(found.crop.h)
        if turn % 180:
            across, down = down, across
        assert found.target.w / found.target.h == pytest.approx(across / down, rel=0.1)


def test_a_four_to_three_picture_fills_a_wide_tile_and_the_head_stays() -> None:
    found = fitted(640, 480, Rect(0, 0, 320, 180), Fit.CROP)
    assert found.target == Rect(0, 0, 320, 180)
    assert found.crop == Rect(0, 36, 640, 360)


def test_a_turned_pictures_head_stays_too() -> None:
    tile = Rect(0, 0, 320, 180)
    assert fitted(480, 640, tile, Fit.CROP, turn=90).crop == Rect(36, 0, 360, 640)
    assert fitted(640, 480, tile, Fit.CROP, turn=180).crop == Rect(0, 84, 640, 360)
    assert fitted(480, 640, tile, Fit.CROP, turn=270).crop == Rect(84, 0, 360, 640)


def test_an_upright_telephone_is_not_cut_down_to_a_nose() -> None:
    found = fitted(360, 640, Rect(0, 0, 320, 180), Fit.CROP)
    assert found.crop.h >= 640 * 0.69
    assert found.target.w < 160


def test_a_letterboxed_picture_is_whole_and_in_the_middle() -> None:
    found = fitted(640, 480, Rect(0, 0, 1280, 720), Fit.LETTERBOX)
    assert found.target == Rect(160, 0, 960, 720)


def test_cif_is_shown_as_four_to_three() -> None:
    assert fitted(352, 288, Rect(0, 0, 400, 300), Fit.LETTERBOX, pixel=12 / 11).target == Rect(0, 0, 400, 300)


def test_no_bars_of_a_hairs_breadth() -> None:
    found = fitted(426, 240, Rect(0, 0, 418, 232), Fit.LETTERBOX)
    assert found.target == Rect(0, 0, 418, 232)
