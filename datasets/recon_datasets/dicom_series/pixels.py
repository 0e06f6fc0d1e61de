"""Pixels of frames as values: stored integers, their bits, slope and intercept."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recon_datasets.dicom_series.codecs import RLE, check_ratio, decode, frames_of
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.frame import Frame, Pixels
from recon_datasets.dicom_series.header import DEFLATED

__all__ = ["Padding", "check_size", "fill", "same_pixels", "values_of"]

Padding = Literal["keep", "nan", "clip"]
_NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", DEFLATED}
_EXACT = 2.0**23
"""Whole numbers up to here, and sums of two of them, are exact in single precision."""


def fill(places: Iterable[tuple[NDArray[np.float32], Frame]], padding: Padding = "keep") -> None:
    """Write the values of frames to where they belong; each file is opened once, each of its frames decoded once.

    Parameters
    ----------
    places
        Pairs of a float32 array (rows, columns) and the frame that fills it.
    padding
        What becomes of pixels that the scanner marked as outside: kept, NaN, or the slice's least other value.

    Raises
    ------
    DicomError
        If pixels are cut off, over-long, or compressed in a way that no installed decoder knows.
    """
    files: dict[int, list[tuple[NDArray[np.float32], Frame]]] = {}
    for out, frame in places:
        files.setdefault(id(frame.pixels), []).append((out, frame))
    scratch = _Scratch()
    for pairs in files.values():
        frames = _Frames(pairs[0][1].pixels, scratch)
        pairs.sort(key=lambda pair: pair[1].index)
        for index, of_frame in groupby(pairs, key=lambda pair: pair[1].index):
            stored = frames.stored(index)
            for out, frame in of_frame:
                (top, left), (rows, columns) = frame.corner, frame.shape
                _write(out, stored[top : top + rows, left : left + columns], frame, scratch, padding)


def values_of(frame: Frame, padding: Padding = "keep") -> NDArray[np.float32]:
    """Return the values of one frame, (rows, columns)."""
    values = np.empty(frame.shape, np.float32)
    fill([(values, frame)], padding)
    return values


def same_pixels(a: Frame, b: Frame) -> bool:
    """Whether two frames hold the same values."""
    return a.shape == b.shape and a.slope == b.slope and np.array_equal(values_of(a), values_of(b))


class _Scratch:
    """Memory that one slice after the other uses: fresh pages would cost more than the work on them."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._double = np.empty(0)

    def bytes(self, count: int) -> memoryview:
        """Return so many bytes."""
        if len(self._bytes) < count:
            self._bytes = bytearray(count)
        return memoryview(self._bytes)[:count]

    def double(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return an array."""
        if self._double.shape != shape:
            self._double = np.empty(shape)
        return self._double


class _Frames:
    """The frames of one file."""

    def __init__(self, pixels: Pixels, scratch: _Scratch) -> None:
        self.pixels, self.scratch = pixels, scratch
        self.streams: list[bytes] = []
        if pixels.syntax not in _NATIVE:
            source = pixels.source
            self.streams = frames_of(source.read(pixels.offset, source.size - pixels.offset), pixels)

    def stored(self, index: int) -> np.ndarray:
        """Return the stored values of a frame; they are gone after the next call."""
        pixels = self.pixels
        if self.streams:
            values = decode(self.streams[index], pixels)
            return _used_bits(values, pixels) if pixels.syntax == RLE else values
        kind = "f" if pixels.floating else "i" if pixels.signed else "u"
        form = np.dtype(f"{'<' if pixels.little_endian else '>'}{kind}{pixels.allocated // 8}")
        buffer = self.scratch.bytes(pixels.frame_bytes)
        pixels_at = pixels.offset + index * pixels.frame_bytes
        if pixels.inflated is not None:
            buffer[:] = pixels.inflated[pixels_at : pixels_at + pixels.frame_bytes]
        elif pixels.source.read_into(pixels_at, buffer) != pixels.frame_bytes:
            raise _too_short(pixels)
        values = np.frombuffer(buffer, form).reshape(pixels.rows, pixels.columns)
        return values if pixels.floating else _used_bits(values, pixels)


def check_size(pixels: Pixels) -> None:
    """Compare what the header declares with what is stored, before anything is allocated for it.

    Raises
    ------
    DicomError
        If pixels are missing, left over, or out of proportion.
    """
    if pixels.syntax not in _NATIVE:
        check_ratio(pixels, pixels.source.size)
        return
    declared = pixels.frame_bytes * pixels.frames
    size = pixels.source.size if pixels.inflated is None else len(pixels.inflated)
    stored = min(pixels.length, size - pixels.offset)
    if stored < declared:
        raise _too_short(pixels)
    if pixels.length > declared + declared % 2:
        raise DicomError(
            "RECON-DICOM-PIXELS",
            f"{pixels.source.label} has {pixels.length} bytes of pixels for {declared} declared; export it again",
        )
    if pixels.allocated == 8 and not pixels.little_endian:
        raise DicomError(
            "RECON-DICOM-PIXELS",
            f"{pixels.source.label} has bytes in swapped words, which are not read; export it again",
        )


def _too_short(pixels: Pixels) -> DicomError:
    declared = pixels.frame_bytes * pixels.frames
    return DicomError(
        "RECON-DICOM-TRUNCATED",
        f"{pixels.source.label} has fewer than the {declared} bytes of pixels that it declares; copy it again",
    )


def _used_bits(stored: np.ndarray, pixels: Pixels) -> np.ndarray:
    """Keep the bits up to HighBit that hold the value, in place: overlays may live in the others."""
    bits = stored.dtype.itemsize * 8
    if pixels.used == bits:
        return stored
    if not stored.flags.writeable:
        stored = stored.copy()
    stored <<= bits - 1 - pixels.high
    stored >>= bits - pixels.used  # the sign, where there is one, comes back with the arithmetic shift
    return stored


def _write(out: NDArray[np.float32], stored: np.ndarray, frame: Frame, scratch: _Scratch, padding: Padding) -> None:
    """Rescale stored values; in double precision unless single precision is exact."""
    pixels, slope, intercept = frame.pixels, frame.slope, frame.intercept
    if pixels.table is not None:
        first, values = pixels.table
        out[...] = values[np.clip(stored.astype(np.int64) - first, 0, len(values) - 1)]
    elif slope == 1 and stored.dtype.itemsize <= 2 and abs(intercept) < _EXACT and intercept == int(intercept):
        out[...] = stored
        if intercept:
            out += np.float32(intercept)
    else:
        double = np.multiply(stored, slope, out=scratch.double(stored.shape), dtype=np.float64)
        double += intercept
        out[...] = double
    if padding != "keep" and pixels.padding is not None:
        low, high = pixels.padding
        outside = (stored >= low) & (stored <= high)
        if padding == "nan":
            out[outside] = np.nan
        elif not outside.all():
            out[outside] = out[~outside].min()
