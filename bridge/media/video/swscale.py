"""Scaling of I420 planes by the libswscale in PyAV's wheel, called by ctypes with the addresses of numpy views.

PyAV's own ``VideoReformatter`` takes frames, makes a new one each time, and can't crop. This takes any part of a
picture and costs the same: 640x360 to 420x236 about 0.13 ms. The library writes whole vectors and so beyond a row's
end; it writes into a block of ours with room to spare, from where the rows go to their place (under 0.01 ms).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Planes = tuple[U8, U8, U8]

_YUV420P, _YUVJ420P = 0, 12
"""enum AVPixelFormat: limited and full range."""
_BILINEAR, _AREA = 2, 32
CONTEXTS = 96
"""Scalings kept, each of some 100 kB: the tiles of a few layouts. Bounded: a sender chooses his picture's size."""
LEAST = 16
"""Samples each way below which libswscale is not called: it reads rows in vectors, too."""
LARGEST = 8192
ALIGNED = 64


@functools.lru_cache
def library() -> ctypes.CDLL:
    """libswscale.

    Raises:
        OSError: there is none.
    """
    import av

    beside = Path(av.__file__).parent.parent / "av.libs"
    found = [str(path) for path in sorted(beside.glob("libswscale*.so*"))] or [
        ctypes.util.find_library("swscale") or ""
    ]
    if not found[0]:
        raise OSError("no libswscale: reinstall PyAV's wheel, or apt-get install libswscale6")
    lib = ctypes.CDLL(found[0])
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    lib.sws_getContext.restype = pointer
    lib.sws_getContext.argtypes = [integer] * 7 + [pointer] * 3
    lib.sws_scale.argtypes = [pointer, pointer, pointer, integer, integer, pointer, pointer]
    lib.sws_freeContext.argtypes, lib.sws_freeContext.restype = [pointer], None
    return lib


class _Scaling:
    """One source size to one target size."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int], full_range: bool) -> None:
        (h, w), (high, wide) = source, target
        kind = _BILINEAR if high >= h and wide >= w else _AREA
        format_ = _YUVJ420P if full_range else _YUV420P
        self._lib = library()
        self._context = self._lib.sws_getContext(w, h, format_, wide, high, _YUV420P, kind, None, None, None)
        if not self._context:
            raise ValueError(f"libswscale does not scale {w}x{h} to {wide}x{high}")
        self._height = h
        pitches = [-(-n // ALIGNED) * ALIGNED + ALIGNED for n in (wide, (wide + 1) // 2, (wide + 1) // 2)]
        heights = [high, (high + 1) // 2, (high + 1) // 2]
        block = np.empty(sum(p * n for p, n in zip(pitches, heights, strict=True)) + 2 * ALIGNED, np.uint8)
        at = -block.ctypes.data % ALIGNED
        self._planes: list[U8] = []
        self._views: list[U8] = []
        for pitch, n, across in zip(pitches, heights, (wide, (wide + 1) // 2, (wide + 1) // 2), strict=True):
            self._planes.append(block[at : at + pitch * n].reshape(n, pitch))
            self._views.append(self._planes[-1][:, :across])
            at += pitch * n
        self._into = (ctypes.c_void_p * 4)(*[plane.ctypes.data for plane in self._planes])
        self._into_pitch = (ctypes.c_int * 4)(*pitches)
        self._from, self._from_pitch = (ctypes.c_void_p * 4)(), (ctypes.c_int * 4)()

    def run(self, source: Planes, target: Planes) -> None:
        for i, plane in enumerate(source):
            self._from[i], self._from_pitch[i] = plane.ctypes.data, plane.strides[0]
        self._lib.sws_scale(self._context, self._from, self._from_pitch, 0, self._height, self._into, self._into_pitch)
        for into, plane in zip(target, self._views, strict=True):
            into[...] = plane

    def free(self) -> None:
        if self._context:
            self._lib.sws_freeContext(self._context)
            self._context = None


class Swscale:
    """``scale(source, target, full_range)`` for ``bridge.mixer.compose.Composer``. For one thread at a time."""

    def __init__(self, otherwise: Any = None) -> None:
        """
        Args:
            otherwise: the scaler for pictures too small for this one.
        """
        library()
        self._otherwise = otherwise
        self._kept: OrderedDict[tuple[int, ...], _Scaling] = OrderedDict()

    def __call__(self, source: Planes, target: Planes, full_range: bool = False) -> None:
        """All of the source into all of the target; views of any strides.

        Raises:
            ValueError: sizes that libswscale does not take.
        """
        (h, w), (high, wide) = source[0].shape, target[0].shape
        if (h, w) == (high, wide) and not full_range:
            for plane, into in zip(source, target, strict=True):
                into[...] = plane
            return
        if self._otherwise is not None and min(h, w, high, wide) < LEAST:
            self._otherwise(source, target, full_range)
            return
        if not (0 < h <= LARGEST and 0 < w <= LARGEST):
            raise ValueError(f"a picture of {w}x{h}")
        key = (h, w, high, wide, full_range)
        scaling = self._kept.get(key)
        if scaling is None:
            scaling = self._kept[key] = _Scaling((h, w), (high, wide), full_range)
            if len(self._kept) > CONTEXTS:
                self._kept.popitem(last=False)[1].free()
        else:
            self._kept.move_to_end(key)
        if not source[0].strides[1] == source[1].strides[1] == source[2].strides[1] == 1:
            source = (np.ascontiguousarray(source[0]), np.ascontiguousarray(source[1]), np.ascontiguousarray(source[2]))
        scaling.run(source, target)

    def close(self) -> None:
        while self._kept:
            self._kept.popitem()[1].free()

    def __del__(self) -> None:
        if hasattr(self, "_kept"):
            self.close()


def planes(frame: Any) -> Planes:
    """Views of a PyAV frame's planes ("yuv420p" or "yuvj420p"), without a copy; they keep the frame's memory.

    Raises:
        ValueError: another format: ``frame.reformat(format="yuv420p")`` first.
    """
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        raise ValueError(f"no I420 frame: {frame.format.name}")
    views = []
    for i, plane in enumerate(frame.planes):
        wide = frame.width if i == 0 else (frame.width + 1) // 2
        high = frame.height if i == 0 else (frame.height + 1) // 2
        rows = np.frombuffer(plane, np.uint8, count=plane.line_size * high).reshape(high, plane.line_size)
        views.append(rows[:, :wide])
    return views[0], views[1], views[2]
