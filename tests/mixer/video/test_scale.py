"""Scaling: numpy's against an integral computed in another way, libswscale against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bridge.media.video.swscale import CONTEXTS, Swscale
from bridge.mixer.canvas import Canvas, Planes
from bridge.mixer.layout import Rect
from bridge.mixer.scale import WHOLE, NumpyScaler, Scaler, table

U8 = NDArray[np.uint8]


def picture(width: int, height: int, seed: int = 1) -> Planes:
    """Waves and edges, smooth enough to be compared."""
    rng = np.random.default_rng(seed)
    planes = []
    for w, h in ((width, height), ((width + 1) // 2, (height + 1) // 2), ((width + 1) // 2, (height + 1) // 2)):
        y, x = np.mgrid[0:h, 0:w]
        fx, fy, shift = rng.uniform(2, 6, 3)
        wave = 128 + 60 * np.sin(x / w * fx * 6 + shift) * np.cos(y / h * fy * 5) + 40 * (x > w / 3)
        planes.append(np.clip(wave, 0, 255).astype(np.uint8))
    return planes[0], planes[1], planes[2]


def empty(width: int, height: int) -> Planes:
    return Canvas(width, height).part(Rect(0, 0, width, height))


def psnr(one: U8, other: U8) -> float:
    error = np.mean((one.astype(float) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def by_integral(plane: U8, width: int, height: int) -> U8:
    """Each new sample's area, by a double integral of the old samples between whole ones."""
    h, w = plane.shape
    total = np.zeros((h + 1, w + 1))
    total[1:, 1:] = plane.astype(float).cumsum(0).cumsum(1)
    ys, xs = np.linspace(0, h, height + 1), np.linspace(0, w, width + 1)
    across = np.stack([np.interp(xs, np.arange(w + 1), row) for row in total])
    both = np.stack([np.interp(ys, np.arange(h + 1), column) for column in across.T]).T
    area = (h / height) * (w / width)
    return np.rint(np.diff(np.diff(both, axis=0), axis=1) / area).astype(np.uint8)


@pytest.fixture(params=["numpy", "swscale"])
def scaler(request: pytest.FixtureRequest) -> Scaler:
    return NumpyScaler() if request.param == "numpy" else Swscale(NumpyScaler())


