"""Compressed frames: the fastest decoder that is installed, all of them under permissive licences."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.frame import Pixels

__all__ = ["RLE", "check_ratio", "decode", "frames_of"]

RLE = "1.2.840.10008.1.2.5"
_JPEG = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 57, 70)}
_JPEG_LS = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}
_PLUGINS = ("pylibjpeg", "pillow", "gdcm")
"""Of pydicom's decoders, where none is called directly: JPEG 2000 needs its care for signs, and takes 20 ms a slice.

GDCM comes last: a damaged lossy JPEG makes it end the process.
"""
_FREE_BYTES, _MAX_RATIO = 2**26, 1000
"""Pixel data beyond this size must not shrink by more than this factor in the file."""


class _Stream(NamedTuple):
    """What a codestream says of itself."""

    rows: int
    columns: int
    bits: int
    components: int


def check_ratio(pixels: Pixels, stored: int) -> None:
    """Refuse pixels that the header declares to be out of proportion to the bytes that are stored.

    Raises
    ------
    DicomError
        If they are more than 64 MiB and a thousand times as large.
    """
    declared = pixels.frame_bytes * pixels.frames
    if declared > max(_FREE_BYTES, _MAX_RATIO * stored):
        raise DicomError(
            "RECON-DICOM-BOMB",
            f"{pixels.source.label} declares {declared} bytes of pixels but stores {stored}; it is damaged",
        )


def frames_of(data: bytes, pixels: Pixels) -> list[bytes]:
    """Return the codestreams of all frames.

    Raises
    ------
    DicomError
        If there are fewer frames than the header says.
    """
    try:
        if pixels.frames == 1:
            found = [b"".join(_fragments(data))]
        else:
            found = list(generate_frames(data, number_of_frames=pixels.frames))
    except (ValueError, struct.error, IndexError):
        found = []
    if len(found) != pixels.frames or not all(found):
        raise _cut_off(pixels)
    return found


def decode(stream: bytes, pixels: Pixels) -> np.ndarray:
    """Return the stored values of one frame.

    Raises
    ------
    DicomError
        If the codestream is cut off, of another size than the header says, or no installed decoder knows it.
    """
    if pixels.syntax == RLE:
        return _run_length(stream, pixels)
    try:
        found = _header(stream)
    except (struct.error, IndexError):
        raise _cut_off(pixels) from None
    if found is None or b"\xff\xd9" not in stream[-64:]:
        raise _cut_off(pixels)
    if (found.rows, found.columns) != (pixels.rows, pixels.columns):
        raise DicomError(
            "RECON-DICOM-PIXELS",
            f"{pixels.source.label} holds {found.rows} x {found.columns} pixels but declares {pixels.rows} x "
            f"{pixels.columns}; export it again",
        )
    if found.components != 1 or not 2 <= found.bits <= pixels.allocated:  # GDCM writes beyond its memory for more
        raise DicomError(
            "RECON-DICOM-PIXELS",
            f"{pixels.source.label} holds {found.components} x {found.bits} bits a pixel but declares "
            f"{pixels.allocated}; export it again",
        )
    direct = _direct(pixels.syntax)
    values = _by_pydicom(stream, pixels, found.bits) if direct is None else _signed(direct, stream, pixels, found.bits)
    # More bits than the header says may hold fewer; if not, one of both is wrong: each would shift the values.
    low, high = (-1 << pixels.used - 1, (1 << pixels.used - 1) - 1) if pixels.signed else (0, (1 << pixels.used) - 1)
    if found.bits > pixels.used and not (low <= int(values.min()) and int(values.max()) <= high):
        raise DicomError(
            "RECON-DICOM-PIXELS",
            f"{pixels.source.label} holds {found.bits} bits a pixel but declares {pixels.used}; export it again",
        )
    return values


def _signed(direct: Callable[[bytes], np.ndarray], stream: bytes, pixels: Pixels, bits: int) -> np.ndarray:
    """Return what a decoder finds, with its sign."""
    try:
        values = direct(stream)
    except Exception:  # noqa: BLE001 - each decoder has exceptions of its own
        raise _cut_off(pixels) from None
    if values.shape != (pixels.rows, pixels.columns) or values.dtype.kind != "u":
        raise _cut_off(pixels)
    # The codestream knows its own number of bits; headers that contradict it are wrong.
    shift = values.dtype.itemsize * 8 - bits
    largest = int(values.max()) >> bits
    if not pixels.signed:
        if largest:  # predictions ran astray, from damage on
            raise _cut_off(pixels)
        return values
    signed = np.right_shift(np.left_shift(values, shift).view(f"i{values.dtype.itemsize}"), shift)
    if largest and not np.array_equal(signed.view(values.dtype), values):
        raise _cut_off(pixels)
    return signed


def _cut_off(pixels: Pixels) -> DicomError:
    return DicomError("RECON-DICOM-TRUNCATED", f"{pixels.source.label} has damaged or cut-off pixels; copy it again")


def _fragments(data: bytes) -> list[bytes]:
    """Return the fragments of encapsulated pixel data, without the table of offsets."""
    found: list[bytes] = []
    at = 0
    while at + 8 <= len(data):
        group, element, length = struct.unpack_from("<HHI", data, at)
        if (group, element) == (0xFFFE, 0xE0DD):
            return found[1:]
        if (group, element) != (0xFFFE, 0xE000) or at + 8 + length > len(data):
            raise ValueError("not an item")
        found.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    raise ValueError("no end")


@cache
def _direct(syntax: str) -> Callable[[bytes], np.ndarray] | None:
    """Return a decoder that is called without detour, or None."""
    try:
        codecs = import_module("imagecodecs")
        if syntax in _JPEG:
            return codecs.jpeg_decode
        if syntax in _JPEG_LS:
            return codecs.jpegls_decode
    except (ImportError, AttributeError):
        pass
    return _pyjpegls() if syntax in _JPEG_LS else None


def _pyjpegls() -> Callable[[bytes], np.ndarray] | None:
    try:
        charls = import_module("jpeg_ls")
    except ImportError:
        return None

    def decoder(stream: bytes) -> np.ndarray:
        values, facts = charls.decode_pixel_data(stream)
        return np.frombuffer(values, "<u1" if facts["bits_per_sample"] <= 8 else "<u2").reshape(
            facts["height"], facts["width"]
        )

    return decoder


def _run_length(stream: bytes, pixels: Pixels) -> np.ndarray:
    form = np.dtype(f"<{'i' if pixels.signed else 'u'}{pixels.allocated // 8}")
    if not _segments_are_inside(stream, form.itemsize):
        raise _cut_off(pixels)
    try:
        values = _rle()(stream, pixels, form)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - each decoder has exceptions of its own, pylibjpeg-rle a Rust panic
        raise _cut_off(pixels) from None
    if values.size != pixels.rows * pixels.columns:
        raise _cut_off(pixels)
    return values.reshape(pixels.rows, pixels.columns)


def _segments_are_inside(stream: bytes, count: int) -> bool:
    """Whether the table of segments, one for each byte of a value, is in order; some decoders follow it anywhere."""
    if len(stream) < 64:
        return False
    declared, *places = struct.unpack_from("<16I", stream)
    ends = [*places[1:count], len(stream)]
    return declared == count and places[0] >= 64 and all(a < b for a, b in zip(places, ends, strict=False))


def _without_padding(stream: bytes, plane: int) -> bytes:
    """Return the stream up to the end of its last segment, which fills a plane; the same if not only zeros follow."""
    count, *places = struct.unpack_from("<16I", stream)
    at, size = places[count - 1], 0
    while size < plane and at < len(stream):
        code = stream[at]
        size += 257 - code if code > 128 else code + 1 if code < 128 else 0
        at += 2 if code > 128 else code + 2 if code < 128 else 1
    return stream if any(stream[at:]) else stream[:at]


@cache
def _rle() -> Callable[[bytes, Pixels, np.dtype], np.ndarray]:
    try:
        codecs = import_module("imagecodecs")
        packed = codecs.dicomrle_decode

        def fast(stream: bytes, pixels: Pixels, form: np.dtype) -> np.ndarray:
            # With the size told, a segment that runs over it is an error rather than cut.
            size, kind = pixels.rows * pixels.columns * form.itemsize, form.newbyteorder("<")
            try:
                planes = packed(stream, kind, out=size)
            except codecs.DicomrleError:  # also for the zeros that some writers append
                planes = packed(_without_padding(stream, size // form.itemsize), kind, out=size)
            return np.frombuffer(planes, form)

    except (ImportError, AttributeError):
        try:
            frame = import_module("rle.rle").decode_frame
        except (ImportError, AttributeError):
            from pydicom.pixels.decoders.rle import _rle_decode_frame as slow

            def fast(stream: bytes, pixels: Pixels, form: np.dtype) -> np.ndarray:
                planes = slow(stream, pixels.rows, pixels.columns, 1, pixels.allocated)
                return np.frombuffer(planes, form)

        else:

            def fast(stream: bytes, pixels: Pixels, form: np.dtype) -> np.ndarray:
                return np.frombuffer(frame(stream, pixels.rows * pixels.columns, pixels.allocated, "<"), form)

    return fast


def _by_pydicom(stream: bytes, pixels: Pixels, bits: int) -> np.ndarray:
    try:
        decoder = get_decoder(UID(pixels.syntax))
        able = [name for name in _PLUGINS if bits <= 8 or name != "pillow"]
        plugins = [name for name in able if name in decoder.available_plugins]
    except NotImplementedError:
        plugins = []
    if not plugins:
        name = UID(pixels.syntax).name
        known = name if name != pixels.syntax else "an unknown transfer syntax"
        raise DicomError(
            "RECON-DICOM-CODEC",
            f"{pixels.source.label} is compressed as {known}, which the installed decoders cannot read: pip install "
            "imagecodecs pylibjpeg pylibjpeg-openjpeg",
        )
    about: dict[str, Any] = {
        "transfer_syntax_uid": UID(pixels.syntax),
        "rows": pixels.rows,
        "columns": pixels.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_representation": int(pixels.signed),
        "bits_allocated": pixels.allocated,
        "bits_stored": pixels.used,
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    try:
        values, _ = decoder.as_array(encapsulate([stream]), raw=True, decoding_plugin=plugins[0], **about)
    except Exception:  # noqa: BLE001 - each decoder has exceptions of its own, which may quote the file
        raise _cut_off(pixels) from None
    return values


def _header(stream: bytes) -> _Stream | None:
    """Return the size that a JPEG, JPEG-LS or JPEG 2000 codestream declares, before anything is allocated for it."""
    if stream[:4] == b"\xff\x4f\xff\x51":
        x, y, x0, y0 = struct.unpack_from(">4I", stream, 8)
        return _Stream(y - y0, x - x0, (stream[42] & 0x7F) + 1, stream[40] << 8 | stream[41])
    if stream[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 4 <= len(stream):
        if stream[at] != 0xFF:
            return None
        marker = stream[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            bits, rows, columns, components = struct.unpack_from(">BHHB", stream, at + 4)
            return _Stream(rows, columns, bits, components)
        at += 2 + struct.unpack_from(">H", stream, at + 2)[0]
    return None
