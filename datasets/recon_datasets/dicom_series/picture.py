"""Pictures in DICOM: colours, secondary captures, ultrasound, photographs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID

from recon_datasets.dicom_series.codecs import RLE, frames_of
from recon_datasets.dicom_series.dicom_file import pixels_in
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.frame import DicomFile, Frame, Kind, Pixels, Times
from recon_datasets.dicom_series.header import Fields, Header, read_header
from recon_datasets.dicom_series.kinds import is_segmentation
from recon_datasets.dicom_series.pixels import check_size, fill
from recon_datasets.dicom_series.quiet import quiet
from recon_datasets.dicom_series.radiograph import frame_times
from recon_datasets.dicom_series.rescale import rescale
from recon_datasets.dicom_series.source import Source
from recon_datasets.dicom_series.stacks import group

if TYPE_CHECKING:
    from recon.io import Image

__all__ = ["read_picture"]

_REGIONS = 0x00186011
_CENTIMETRES = 3
_FREE_VALUES, _MOST_RATIO = 2**26, 1000
"""More values than this must not be more than so many times the bytes of the file."""


def read_picture(
    files: Sequence[DicomFile], where: str, *, series: int | None, stack: int | None, limit: float
) -> Image:
    """Read one picture, or one film of pictures: (y, x) or (channel, y, x), after "t" or "frame".

    Colours are turned to red, green and blue, and palettes applied, by pydicom; grey values are rescaled as in scans.

    Parameters
    ----------
    files
        Of a folder or file.
    where
        Begins messages.
    series, stack
        Number of the series, and of the picture in it by instance number, where there are several.
    limit
        Largest size in bytes.

    Raises
    ------
    DicomError
        If there is no picture, or several; or it is damaged.
    """
    import torch

    from recon.io import Image

    source, header = _chosen(files, where, series, stack)
    fields = header.fields
    grey = fields.word(0x00280004).startswith("MONOCHROME") and fields.integer(0x00280002, 1) == 1
    pixels = pixels_in(header, source) if grey else None
    count, samples = fields.integer(0x00280008, 1), fields.integer(0x00280002, 1)
    shape = (count, fields.integer(0x00280010, 0), fields.integer(0x00280011, 0))
    size = math.prod(shape) * (3 if not grey else 1)
    if size <= 0 or samples < 1:
        raise DicomError("RECON-DICOM-DAMAGED", f"{source.label} does not say its size; copy it again")
    if size > max(_FREE_VALUES, _MOST_RATIO * source.size):
        raise DicomError("RECON-DICOM-BOMB", f"{source.label} declares {size} values but is {source.size} bytes long")
    if 4 * size > limit:
        raise DicomError("RECON-DICOM-LIMIT", f"{where} would take {4 * size} bytes; the limit is {limit:.0f}")
    if pixels is None and header.length < 0:
        _check_ends(pixels_in(header, source))
    values = _colours(source, shape) if pixels is None else _greys(pixels, fields)
    times = frame_times(fields, count)
    frames = () if count == 1 else ("frame",) if times is None else ("t",)
    inverted = fields.word(0x00280004) == "MONOCHROME1"
    return Image(
        data=torch.from_numpy(values if count > 1 else values[0]),
        dims=(*frames, *(() if grey else ("channel",)), "y", "x"),
        voxel_size=_spacing(fields),
        metadata={"times_s": times} if times else {},
        notes=("a picture, not a scan", *(("stored for inverted display (MONOCHROME1)",) if inverted else ())),
    )


def _chosen(files: Sequence[DicomFile], where: str, series: int | None, stack: int | None) -> tuple[Source, Header]:
    """Return the file to read and its header."""
    numbered = {
        number: pictures
        for number, found in enumerate(group(files), start=1)
        if (pictures := _pictures(found)) and series in (None, number)
    }
    if not numbered:
        raise DicomError("RECON-DICOM-KIND", f"{where} holds no picture; read scans without kind=picture")
    if len(numbered) > 1:
        listed = "; ".join(f"{number}: {len(pictures)} files" for number, pictures in list(numbered.items())[:8])
        raise DicomError(
            "RECON-DICOM-AMBIGUOUS", f"{where} holds pictures in {len(numbered)} series; choose with series=: {listed}"
        )
    (pictures,) = numbered.values()
    if stack is None and len(pictures) > 1:
        raise DicomError("RECON-DICOM-AMBIGUOUS", f"{where} holds {len(pictures)} pictures; choose with stack=")
    if stack is not None and stack > len(pictures):
        raise DicomError("RECON-DICOM-CHOICE", f"{where} has no picture {stack}; there are {len(pictures)}")
    return pictures[(stack or 1) - 1]


def _pictures(files: Sequence[DicomFile]) -> list[tuple[Source, Header]]:
    """Return those of a series that were refused for their kind and hold pixels, by instance number."""
    found = []
    for item in files:
        if item.error is not None and item.error.code == "RECON-DICOM-KIND":
            with quiet():
                header = read_header(item.source)
            if header.pixels and not is_segmentation(header.fields.word(0x00080016)):
                found.append((item.source, header))
    return sorted(found, key=lambda pair: (pair[1].fields.number(0x00200013) or 0.0, pair[1].fields.word(0x00080018)))


def _greys(pixels: Pixels, fields: Fields) -> NDArray[np.float32]:
    """Return the values of grey frames, rescaled: (frame, row, column)."""
    check_size(pixels)
    slope, intercept, _ = rescale(fields, pixels.source)
    nothing = Kind("", "", 0.0, (), "arbitrary", localizer=False)
    shape = (pixels.rows, pixels.columns)
    values = np.empty((pixels.frames, *shape), np.float32)
    with quiet():
        fill(
            (out, Frame(pixels, index, (0, 0), shape, None, nothing, Times(), (0.0, index), slope, intercept, 0.0))
            for index, out in enumerate(values)
        )
    return values


def _check_ends(pixels: Pixels) -> None:
    """Refuse codestreams that are cut off: decoders would fill the rest with grey."""
    source = pixels.source
    for stream in frames_of(source.read(pixels.offset, source.size - pixels.offset), pixels):
        if pixels.syntax != RLE and b"\xff\xd9" not in stream[-64:]:
            raise DicomError("RECON-DICOM-TRUNCATED", f"{source.label} has cut-off pixels; copy it again")


def _colours(source: Source, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return red, green and blue, as pydicom decodes them: (frame, channel, row, column)."""
    with quiet():
        try:
            dataset = pydicom.dcmread(BytesIO(source.read(0, source.size)), force=source.bare)
            decoder = get_decoder(UID(str(dataset.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2"))))
            if not decoder.is_available:
                raise NotImplementedError
            values, _ = decoder.as_array(dataset)
            if str(dataset.PhotometricInterpretation) == "PALETTE COLOR":
                values = apply_color_lut(values, dataset)
        except NotImplementedError:
            raise DicomError(
                "RECON-DICOM-CODEC",
                f"{source.label} is compressed in a way that no installed decoder reads: pip install imagecodecs "
                "pylibjpeg pylibjpeg-openjpeg",
            ) from None
        except Exception:  # noqa: BLE001 - on damage, pydicom and decoders raise almost anything
            raise DicomError(
                "RECON-DICOM-TRUNCATED", f"{source.label} has damaged or cut-off pixels; copy it again"
            ) from None
    values = values[None] if shape[0] == 1 else values
    if values.shape not in ((*shape, 3), (*shape, 4)):  # palettes may tell opacity, too
        raise DicomError("RECON-DICOM-PIXELS", f"{source.label} holds pixels of another size than it declares")
    return np.ascontiguousarray(np.moveaxis(values[..., :3], -1, 1), dtype=np.float32)


def _spacing(fields: Fields) -> tuple[float, float] | None:
    """Return the size of pixels (x, y) in mm where one calibrated region makes up an ultrasound image."""
    regions = fields.items(_REGIONS)
    if len(regions) != 1 or {regions[0].integer(tag, 0) for tag in (0x00186024, 0x00186026)} != {_CENTIMETRES}:
        return None
    x, y = (abs(regions[0].number(tag) or 0.0) * 10 for tag in (0x0018602C, 0x0018602E))
    return (x, y) if x > 0 and y > 0 else None