@pytest.mark.parametrize(
    ("size", "to"),
    [
        ((640, 360), (418, 232)),
        ((640, 360), (126, 70)),
        ((1280, 720), (248, 136)),
        ((1920, 1080), (120, 66)),
        ((427, 241), (200, 120)),
        ((353, 289), (314, 240)),
    ],
)
def test_shrinking_averages_what_lies_under_each_sample(
    scaler: Scaler, size: tuple[int, int], to: tuple[int, int]
) -> None:
    source, target = picture(*size), empty(*to)
    scaler(source, target, False)
    assert psnr(target[0], by_integral(source[0], *to)) > 44
    for plane, into in zip(source[1:], target[1:], strict=True):
        assert psnr(into, by_integral(plane, to[0] // 2, to[1] // 2)) > 40


@pytest.mark.parametrize(("size", "to"), [((320, 180), (1280, 720)), ((176, 144), (480, 360)), ((101, 51), (400, 300))])
def test_enlarging_is_smooth_and_does_not_shift(scaler: Scaler, size: tuple[int, int], to: tuple[int, int]) -> None:
    source, target = picture(*size), empty(*to)
    scaler(source, target, False)
    assert psnr(by_integral(target[0], *size), source[0]) > 35


@pytest.mark.parametrize("to", [(418, 232), (640, 180), (320, 360), (1280, 720), (64, 36)])
def test_both_scalers_agree(to: tuple[int, int]) -> None:
    source = picture(640, 360)
    one, other = empty(*to), empty(*to)
    NumpyScaler()(source, one, False)
    Swscale()(source, other, False)
    for a, b in zip(one, other, strict=True):
        assert psnr(a, b) > 45


@pytest.mark.parametrize("value", [0, 1, 16, 127, 254, 255])
def test_an_even_plane_stays_exactly_what_it_is(value: int) -> None:
    source = np.full((97, 61), value, np.uint8)
    for shape in ((40, 40), (200, 200), (97, 20), (20, 61), (1, 1)):
        into = np.zeros(shape, np.uint8)
        NumpyScaler().plane(source, into)
        assert (into == value).all()


def test_nothing_beside_the_target_is_written(scaler: Scaler) -> None:
    for wide, high in ((418, 232), (50, 38), (34, 22), (642, 362), (2, 2)):
        canvas = Canvas(1280, 720)
        canvas.whole[...] = 77
        part = canvas.part(Rect(34, 20, wide, high))
        scaler(picture(640, 360), part, False)
        for plane in part:
            plane[...] = 77
        assert (canvas.whole == 77).all()


def test_a_target_of_any_strides_will_do(scaler: Scaler) -> None:
    source, plain, turned = picture(320, 180), empty(200, 100), empty(100, 200)
    scaler(source, plain, False)
    scaler(source, tuple(np.rot90(plane) for plane in turned), False)  # type: ignore[arg-type]
    for a, b in zip(plain, turned, strict=True):
        assert (np.rot90(b) == a).all()


def test_a_part_of_a_picture_is_scaled_as_if_it_were_alone(scaler: Scaler) -> None:
    whole = picture(640, 360)
    part = (whole[0][20:320, 40:600], whole[1][10:160, 20:300], whole[2][10:160, 20:300])
    alone = tuple(np.ascontiguousarray(plane) for plane in part)
    one, other = empty(280, 160), empty(280, 160)
    scaler(part, one, False)
    scaler(alone, other, False)  # type: ignore[arg-type]
    for a, b in zip(one, other, strict=True):
        assert (a == b).all()


def test_full_range_becomes_limited(scaler: Scaler) -> None:
    source = picture(320, 180)
    source[0][:, :160], source[0][:, 160:] = 0, 255
    source[1][...], source[2][...] = 255, 1
    for size in ((160, 90), (320, 180)):
        target = empty(*size)
        scaler(source, target, True)
        assert abs(int(target[0][40, 20]) - 16) <= 1
        assert abs(int(target[0][40, size[0] - 20]) - 235) <= 1
        assert abs(int(target[1][20, 20]) - 240) <= 1
        assert abs(int(target[2][20, 20]) - 16) <= 1


@settings(max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.integers(1, 60))
def test_any_size_to_any_size(width: int, height: int, wide: int, high: int) -> None:
    source = np.random.default_rng(width * 91 + height).integers(0, 256, (height, width), np.uint8)
    into = np.zeros((high, wide), np.uint8)
    NumpyScaler().plane(source, into)
    assert int(source.min()) <= int(into.min()) <= int(into.max()) <= int(source.max())
    if wide <= width and high <= height:
        # Both passes round to eight bits and weigh by 256ths.
        assert np.abs(into.astype(int) - by_integral(source, wide, high)).max() <= 3


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(max_examples=60)
def test_weights_add_up_and_stay_inside(old: int, new: int) -> None:
    index, weight = table(old, new)
    assert index.shape == weight.shape
    assert (weight.sum(axis=0, dtype=int) == WHOLE).all()
    assert index.min() >= 0
    assert index.max() < old


@pytest.mark.parametrize(
    ("size", "to"), [((15, 90), (32, 32)), ((90, 15), (32, 32)), ((90, 90), (14, 32)), ((1, 1), (2, 2))]
)
def test_libswscale_is_given_no_picture_too_small_for_it(size: tuple[int, int], to: tuple[int, int]) -> None:
    instead: list[Planes] = []
    scaler = Swscale(lambda source, target, full_range: instead.append(source))
    scaler(picture(*size), empty(*to), False)
    assert len(instead) == 1
    scaler(picture(90, 90), empty(32, 32), False)
    assert len(instead) == 1


def test_rounding_makes_nothing_darker() -> None:
    source = np.random.default_rng(3).integers(0, 256, (360, 640), np.uint8)
    into = np.zeros((232, 418), np.uint8)
    NumpyScaler().plane(source, into)
    assert abs(into.mean() - source.mean()) < 0.1


def test_scalings_are_bounded() -> None:
    scaler = Swscale(NumpyScaler())
    for i in range(CONTEXTS + 30):  # a sender who changes his size all the time
        scaler(picture(40 + i, 40), empty(32, 32), False)
    assert len(scaler._kept) == CONTEXTS
    scaler.close()
    assert not scaler._kept


def test_rows_of_padded_frames_are_taken_as_they_are() -> None:
    av = pytest.importorskip("av")
    from bridge.media.video.swscale import planes

    frame = av.VideoFrame(427, 241, "yuv420p")
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[:] = 90
    found = planes(frame)
    assert [plane.shape for plane in found] == [(241, 427), (121, 214), (121, 214)]
    assert all((plane == 90).all() for plane in found)
    found[0][3, 5] = 200
    assert planes(frame)[0][3, 5] == 200, "a view, no copy"
    with pytest.raises(ValueError, match="rgb24"):
        planes(av.VideoFrame(16, 16, "rgb24"))
